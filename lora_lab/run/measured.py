"""Metrics that look at all previews of a checkpoint at once, with models and the training images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image, UnidentifiedImageError

from lora_lab.anchors import anchor_name
from lora_lab.data.buckets import Assignment
from lora_lab.data.image_set import CaptionedImage
from lora_lab.data.images import decode, extensions, read_bytes
from lora_lab.errors import DataError
from lora_lab.metrics import set_names
from lora_lab.metrics.sets import COPY_FLAGS, Models, PreviewSet, Shown, measure_set
from lora_lab.resolved import Resolved
from lora_lab.run.previews import anchors_of, cut_image
from lora_lab.run.task import Task
from lora_lab.store import Checkpoint, Preview, RunFolder
from lora_lab.training_data import TrainingData

MOST_IMAGES = 64
"""Images that previews are held against; of more, this many are taken evenly."""

Placed = tuple[CaptionedImage, Assignment]
T = TypeVar("T")


def measure_checkpoint(
    task: Task, checkpoint: Checkpoint, training_data: TrainingData, device: torch.device
) -> None:
    """Add the numbers of the metrics of sets to a checkpoint and its previews, where they are asked for.

    Raises:
        ModelError: A model cannot be used.
        DataError: `metric.references` cannot be used.
    """
    folder, resolved = task.folder, task.resolved
    names = set_names(resolved.metric.names)
    if not names or not checkpoint.previews:
        return
    metric = resolved.metric
    cache = Path(task.config.cache).expanduser()
    training = [
        pair
        for pair in zip(training_data.items, training_data.assignments, strict=True)
        if not pair[0].is_reg
    ]
    held_against = PreviewSet(
        [_shown(item, folder, resolved) for item in checkpoint.previews],
        references(metric.references, training_data.validation or training),
        _images(training) if "copy" in names else (),
        _models(metric.clip_model, metric.dino_model, cache, device),
    )
    found = measure_set(held_against, names)
    for item, numbers, flags in zip(checkpoint.previews, found.each, found.flags, strict=True):
        item.metrics.update(numbers)
        item.flags = [flag for flag in item.flags if flag not in COPY_FLAGS] + flags
    checkpoint.metrics.update(found.whole)


# A process measures many checkpoints with the same models.
_models = lru_cache(maxsize=4)(Models)


def _shown(item: Preview, folder: RunFolder, resolved: Resolved) -> Shown:
    anchor = anchors_of(folder, resolved) / anchor_name(item.prompt, item.seed)
    return Shown(
        _open(folder.path / item.file),
        resolved.class_prompts[item.prompt % len(resolved.class_prompts)],
        item.prompt,
        item.seed,
        item.strength,
        _open(anchor) if anchor.is_file() else None,
    )


def references(folder: str | None, instead: Sequence[Placed]) -> list[Image.Image]:
    """The images that previews should be like: those of a folder, or those of the run.

    Raises:
        DataError: The folder holds no images, or one that cannot be read.
    """
    if folder is None:
        return list(_images(instead))
    place = Path(folder).expanduser()
    files = sorted(file for file in place.rglob("*") if file.suffix.lower() in extensions())
    if not files:
        raise DataError(f"metric.references={folder}: there are no images in it")
    return [_decoded(file) for file in _evenly(files)]


def _decoded(path: Path) -> Image.Image:
    """An image of the user's, turned and laid on white as the training's are."""
    try:
        return Image.fromarray(decode(read_bytes(path)))
    except DataError as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from error


def _images(placed: Sequence[Placed]) -> tuple[Image.Image, ...]:
    return tuple(cut_image(item, place) for item, place in _evenly(placed))


def _evenly(items: Sequence[T]) -> list[T]:
    count = min(len(items), MOST_IMAGES)
    return [items[number * len(items) // count] for number in range(count)]


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from error
