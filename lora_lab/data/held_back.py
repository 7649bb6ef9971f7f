"""Which images are held back from training, to measure the validation loss on.

Different from sd-scripts, whose shuffle depends on the order of files and may put one image on both sides:
here an image's bytes decide, so that runs of a sweep hold back the same ones, and bytes that are held back
are trained on nowhere.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from lora_lab.counts import counted
from lora_lab.data.image_set import CaptionedImage, Problem


def divide(items: Sequence[CaptionedImage]) -> tuple[list[CaptionedImage], list[CaptionedImage]]:
    """(images to train on, images held back), each in their order.

    Of the n different images of a folder, ceil(n (1 - validation_split)) are trained on, as in sd-scripts;
    `validation_seed` decides which. Regularisation images are never held back. An image that lies in the
    folders twice is held back once.
    """
    folders: dict[tuple[int, Path], list[CaptionedImage]] = defaultdict(list)
    for item in items:
        if not item.is_reg and item.settings.validation_split:
            folders[item.settings.dataset, item.folder].append(item)
    held = {item.sha256: item for own in reversed(folders.values()) for item in _held_of(own)}
    chosen = {id(item) for item in held.values()}
    train = [item for item in items if item.is_reg or item.sha256 not in held]
    return train, [item for item in items if id(item) in chosen]


def _held_of(items: Sequence[CaptionedImage]) -> list[CaptionedImage]:
    settings = items[0].settings
    different = list({item.sha256: item for item in reversed(items)}.values())
    different.sort(
        key=lambda item: hashlib.sha256(f"{settings.validation_seed} {item.sha256}".encode()).digest()
    )
    # The product is rounded first: 30 * (1 - 0.1) is a little more than 27 in binary.
    return different[math.ceil(round(len(different) * (1 - settings.validation_split), 6)) :]


def problems(train: Sequence[CaptionedImage], held: Sequence[CaptionedImage]) -> list[Problem]:
    """An error where images should be held back and there are too few."""
    asked = [item for item in train if not item.is_reg and item.settings.validation_split]
    if held or not asked:
        return []
    folders = {item.folder for item in asked}
    split = asked[0].settings.validation_split
    most = max(sum(item.folder == folder for item in asked) for folder in folders)
    return [
        Problem(
            asked[0].folder,
            "error",
            f"train.validation_split={split:g} holds back none of {counted(most, 'image')}",
            f"set it to {math.ceil(100 / most) / 100:g} or more, or give dataset.validation_path",
        )
    ]


def seen_in_training(train: Sequence[CaptionedImage], held: Sequence[CaptionedImage]) -> list[Problem]:
    """A warning for images of `dataset.validation_path` that are trained on, too."""
    trained = {item.sha256 for item in train if not item.is_reg}
    both = [item.path.name for item in held if item.sha256 in trained]
    if not both:
        return []
    held_back = counted(len(held), "validation image is", "validation images are")
    what = f"{len(both)} of {held_back} trained on, too ({both[0]}, ...)"
    return [Problem(held[0].folder, "warning", what, "their loss says nothing of new images")]
