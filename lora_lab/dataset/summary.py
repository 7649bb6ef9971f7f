"""The findings of a check as lines, for the terminal and at the top of the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Literal

from lora_lab.counts import counted
from lora_lab.data.folder import some
from lora_lab.data.image_set import Problem, readable
from lora_lab.dataset.check import WORTH_NAMING, Check

FEW_IMAGES = 3
"""Images of a bucket below which their few shapes are seen often."""
ROUNDING = 1.01
"""Enlargements that come of whole pixels."""


@dataclass(frozen=True)
class Line:
    """One finding: an error keeps a run from starting, a warning is to be looked at."""

    kind: Literal["error", "warning", "fine"]
    text: str


def findings(found: Check) -> list[Line]:
    """Everything that a reader should know, in the order of the page."""
    lines = [Line(item.severity, _problem(item)) for item in found.problems]
    if not found.images:
        return lines
    return [*lines, *_sizes(found), *_alike(found), *_captions(found), *_triggers(found), *_tags(found)]


def _problem(item: Problem) -> str:
    parent = item.path.resolve().parent.name if item.path.is_file() else ""
    text = f"{parent}/{item.path.name}: {item.what}".lstrip("/")
    return readable(f"{text}; {item.way_out}" if item.way_out else text)


def _named(found: Check, places: list[int]) -> str:
    names = some(found.images[place].name for place in places)
    return f"{len(places)} of {len(found.images)} ({names})"


def _sizes(found: Check) -> Iterator[Line]:
    images = found.images
    ratios = [item.size[0] / item.size[1] for item in images]
    buckets = found.data.buckets
    spread = f"aspect ratios {min(ratios):.2f} to {max(ratios):.2f}, in the middle {median(ratios):.2f}"
    alone = [bucket for bucket in buckets if bucket.images < FEW_IMAGES]
    if alone and len(buckets) > 1:
        names = some(f"{bucket.width}x{bucket.height}" for bucket in alone)
        hold = "holds" if len(alone) == 1 else "hold"
        what = f"{len(alone)} of {len(buckets)} buckets {hold} fewer than {FEW_IMAGES} images ({names})"
        yield Line("warning", f"{what}; {spread}; `lora-lab dataset buckets` draws them")
    else:
        yield Line("fine", f"{counted(len(buckets), 'bucket')}; {spread}")
    small = [place for place, item in enumerate(images) if item.enlargement > ROUNDING]
    if small:
        most = max(images[place].enlargement for place in small)
        yield Line(
            "warning", f"smaller than their bucket, enlarged up to {most:.2f} times: {_named(found, small)}"
        )
    else:
        yield Line("fine", "no image is enlarged")
    cut = [place for place, item in enumerate(images) if item.cut >= WORTH_NAMING]
    if cut:
        yield Line("warning", f"the crop takes {WORTH_NAMING:.0%} and more: {_named(found, cut)}")
    else:
        yield Line("fine", f"the crop takes at most {max(item.cut for item in images):.0%} of an image")


def _alike(found: Check) -> Iterator[Line]:
    for group in found.alike:
        names = ", ".join(found.images[place].name for place in group)
        yield Line("warning", f"nearly the same image: {names}; each counts with its own repeats")
    if not found.alike:
        yield Line("fine", "no two images are nearly the same")


def _captions(found: Check) -> Iterator[Line]:
    odd = [place for place, item in enumerate(found.images) if any("caption" in note for note in item.notes)]
    if odd:
        first = next(note for note in found.images[odd[0]].notes if "caption" in note)
        yield Line("warning", f"odd captions: {_named(found, odd)}, the first: {first}")
    tokens = [item.tokens for item in found.images if item.tokens is not None]
    if found.limit is None or not tokens:
        return
    over = [place for place, item in enumerate(found.images) if (item.tokens or 0) > found.limit]
    if over:
        what = f"longer than the {found.limit} tokens that are read: {_named(found, over)}"
        yield Line("warning", f"{what}; base_model.max_token_length=225 reads three times as many")
    else:
        yield Line("fine", f"captions have up to {counted(max(tokens), 'token')}, {found.limit} are read")


def _triggers(found: Check) -> Iterator[Line]:
    for one in found.concepts:
        folder = one.folder.rsplit("/", 1)[-1]
        captions = counted(one.images, "caption lacks", "captions lack")
        if not one.trigger:
            way_out = "give --trigger WORD, or set dataset.trigger_word"
            yield Line("warning", f"{folder}: no word calls these images; {way_out}")
        elif one.lacking and one.added:
            lack = f"{len(one.lacking)} of {captions} {one.trigger!r}"
            other = "; dataset.trigger_word=WORD puts another" if len(one.lacking) == one.images else ""
            text = f"{folder}: {lack}: dataset.trigger_word puts it in front of them in training{other}"
            yield Line("warning" if other else "fine", text)
        elif one.lacking:
            what = f"{len(one.lacking)} of {captions} the trigger {one.trigger!r} ({one.origin})"
            way_out = f"dataset.trigger_word={one.trigger!r} puts it in front"
            yield Line("warning", f"{folder}: {what}: {some(one.lacking)}; {way_out}")
        else:
            hold = counted(one.images, "caption holds", "captions hold")
            yield Line("fine", f"{folder}: all {hold} {one.trigger!r} ({one.origin})")
        if one.fused:
            tags = ", ".join(f"{tag.tag} {tag.share:.0%}" for tag in one.fused)
            what = f"these tags stand with {one.trigger!r} nearly always and fuse with it: {tags}"
            way_out = "drop those that belong to it, or show images without what they name"
            yield Line("warning", f"{folder}: {what}; {way_out}")
    if found.added and all(one.trigger != found.added for one in found.concepts):
        what = f"training puts another word in front of captions: dataset.trigger_word={found.added!r}"
        yield Line("warning", f"{what}; set it to the word that is meant, or to null")


def _tags(found: Check) -> Iterator[Line]:
    for names in found.spelled_twice:
        yield Line("warning", f"one tag in several spellings: {', '.join(map(repr, names))}")
    once = sum(count.images == 1 for count in found.counts)
    yield Line("fine", f"{len(found.counts)} different tags, {once} of them in one caption only")
