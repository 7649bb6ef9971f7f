"""A WD tagger of the user's own: an ONNX model and its list of tags, asked on this machine.

The signature is that of SmilingWolf's taggers (wd-v1-4, wd-vit-v3, wd-eva02-v3): one image in, batch x height
x width x 3, BGR from 0 to 255 on a white square; one probability per line of `selected_tags.csv` out, whose
category is 9 for ratings, 4 for characters and 0 for everything else.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lora_lab.data.images import MAX_IMAGE_PIXELS, decode, read_bytes
from lora_lab.dataset.edits import spaced
from lora_lab.errors import ConfigError, DataError, ModelError

MODEL, TAGS = "model.onnx", "selected_tags.csv"
RATING, CHARACTER = "9", "4"


@dataclass(frozen=True)
class Thresholds:
    """Probabilities from which on tags are taken; those of the taggers' own page."""

    general: float = 0.35
    character: float = 0.85


class Tagger:
    """A loaded tagger.

    Raises:
        ConfigError: onnxruntime is not installed, or the folder lacks a file.
        ModelError: The model cannot be loaded, or has another signature.
    """

    def __init__(self, folder: Path) -> None:
        missing = [name for name in (MODEL, TAGS) if not (folder / name).is_file()]
        if missing:
            raise ConfigError(
                f"--tagger {folder}: it lacks {' and '.join(missing)}; download both of a WD tagger, such as "
                "wd-vit-tagger-v3, into one folder"
            )
        self._names = _names(folder / TAGS)
        self._session = _session(folder / MODEL)
        shape = self._session.get_inputs()[0].shape
        if len(shape) != 4 or shape[3] != 3 or not isinstance(shape[1], int):
            raise ModelError(
                f"{folder / MODEL}: its input is {shape}, a WD tagger's is [batch, side, side, 3]"
            )
        self._side: int = shape[1]
        outputs = self._session.get_outputs()[0].shape
        if isinstance(outputs[-1], int) and outputs[-1] != len(self._names):
            raise ModelError(
                f"{folder}: the model has {outputs[-1]} tags, {TAGS} {len(self._names)}: not of one tagger"
            )

    def tags(self, image: Path, thresholds: Thresholds) -> list[str]:
        """The tags of an image, characters first, each kind by falling probability; ratings are left out.

        Raises:
            DataError: The image cannot be read; the text is a clause without its name.
        """
        pixels_HWC = decode(read_bytes(image), MAX_IMAGE_PIXELS)
        name = self._session.get_inputs()[0].name
        (found,) = self._session.run(None, {name: prepared(pixels_HWC, self._side)})[:1]
        chances = np.asarray(found, dtype=float).reshape(-1)
        taken: list[tuple[int, float, str]] = []
        for (tag, category), chance in zip(self._names, chances, strict=True):
            least = thresholds.character if category == CHARACTER else thresholds.general
            if category != RATING and chance >= least:
                taken.append((0 if category == CHARACTER else 1, -float(chance), spaced(tag)))
        return [tag for _, _, tag in sorted(taken)]


def prepared(pixels_HWC: np.ndarray, side: int) -> np.ndarray:
    """What a tagger sees, float32 (1, side, side, 3): the image in the middle of a white square, as BGR."""
    height, width = pixels_HWC.shape[:2]
    longest = max(height, width)
    square = Image.new("RGB", (longest, longest), (255, 255, 255))
    square.paste(Image.fromarray(pixels_HWC), ((longest - width) // 2, (longest - height) // 2))
    small = square.resize((side, side), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(small, dtype=np.float32)[None, :, :, ::-1])


def tag_all(
    tagger: Tagger,
    images: Sequence[Path],
    thresholds: Thresholds,
    on_image: Callable[[int, int], None] | None = None,
) -> tuple[dict[Path, list[str]], list[str]]:
    """Tags by image, and what kept an image from being tagged."""
    found, wrong = {}, []
    for number, image in enumerate(images):
        try:
            found[image] = tagger.tags(image, thresholds)
        except DataError as error:
            wrong.append(f"{image}: {error}")
        if on_image is not None:
            on_image(number + 1, len(images))
    return found, wrong


def _names(file: Path) -> list[tuple[str, str]]:
    """(tag, category) by place in the model's output."""
    try:
        with open(file, encoding="utf-8", newline="") as opened:
            return [(row["name"], row["category"]) for row in csv.DictReader(opened)]
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{file} is no tagger's list of tags ({error!r})") from error


def _session(file: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError("--tagger needs the package onnxruntime: pip install onnxruntime") from error
    try:
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        known = onnxruntime.get_available_providers()
        return onnxruntime.InferenceSession(str(file), providers=[item for item in wanted if item in known])
    except Exception as error:  # onnxruntime has a class of its own for every kind of damage
        raise ModelError(f"{file} cannot be loaded: {error}") from error
