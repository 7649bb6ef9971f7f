"""All that can be said of a folder of images before a run: pixels decoded once, captions read."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from lora_lab.config import RunConfig
from lora_lab.counts import counted
from lora_lab.data.buckets import Assignment
from lora_lab.data.folder import names_apart
from lora_lab.data.image_set import CaptionedImage, Problem, readable
from lora_lab.data.images import decode, read_bytes
from lora_lab.data.summary import DataSummary, summary
from lora_lab.dataset import alike, tags
from lora_lab.effective.texts import most_tokens
from lora_lab.errors import DataError, ModelError
from lora_lab.metrics.phash import Bits, phash
from lora_lab.models.counting import TokenCounter, packaged_counter, token_counter
from lora_lab.models.identify import identify
from lora_lab.training_data import survey

THUMBNAIL = 224
"""Longest side of a thumbnail in pixels."""
TINY = 2.0
"""Times an image's sides are enlarged from which on it is called tiny, as in the plan's warning."""
WORTH_NAMING = 0.15
"""Share of an image that the crop takes from which on the image is named."""


@dataclass(frozen=True)
class Checked:
    """One image.

    Attributes:
        name: Of the file, with its folder where there are several, as it can be printed.
        size, bucket: (width, height) in pixels.
        kept: The part that is trained on, as shares of the image: left, top, width, height.
        cut: Share that the centre crop takes, 0 to below 1.
        enlargement: Factor on the sides; above 1 pixels are invented.
        tokens: Of the whole prompt; None where nothing can count them.
        notes: What is wrong or odd about it, each a clause.
        thumbnail: A WebP image as data address, '' where it cannot be decoded.
    """

    path: Path
    name: str
    repeats: int
    size: tuple[int, int]
    bucket: tuple[int, int]
    kept: tuple[float, float, float, float]
    cut: float
    enlargement: float
    caption: str
    tokens: int | None
    notes: tuple[str, ...]
    thumbnail: str


@dataclass(frozen=True)
class Check:
    """What was found.

    Attributes:
        problems: What the plan would say, too; errors keep a run from starting.
        alike: Groups of places in `images` that are nearly the same image.
        limit: Tokens of a prompt that are read; None where that is not known.
        spelled_twice: Tags that are one, spelled in several ways.
        added: The word that training puts in front of captions that lack it, '' for none.
    """

    folder: Path
    images: tuple[Checked, ...]
    data: DataSummary
    problems: tuple[Problem, ...]
    concepts: tuple[tags.Concept, ...]
    counts: tuple[tags.TagCount, ...]
    spelled_twice: tuple[tuple[str, ...], ...]
    alike: tuple[tuple[int, ...], ...]
    limit: int | None
    added: str = ""

    @property
    def errors(self) -> list[Problem]:
        """What keeps a run from starting."""
        return [item for item in self.problems if item.severity == "error"]

    def to_json(self) -> dict[str, Any]:
        """Plain values, without thumbnails."""
        images = []
        for item in self.images:
            row = asdict(item)
            del row["thumbnail"]
            images.append(row | {"path": readable(str(item.path))})
        return {
            "folder": readable(str(self.folder)),
            "problems": [
                {"path": readable(str(p.path)), "severity": p.severity, "what": readable(p.what),
                 "way_out": p.way_out} for p in self.problems
            ],
            "token_limit": self.limit,
            **self.data.to_json(),
            "images": images,
            "near_duplicates": [[self.images[place].name for place in group] for group in self.alike],
            "concepts": [asdict(item) for item in self.concepts],
            "tags": [asdict(item) for item in self.counts],
            "spelled_twice": [list(names) for names in self.spelled_twice],
        }  # fmt: skip


@dataclass(frozen=True)
class _Pixels:
    """What one decoding of an image gives; `problem` is '' where it succeeds."""

    problem: str = ""
    bits: Bits | None = None
    mirrored: Bits | None = None
    thumbnail: str = ""


def check(
    config: RunConfig, *, trigger: str = "", on_image: Callable[[int, int], None] | None = None
) -> Check:
    """Look at every image and caption of `dataset.path`.

    Args:
        config: The settings that the images would be trained with: resolution, buckets, captions.
        trigger: The word that is meant to call them; '' takes `dataset.trigger_word`, or looks for one.
        on_image: Called with (done, total).

    Raises:
        ConfigError: Bucket limits contradict the resolution, or a dataset file has wrong keys.
    """
    plan = survey(config)
    items, places = plan.items, plan.assignments
    looked = _look(items, config.dataset.max_image_pixels, on_image)
    broken = [
        Problem(item.path, "error", one.problem, "repair it, save it anew, or take it out of the folder")
        for item, one in zip(items, looked, strict=True)
        if one.problem
    ]
    counter = _counter(config)
    limit = counter.limit(config.base_model.max_token_length) if counter else None
    called = names_apart(item.folder for item in items)
    shown = called if len(called) > 1 else {}
    rows = tuple(
        _checked(item, place, one, (_tokens(item, counter, config), limit), shown)
        for item, place, one in zip(items, places, looked, strict=True)
    )
    written, added = tags.as_written(items), config.dataset.trigger_word or ""
    counts = tags.tag_counts(written)
    return Check(
        folder=Path(config.dataset.path),
        images=rows,
        data=summary(plan),
        problems=(*plan.problems, *broken),
        concepts=tags.concepts(written, trigger, added),
        added=added,
        counts=counts,
        spelled_twice=tags.spelled_twice(counts),
        alike=tuple(
            tuple(group)
            for group in alike.groups([one.bits for one in looked], [one.mirrored for one in looked])
        ),
        limit=limit,
    )


def _look(
    items: Sequence[CaptionedImage], max_pixels: int, on_image: Callable[[int, int], None] | None
) -> list[_Pixels]:
    found = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        for one in pool.map(lambda item: _pixels(item, max_pixels), items):
            found.append(one)
            if on_image is not None:
                on_image(len(found), len(items))
    return found


def _pixels(item: CaptionedImage, max_pixels: int) -> _Pixels:
    try:
        image = Image.fromarray(decode(read_bytes(item.path), max_pixels))
    except DataError as error:
        return _Pixels(str(error))
    # Hashes are made of 32 x 32 pixels: a small copy has the same, and the large one can be let go.
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=72)
    address = f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
    return _Pixels("", phash(image), phash(ImageOps.mirror(image)), address)


def _counter(config: RunConfig) -> TokenCounter | None:
    """The base model's own counter where there is one already, else CLIP's."""
    if config.base_model.path:
        try:
            return token_counter(identify(config.base_model.path))
        except ModelError:
            pass
    return packaged_counter()


def _tokens(item: CaptionedImage, counter: TokenCounter | None, config: RunConfig) -> int | None:
    if counter is None:
        return None
    return most_tokens(item.caption, item.settings.captions, counter, config.dataset.weighted_captions)


def _name(item: CaptionedImage, called: Mapping[Path, str]) -> str:
    folder = called.get(item.folder)
    return readable(f"{folder}/{item.path.name}" if folder else item.path.name)


def _checked(
    item: CaptionedImage,
    place: Assignment,
    looked: _Pixels,
    told: tuple[int | None, int | None],
    called: Mapping[Path, str],
) -> Checked:
    tokens, limit = told
    notes = [f"cannot be read: {looked.problem}"] if looked.problem else []
    if place.enlargement >= TINY:
        notes.append(f"tiny: enlarged {place.enlargement:.1f} times")
    if place.cut_away >= WORTH_NAMING:
        notes.append(f"the crop takes {place.cut_away:.0%}")
    if limit is not None and tokens is not None and tokens > limit:
        notes.append(f"{counted(tokens, 'token')}, {limit} are read")
    (left, top), (width, height), resized = place.crop_left_top, place.bucket, place.resized
    kept = (left / resized[0], top / resized[1], width / resized[0], height / resized[1])
    return Checked(
        item.path, _name(item, called), item.repeats, item.size, place.bucket, kept,
        round(place.cut_away, 4), round(place.enlargement, 3), readable(item.caption), tokens,
        (*notes, *tags.odd(item)), looked.thumbnail,
    )  # fmt: skip
