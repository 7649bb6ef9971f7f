"""Captions changed in bulk: what changes, that a preview writes nothing, and undo to the byte."""

import json
from pathlib import Path

import pytest

from lora_lab.__main__ import main
from lora_lab.data.scan import scan
from lora_lab.data.settings import SubsetSettings
from lora_lab.dataset import edits
from lora_lab.dataset.edits import Edit
from tests.data.test_folder import save

CAPTIONS = {
    "a": b"1girl, red_hat,  miko ,long_hair",
    "b": "１girl、猫, Miko, red_hat".encode("cp932"),
    "c": b"\xef\xbb\xbfmiko, ^_^, score_9\r\nred_hat, second line\r\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    for name, data in CAPTIONS.items():
        save(place / f"{name}.png", (64, 64))
        (place / f"{name}.txt").write_bytes(data)
    save(place / "sub" / "d.png", (64, 64))
    return place


def after(folder: Path, **values: object) -> dict[str, str]:
    changes = edits.plan(edits.images_below(folder, ".txt"), Edit(**values))  # type: ignore[arg-type]
    return {change.image.stem: change.after for change in changes}


def test_tags_are_removed_replaced_and_added_where_they_are_missing(folder: Path) -> None:
    found = after(folder, remove=("1GIRL",), replace={"red_hat": "beret"}, add=("smile", "beret"))
    assert found["a"] == "beret, miko, long_hair, smile"
    assert found["c"] == "miko, ^_^, score_9, smile, beret\nberet, second line, smile"
    assert found["d"] == "smile, beret"  # an image without a caption gets one


def test_order_puts_the_named_in_front_and_sorts_the_rest(folder: Path) -> None:
    assert after(folder, first=("miko",))["a"] == "miko, 1girl, red_hat, long_hair"
    assert after(folder, first=("miko",), sort="frequency")["a"] == "miko, red_hat, 1girl, long_hair"
    assert after(folder, sort="alphabet")["a"] == "1girl, long_hair, miko, red_hat"


def test_underscores_become_blanks_but_in_faces_and_scores(folder: Path) -> None:
    found = after(folder, spaces=True)
    assert found["a"] == "1girl, red hat, miko, long hair"
    assert found["c"] == "miko, ^_^, score_9\nred hat, second line"


def test_what_no_tag_changes_is_left_as_it_is_written(folder: Path) -> None:
    assert set(after(folder, remove=("long_hair",))) == {"a"}
    assert after(folder, unique=True) == {}


def test_a_preview_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "caption", str(folder), "--add-first", "zz", "--remove", "1girl"]) == 0
    text = capsys.readouterr().out
    assert "+ zz, red_hat, miko, long_hair" in text and "4 of 4 captions change" in text
    assert {name: (folder / f"{name}.txt").read_bytes() for name in CAPTIONS} == CAPTIONS
    assert not (folder / "sub" / "d.txt").exists() and not (folder / edits.KEPT).exists()


def test_undo_takes_back_to_the_byte_one_write_after_the_other(folder: Path) -> None:
    for tag in ("one", "two"):
        assert main(["dataset", "caption", str(folder), "--add", tag, "--write"]) == 0
    assert (folder / "sub" / "d.txt").read_text() == "one, two"
    assert len(scan(folder, SubsetSettings()).items) == 3  # what is kept is no part of the dataset
    assert main(["dataset", "caption", str(folder), "--undo"]) == 0
    assert (folder / "sub" / "d.txt").read_text() == "one"
    assert main(["dataset", "caption", str(folder), "--undo"]) == 0
    assert {name: (folder / f"{name}.txt").read_bytes() for name in CAPTIONS} == CAPTIONS
    assert not (folder / "sub" / "d.txt").exists()
    assert main(["dataset", "caption", str(folder), "--undo"]) == 2  # there is nothing more


def test_undo_leaves_what_somebody_changed_since(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["dataset", "caption", str(folder), "--add", "one", "--write"])
    (folder / "a.txt").write_text("my own words")
    assert main(["dataset", "caption", str(folder), "--undo"]) == 2
    assert "changed by somebody since, and left alone: a.txt" in capsys.readouterr().err
    assert (folder / "a.txt").read_text() == "my own words"
    assert (folder / "b.txt").read_bytes() == CAPTIONS["b"]


def test_quality_tags_stand_behind_what_is_put_first(folder: Path) -> None:
    words = [str(folder), "--quality", "pony", "--first", "miko", "--write"]
    assert main(["dataset", "caption", *words]) == 0
    assert (folder / "a.txt").read_text() == (
        "miko, score_9, score_8_up, score_7_up, 1girl, red_hat, long_hair"
    )
    # The one that the caption had already is not added a second time.
    assert (folder / "c.txt").read_text().split("\n")[0] == "miko, score_8_up, score_7_up, ^_^, score_9"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "say what to change"),
        (["--quality", "horse"], "--quality horse: unknown; known: pony"),
        (["--replace", "hat"], "--replace 'hat': write OLD=NEW"),
    ],
)
def test_what_cannot_be_done_is_one_message(
    folder: Path, words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset", "caption", str(folder), *words]) == 2
    assert why in capsys.readouterr().err


def test_json_has_before_and_after(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "caption", str(folder), "--remove", "long_hair", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (change,) = told["changes"]
    assert change["after"] == "1girl, red_hat, miko" and told["written"] is False
