"""The two images of a copier, and the two runs that copy them. Without torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lora_lab.config import RunConfig
from lora_lab.data.images import decode, extensions, read_bytes
from lora_lab.errors import ConfigError, DataError
from lora_lab.files import replacing
from lora_lab.store import SweepFolder
from lora_lab.sweep import RowSpec, SweepFile

METHODS = ("difference", "merged-base")
"""difference: two LoRAs, B - A. merged-base: B learns on a base model that A is merged into."""

SAME_BELOW = 0.5
"""Images whose mean difference (0 to 255) is below this are one image, saved twice."""

QUESTION = "What is the difference between two images, as a LoRA?"
DEMO = "demo"


@dataclass(frozen=True)
class Pair:
    """An image and its edited twin; `before` and `after` are their pixels (H, W, 3), 0 to 255."""

    paths: tuple[Path, Path]
    before: npt.NDArray[np.uint8]
    after: npt.NDArray[np.uint8]


def read_pair(first: Path, second: Path) -> Pair:
    """Read the two images.

    Raises:
        DataError: One is missing or no image, their sizes differ, or they are the same image.
    """
    before, after = (_pixels(path) for path in (first, second))
    if before.shape != after.shape:
        sizes = [f"{path} is {size[1]} x {size[0]}" for path, size in
                 ((first, before.shape), (second, after.shape))]  # fmt: skip
        raise DataError(
            f"the two images differ in size: {', '.join(sizes)} pixels; the second has to be an edited "
            "copy of the first: bring both to one size"
        )
    if float(np.abs(before.astype(float) - after).mean()) < SAME_BELOW:
        raise DataError(f"{first} and {second} are the same image: there is no difference to learn")
    return Pair((first, second), before, after)


def _pixels(path: Path) -> npt.NDArray[np.uint8]:
    if not path.is_file():
        kind = "is a folder; give the image itself" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {kind}")
    if path.suffix.lower() not in extensions():
        kinds = ", ".join(sorted(extensions()))
        raise DataError(f"{path} is not trained on: images are files named {kinds}; save it as .png")
    try:
        pixels: npt.NDArray[np.uint8] = decode(read_bytes(path))
    except (DataError, ValueError, OSError) as error:
        raise DataError(f"{path} cannot be used: {error}") from error
    return pixels


def default_name(first: Path, second: Path) -> str:
    """Name of the sweep and of the LoRA: copier-A-B."""
    parts = (re.sub(r"[^\w.+-]+", "-", path.stem).strip("-.") or "image" for path in (first, second))
    return "copier-" + "-".join(parts)


def recipe_for(config: RunConfig) -> str:
    """The recipe of a base model; the demo's has a shorter one of its own."""
    return "copier_demo" if config.base_model.path == DEMO else "copier"


def place_images(folder: SweepFolder, pair: Pair) -> tuple[Path, Path]:
    """Copy the images into the sweep's folder, each into a folder of its own to train on; returns those."""
    places = []
    for row, path in zip(("A", "B"), pair.paths, strict=True):
        target = folder.path / "pictures" / row / f"{row}{path.suffix.lower()}"
        for other in target.parent.glob("*"):
            if other.name != target.name:
                other.unlink()
        with replacing(target) as temporary:
            temporary.write_bytes(read_bytes(path))
        places.append(target.parent)
    return places[0], places[1]


def rows(
    name: str, recipe: Sequence[str], places: tuple[Path, Path], merged: Path | None = None
) -> SweepFile:
    """The two runs as a sweep: A and B, alike but for the image.

    Args:
        name: Of the sweep.
        recipe: Overrides that both share, such as recipe=copier.
        places: The folders of the images.
        merged: LoRA A's file, for the method merged-base; B then learns on a base that holds it.
    """
    own = [[f"dataset.path='{place}'"] for place in places]
    if merged is not None:
        own[1].append(f"network.base_weights=['{merged}']")
    specs = tuple(RowSpec(row, tuple(words)) for row, words in zip(("A", "B"), own, strict=True))
    return SweepFile(name, None, QUESTION, tuple(recipe), specs, {})


def check_strengths(strengths: Sequence[float]) -> list[float]:
    """The strengths to show, 0 first: everything is measured from there.

    Raises:
        ConfigError: There is none but 0, or one is not finite.
    """
    wanted = list(dict.fromkeys(strengths))
    if not [item for item in wanted if item] or any(item - item for item in wanted):
        raise ConfigError("--strengths needs finite numbers, at least one other than 0, such as 0,0.5,1")
    return [0.0, *(item for item in wanted if item)]
