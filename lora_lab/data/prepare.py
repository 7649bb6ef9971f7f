"""Putting images into kohya's folder form, and repeats that balance concepts."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lora_lab.data.images import extensions
from lora_lab.errors import ConfigError, DataError

_CAPTIONS = {".txt", ".caption"}


@dataclass(frozen=True)
class Concept:
    """A folder of images, and what kohya's folder name will say of it."""

    images: Path
    repeats: int
    instance: str
    class_name: str

    def folder_name(self) -> str:
        """`15_trigger class`."""
        return f"{self.repeats}_{' '.join(w for w in (self.instance.strip(), self.class_name.strip()) if w)}"


def balanced_repeats(
    images: Mapping[str, int], draws: int = 1000, weights: Mapping[str, float] | None = None
) -> dict[str, int]:
    """Repeats per concept so that each has about `draws` (times its weight) per epoch, at least 1.

    This is kohya's "dataset balancing" as a number to set; no folder is renamed.

    Args:
        images: Images per concept.
        weights: Factors of `draws`; a concept that is not in it has 1.

    Raises:
        ConfigError: A concept without images, `draws` below 1, or a weight that is not above 0.
    """
    factors = dict.fromkeys(images, 1.0) | dict(weights or {})
    wrong = [f"{name} has no images" for name, count in images.items() if count < 1]
    wrong += [
        f"the weight of {name} must be above 0, got {value}" for name, value in factors.items() if value <= 0
    ]
    wrong += [f"{name} has a weight, but no images are given" for name in factors if name not in images]
    wrong += [f"draws must be at least 1, got {draws}"] if draws < 1 else []
    if wrong:
        raise ConfigError("balancing repeats: " + "; ".join(wrong))
    return {name: max(1, round(draws * factors[name] / count)) for name, count in images.items()}


def prepare(train: list[Concept], destination: Path, regularisation: list[Concept] | None = None) -> Path:
    """Copy images and captions to `destination/img/15_trigger class` and `destination/reg/1_class`.

    Returns the folder to give to `dataset.path`. The sources stay as they are; empty `model` and `log`
    folders are made as kohya's tool does.

    Raises:
        DataError: A source has no images, or a target folder is there already.
        ConfigError: Repeats below 1, or no name.
    """
    pairs = [(concept, destination / "img" / concept.folder_name()) for concept in train]
    pairs += [(c, destination / "reg" / c.folder_name()) for c in regularisation or []]
    _check(pairs)
    for concept, target in pairs:
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for file in _files(concept.images):
            shutil.copy2(file, partial / file.name)
        partial.rename(target)
    for name in ("model", "log"):
        (destination / name).mkdir(exist_ok=True)
    return destination / "img"


def _check(pairs: list[tuple[Concept, Path]]) -> None:
    targets = [target for _, target in pairs]
    for concept, target in pairs:
        if concept.repeats < 1:
            raise ConfigError(f"{concept.images}: repeats must be at least 1, got {concept.repeats}")
        if not (concept.instance.strip() or concept.class_name.strip()):
            raise ConfigError(f"{concept.images}: give an instance (trigger word) or a class")
        if any(mark in concept.folder_name() for mark in "/\\\0"):
            raise ConfigError(f"{concept.images}: {concept.folder_name()!r} cannot be a folder's name")
        if target.exists() or targets.count(target) > 1:
            raise DataError(f"{target} is there already; choose another destination or name")
        if not any(file.suffix.lower() in extensions() for file in _files(concept.images)):
            raise DataError(f"{concept.images}: no images in it")


def _files(folder: Path) -> list[Path]:
    """Images and captions directly in a folder."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    known = extensions() | _CAPTIONS
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in known and not p.name.startswith("."))
