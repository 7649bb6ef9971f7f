"""kohya folders from a plain folder: copies that can be trained on, originals untouched."""

from pathlib import Path

import pytest

from lora_lab.__main__ import main
from lora_lab.data.scan import scan
from lora_lab.data.settings import SubsetSettings
from lora_lab.dataset.prepare import Wish, prepare
from lora_lab.errors import ConfigError, RunFolderError
from tests.data.test_folder import save


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    for number in range(3):
        save(place / f"{number}.png", (64 + number, 64))
    (place / "0.txt").write_text("a caption")
    (place / "notes.md").write_text("not an image")
    (place / "broken.png").write_bytes(b"\x89PNG broken")
    return place


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def test_copies_are_read_as_kohya_reads_them_and_originals_stay(photos: Path, tmp_path: Path) -> None:
    before = state(photos)
    (done,) = prepare(photos, tmp_path / "out", Wish("mikocat", "girl", 12))
    assert (done.images, done.captions) == (3, 1)
    assert [problem.path.name for problem in done.problems if problem.severity == "error"] == ["broken.png"]
    found = scan(tmp_path / "out", SubsetSettings())
    assert [(item.repeats, item.caption) for item in found.items] == [
        (12, "a caption"), (12, "mikocat girl"), (12, "mikocat girl"),
    ]  # fmt: skip
    assert not found.problems or all(problem.severity == "warning" for problem in found.problems)
    assert state(photos) == before


def test_each_sub_folder_is_a_concept(photos: Path, tmp_path: Path) -> None:
    save(photos / "hana" / "0.png", (64, 64))  # the same file name as beside
    done = prepare(photos, tmp_path / "out", Wish("miko", "cat"))
    assert [item.folder.name for item in done] == ["10_miko cat", "10_hana cat"]


def test_again_is_the_same_and_what_somebody_changed_is_left(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(photos, out, Wish("miko"))
    prepare(photos, out, Wish("miko"))
    (out / "10_miko" / "0.txt").write_text("my own words")
    with pytest.raises(RunFolderError, match="0.txt .it was changed since it was written"):
        prepare(photos, out, Wish("miko"))
    assert (out / "10_miko" / "0.txt").read_text() == "my own words"


def test_links_share_the_bytes_and_captions_do_not(photos: Path, tmp_path: Path) -> None:
    (done,) = prepare(photos, tmp_path / "out", Wish("miko", link=True))
    assert (done.folder / "0.png").samefile(photos / "0.png")
    assert not (done.folder / "0.txt").samefile(photos / "0.txt")


@pytest.mark.parametrize(
    ("wish", "target", "why"),
    [
        (Wish(""), "out", "--trigger WORD is needed"),
        (Wish("a/b"), "out", "cannot be a folder's name"),
        (Wish("miko"), "photos/out", "neither in"),
    ],
)
def test_what_cannot_be_is_refused(photos: Path, tmp_path: Path, wish: Wish, target: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        prepare(photos, tmp_path / target, wish)


def test_numbered_folders_need_no_preparing(tmp_path: Path) -> None:
    save(tmp_path / "set" / "10_miko" / "0.png", (64, 64))
    with pytest.raises(ConfigError, match="can be trained on as it is"):
        prepare(tmp_path / "set", tmp_path / "out", Wish("miko"))


def test_the_command_says_what_to_train_on(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(photos), "-o", str(tmp_path / "out"), "--trigger", "mikocat", "--class", "girl"]
    assert main(["dataset", "prepare", *words]) == 0
    out = capsys.readouterr().out
    assert "10_mikocat girl: 3 images, 1 caption" in out and f"dataset.path={tmp_path}/out" in out
    assert "broken.png" in out
