"""Decode every image once before training starts, so that nothing breaks in the middle."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from lora_lab.data.image_set import CaptionedImage, Problem
from lora_lab.data.images import MAX_IMAGE_PIXELS, decode, read_bytes
from lora_lab.errors import DataError


def verify(
    items: Sequence[CaptionedImage],
    *,
    cache: Path | None = None,
    max_pixels: int = MAX_IMAGE_PIXELS,
    on_image: Callable[[int, int], None] | None = None,
    workers: int = 2,
) -> list[Problem]:
    """Problems of images that do not decode, changed since the scan, or contradict their header.

    Args:
        cache: Folder that remembers, by content, what decoded well.
        on_image: Called with (done, total).
    """
    todo = [item for item in items if cache is None or not _mark(cache, item).exists()]
    problems = []
    with ThreadPoolExecutor(max_workers=workers) as pool:
        for done, (item, found) in enumerate(
            zip(todo, pool.map(lambda i: _check(i, max_pixels), todo), strict=True)
        ):
            if found is not None:
                problems.append(found)
            elif cache is not None:
                _remember(cache, item)
            if on_image is not None:
                on_image(done + 1, len(todo))
    return problems


def _check(item: CaptionedImage, max_pixels: int) -> Problem | None:
    try:
        data = read_bytes(item.path)
        if hashlib.sha256(data).hexdigest() != item.sha256:
            return Problem(item.path, "error", "changed since it was scanned", "start again")
        height, width = decode(data, max_pixels).shape[:2]
    except DataError as error:
        return Problem(
            item.path, "error", str(error), "repair it, save it anew, or take it out of the folder"
        )
    if (width, height) != item.size:
        what = f"decodes to {width}x{height}, its header says {item.size[0]}x{item.size[1]}"
        return Problem(item.path, "error", what, "save it anew")
    return None


def _mark(cache: Path, item: CaptionedImage) -> Path:
    return cache / "decoded" / item.sha256[:2] / item.sha256


def _remember(cache: Path, item: CaptionedImage) -> None:
    with suppress(OSError):
        mark = _mark(cache, item)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
