"""The two images: what is refused, and what the runs are called and trained on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lora_lab.config import compose
from lora_lab.copier.pair import check_strengths, default_name, place_images, read_pair, recipe_for, rows
from lora_lab.data.scan import scan
from lora_lab.data.settings import SubsetSettings
from lora_lab.errors import ConfigError, DataError
from lora_lab.store import SweepFolder


def image(path: Path, size: tuple[int, int] = (32, 48), value: int = 100) -> Path:
    Image.new("RGB", size, (value, 50, 50)).save(path)
    return path


def test_two_images(tmp_path: Path) -> None:
    pair = read_pair(image(tmp_path / "a.png"), image(tmp_path / "b.png", value=200))
    assert pair.before.shape == pair.after.shape == (48, 32, 3)
    assert float(np.abs(pair.after.astype(float) - pair.before).mean()) == pytest.approx(100 / 3)


def test_images_that_cannot_be_a_pair(tmp_path: Path) -> None:
    a, broken = image(tmp_path / "a.png"), tmp_path / "broken.png"
    broken.write_bytes(a.read_bytes()[:60])
    wide = image(tmp_path / "wide.png", (48, 32))
    for other, words in (
        (tmp_path / "none.png", "none.png does not exist"),
        (tmp_path, "is a folder; give the image itself"),
        (broken, "broken.png cannot be used"),
        (wide, r"differ in size: .*a.png is 32 x 48, .*wide.png is 48 x 32 pixels; .*bring both to one size"),
        (image(tmp_path / "same.png"), "are the same image: there is no difference to learn"),
    ):
        with pytest.raises(DataError, match=words):
            read_pair(a, other)


def test_names_and_recipes() -> None:
    assert default_name(Path("my pic.png"), Path("/x/grey.jpg")) == "copier-my-pic-grey"
    assert recipe_for(compose([])) == "copier_demo"
    assert (
        recipe_for(compose(["base_model=sd15", "base_model.path=x.safetensors"], checked=False)) == "copier"
    )


def test_strengths() -> None:
    assert check_strengths([0.5, -1, 0.5]) == [0, 0.5, -1]
    for wrong in ([], [0.0], [float("nan")]):
        with pytest.raises(ConfigError, match="--strengths needs finite numbers, at least one other than 0"):
            check_strengths(wrong)


def test_each_image_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    pair = read_pair(image(tmp_path / "a.png"), image(tmp_path / "b.png", value=200))
    folder = SweepFolder(tmp_path / "results" / "copier-a-b")
    places = place_images(folder, pair)
    assert [[file.name for file in place.iterdir()] for place in places] == [["A.png"], ["B.png"]]
    (places[0] / "old.png").write_bytes(b"left over from other images")
    assert [file.name for file in place_images(folder, pair)[0].iterdir()] == ["A.png"]
    assert not list(folder.runs())
    found = rows("copier-a-b", ["recipe=copier"], places, merged=tmp_path / "a.safetensors")
    assert [row.name for row in found.rows] == ["A", "B"]
    assert f"dataset.path='{places[1]}'" in found.rows[1].overrides
    assert [any("base_weights" in word for word in row.overrides) for row in found.rows] == [False, True]


def test_a_pair_has_the_names_that_training_reads(tmp_path: Path) -> None:
    first, second, other = image(tmp_path / "a.png"), tmp_path / "b.jfif", tmp_path / "b.tif"
    Image.new("RGB", (32, 48), (200, 50, 50)).save(second, "JPEG", quality=95)
    places = place_images(SweepFolder(tmp_path / "results" / "copier-a-b"), read_pair(first, second))
    found = [scan(place, SubsetSettings()) for place in places]
    assert [[item.path.name for item in one.items] for one in found] == [["A.png"], ["B.jfif"]]
    Image.new("RGB", (32, 48), (200, 50, 50)).save(other)
    with pytest.raises(DataError, match=r"b\.tif is not trained on: images are files named .*\.jfif"):
        read_pair(first, other)
