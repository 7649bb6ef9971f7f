"""`lora-lab dataset check`: what it finds in a folder made of photographs, and the page that it writes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from lora_lab.__main__ import main
from lora_lab.config import compose
from lora_lab.dataset.check import Check, check
from lora_lab.dataset.summary import findings


def photo(seed: int, size: tuple[int, int] = (512, 512)) -> Image.Image:
    """An image with structure at every scale, as photographs have: noise that grows with its wavelength."""
    rng = np.random.default_rng(seed)
    image = np.zeros((size[1], size[0], 3))
    for side in (2, 4, 8, 16, 64):
        layer = Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8))
        image += np.asarray(layer.resize(size, Image.Resampling.BICUBIC), dtype=float) / side
    image *= 255 / image.max()
    return Image.fromarray(image.astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images with one fault each; the others are well."""
    place = tmp_path / "photos"
    place.mkdir()
    for number in range(6):
        photo(number).save(place / f"{number}.png")
        tag = "red hat" if number % 2 else "blue hat"
        (place / f"{number}.txt").write_text(f"mikocat, {tag}, 1girl, tag{number}")
    ImageOps.mirror(photo(0)).resize((400, 400)).save(place / "mirrored.jpg", quality=85)
    (place / "mirrored.txt").write_text("Mikocat, 1girl, red_hat, red hat, (smile:1.3)")
    photo(20, (200, 1600)).save(place / "stripe.png")
    (place / "stripe.txt").write_text("a tall image, 1girl")
    photo(21, (100, 100)).save(place / "tiny.png")
    (place / "tiny.txt").write_text("mikocat, 1girl, " + ", ".join(f"word number {n}" for n in range(60)))
    photo(22).save(place / "broken.jpg", quality=95)
    data = (place / "broken.jpg").read_bytes()
    (place / "broken.jpg").write_bytes(data[: len(data) // 2])
    return place


def of(folder: Path, *words: str, trigger: str = "") -> Check:
    config = compose(["base_model=sd15", f"dataset.path='{folder}'", *words], checked=False)
    config.cache = str(folder.parent / "cache")
    return check(config, trigger=trigger)


def notes(found: Check) -> dict[str, tuple[str, ...]]:
    return {item.name: item.notes for item in found.images if item.notes}


def test_each_fault_is_found_where_it_is_and_nowhere_else(folder: Path) -> None:
    found = of(folder)
    assert [item.path.name for item in found.errors] == ["broken.jpg"]
    told = notes(found)
    assert told["stripe.png"] == ("the crop takes 50%",)
    assert told["tiny.png"][0] == "tiny: enlarged 5.1 times"
    assert re.fullmatch(r"\d+ tokens, 75 are read", told["tiny.png"][1])
    assert told["mirrored.jpg"] == ("'(smile:1.3)' in the caption is trained as words",)
    assert set(told) == {"stripe.png", "tiny.png", "mirrored.jpg"}


def test_mirrored_and_smaller_copies_are_nearly_the_same_and_other_photographs_are_not(folder: Path) -> None:
    found = of(folder)
    assert [[found.images[place].name for place in group] for group in found.alike] == [
        ["0.png", "mirrored.jpg"]
    ]


def test_the_trigger_is_found_and_what_fuses_with_it_named(folder: Path) -> None:
    (one,) = of(folder, "dataset.trigger_word=null", "dataset.class_tokens='mikocat girl'").concepts
    assert (one.trigger, one.lacking) == ("mikocat", ("stripe.png",))
    assert [(tag.tag, tag.share) for tag in one.fused] == [("1girl", 1.0)]
    # With the setting, every prompt holds the word; the captions are still counted as they are written.
    added = of(folder, "dataset.trigger_word=mikocat")
    assert (added.concepts[0].lacking, added.concepts[0].added) == (("stripe.png",), True)


def test_a_trigger_word_of_the_settings_is_not_counted_as_if_it_stood_in_the_captions(folder: Path) -> None:
    found = of(folder, "dataset.trigger_word=zorb")
    (one,) = found.concepts
    assert len(one.lacking) == one.images and one.added and "zorb" not in {item.tag for item in found.counts}
    told = [line.text for line in findings(found) if "'zorb'" in line.text]
    assert len(told) == 1 and f"{one.images} of {one.images} captions lack 'zorb'" in told[0]
    asked = of(folder, "dataset.trigger_word=zorb", trigger="mikocat")
    assert "zorb" not in {tag.tag for tag in asked.concepts[0].fused}
    assert any("dataset.trigger_word='zorb'" in line.text for line in findings(asked))


def test_one_tag_in_two_spellings_is_named_and_tags_are_counted_once_a_caption(folder: Path) -> None:
    found = of(folder)
    assert found.spelled_twice == (("mikocat", "Mikocat"), ("red hat", "red_hat"))
    counts = {count.tag: count.images for count in found.counts}
    assert counts["1girl"] == 9 and counts["red hat"] == 4 and counts["red_hat"] == 1


def test_the_kept_part_is_the_centre_crop(folder: Path) -> None:
    stripe = next(item for item in of(folder).images if item.name == "stripe.png")
    left, top, width, height = stripe.kept
    assert stripe.bucket == (256, 1024)
    assert (left, width) == (0, 1) and height == pytest.approx(1024 / 2048) and top == pytest.approx(0.25)
    assert stripe.cut == pytest.approx(0.5)


def test_an_empty_folder_and_one_without_captions_are_answered(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert [line.kind for line in findings(of(tmp_path / "none"))] == ["error"]
    place = tmp_path / "plain"
    place.mkdir()
    photo(1).save(place / "a.png")
    lines = findings(of(place))
    assert any("no word calls these images" in line.text for line in lines)


def test_the_page_needs_nothing_beside_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    words = [str(folder), "base_model=sd15", f"cache='{tmp_path}/cache'", "--trigger", "mikocat"]
    assert main(["dataset", "check", *words, "-o", str(page)]) == 1  # one image is broken
    text = capsys.readouterr().out
    assert "nearly the same image: 0.png, mirrored.jpg" in text and f"page: {page}" in text
    html = page.read_text()
    assert re.findall(r'(?:src|href)="(?!data:)[^"#]', html) == []
    assert html.count('<img src="data:image/webp') == 9 + 2  # all, and the two that are alike
    assert "<svg" in html and "1girl (100%)" in html


def test_json_has_all_of_it_and_no_file_of_somebody_else_is_replaced(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    words = [str(folder), "base_model=sd15", f"cache='{tmp_path}/cache'", "-o", str(page)]
    assert main(["dataset", "check", *words]) == 2
    assert page.read_text() == "mine" and "lora-lab did not write it" in capsys.readouterr().err
    assert main(["dataset", "check", *words[:-1], str(tmp_path / "other.html"), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["near_duplicates"] == [["0.png", "mirrored.jpg"]]
    assert told["checked_for"] == "Stable Diffusion 1.x at 512x512"
    assert {item["severity"] for item in told["problems"]} == {"error", "warning"}


def test_names_in_captions_and_files_are_text_and_no_markup(tmp_path: Path) -> None:
    place = tmp_path / "photos"
    place.mkdir()
    photo(1).save(place / "<b>&.png")
    (place / "<b>&.txt").write_text("<script>alert(1)</script>, [red]x[/red]")
    page = tmp_path / "page.html"
    assert main(["dataset", "check", str(place), f"cache='{tmp_path}/cache'", "-o", str(page)]) == 0
    assert "<script>" not in page.read_text() and "&lt;script&gt;" in page.read_text()


def test_a_folder_that_is_not_there_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "check", "/nowhere/photos"]) == 2
    assert capsys.readouterr().err == "lora-lab: /nowhere/photos: there is no such folder\n"


def test_buckets_are_a_table_and_an_image(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.jpg").unlink()
    image = tmp_path / "buckets.png"
    words = [str(folder), "base_model=sd15", f"cache='{tmp_path}/cache'"]
    assert main(["dataset", "buckets", *words, "-o", str(image)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["256x1024", "0.25", "1", "1", "50%", "(stripe.png)"] in rows
    assert ["512x512", "1.00", "8", "8", "0%"] in rows
    assert Image.open(image).size[0] > 800
    assert main(["dataset", "buckets", *words, "-o", "x.pdf"]) == 2


def test_a_file_is_no_folder_of_images(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = next(folder.rglob("*.png"))
    assert main(["dataset", "check", str(image)]) == 2
    assert "is a file: give its folder" in capsys.readouterr().err
