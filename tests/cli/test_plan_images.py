"""The plan shows images per folder, buckets, what is cut, and the final prompts; `--json` has them, too."""

import json
import os
import re
from pathlib import Path

import pytest

from lora_lab.__main__ import main
from lora_lab.verdict.power import what_it_finds
from lora_lab.verdict.prior import BY_CRITERION, SHIPPED
from tests.data.test_folder import save
from tests.material import write_model


@pytest.fixture
def sweep(tmp_path: Path) -> list[str]:
    for name, size in (("a", (512, 512)), ("b", (4000, 500))):
        save(tmp_path / "img" / "10_miko cat" / f"{name}.png", size)
    write_model(tmp_path / "model", "sd1")
    (tmp_path / "one.yaml").write_text("patterns: {plain: [], large: [dataset.resolution='768']}\n")
    return [
        str(tmp_path / "one.yaml"), "base_model=sd15", f"base_model.path='{tmp_path}/model'",
        f"dataset.path='{tmp_path}/img'", f"results='{tmp_path}/results'", f"cache='{tmp_path}/cache'",
        "train.max_train_steps=2", "preview.prompts=['{trigger}, smile']", "device=cpu", "engine.workers=1",
    ]  # fmt: skip


def test_the_plan_shows_what_is_trained_on(sweep: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *sweep]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "10_miko cat: 2 images x 10 = 20 samples per epoch" in text
    assert "caption of a.png: 'miko cat' buckets" in text
    assert "images (plain)" in text and "images (large)" in text
    assert "buckets: 512x512 (1), 1024x256 (1) the crop takes at most 50% of an image (b.png)" in text
    assert "preview prompts 0: miko cat, smile" in text
    assert "{trigger} in preview.prompts stands for 'miko cat'" in text


def test_the_plan_says_where_a_trigger_word_is_put(
    sweep: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Also words between colons come out as they are, and not as emoji."""
    assert main(["plan", *sweep, "dataset.trigger_word=sks:x:"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "caption of a.png: 'sks:x:, miko cat' (dataset.trigger_word=sks:x: is put in front of all)" in text


def test_json_has_it_too(sweep: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *sweep, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["rows"] for one in found["images"]] == [["plain"], ["large"]]
    (folder,) = found["images"][0]["folders"]
    assert (folder["images"], folder["repeats"], folder["draws"]) == (2, 10, 20)
    assert found["prompts"] == [{"prompts": ["miko cat, smile"], "rows": ["plain", "large"]}]


def test_what_it_can_find_names_the_noise_it_reckons_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "sweeps/demo.yaml", f"results={tmp_path}"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for by, prior in (("people's scores", SHIPPED), ("the metric likeness", BY_CRITERION["likeness"])):
        found = what_it_finds([3, *[1] * 9], prior)
        assert f"judged by {by}, it finds, four times in five, an effect of {found.now:.0f} points" in told
        assert f"is expected to vary by {prior.sd:g} points" in told


def test_the_heads_of_a_plan_are_the_fields_words(
    sweep: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["plan", *sweep]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "row changes steps samples exposures per image status" in text and " notes " in text
    for word in ("what happens", "to know", "per picture", "updates"):
        assert word not in text, word


def test_a_name_that_is_no_utf8_is_planned_and_shown(
    sweep: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "img" / "10_miko cat"
    save(place / os.fsdecode(b"\x83~\x83N2.png"), (4000, 500))  # its name is in the crop's warning, too
    assert main(["plan", *sweep]) == 0
    said = capsys.readouterr()
    assert "unexpected" not in said.err and "10_miko cat: 3 images x 10" in " ".join(said.out.split())
    assert said.out.encode("utf-8")
    assert main(["plan", *sweep, "--json"]) == 0
    (folder,) = json.loads(capsys.readouterr().out)["images"][0]["folders"]
    assert folder["images"] == 3


def test_what_is_not_read_of_captions_and_prompts_is_in_the_plan(
    sweep: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eighty tags are more than 300 tokens, of which 75 are read."""
    tags = ", ".join(["a blue sky"] * 80)
    (tmp_path / "img" / "10_miko cat" / "a.txt").write_text(tags)
    words = [word for word in sweep if not word.startswith("preview.prompts=")]
    assert main(["plan", *words, f"preview.prompts=['{{trigger}}, {tags}']"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert re.search(r"captions: 1 of 2 are longer than the 75 tokens that are read \(a\.png 3\d\d\)", text)
    assert re.search(r"preview\.prompts\[0\] has 3\d\d tokens, 75 are read: what is over has no effect", text)
