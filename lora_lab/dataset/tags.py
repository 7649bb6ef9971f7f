"""What the captions of a dataset say: trigger words, tags and their counts, and what is odd about them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lora_lab.data.captions import has_word, undropped
from lora_lab.data.image_set import CaptionedImage, readable
from lora_lab.effective.marks import marks
from lora_lab.effective.texts import found_trigger

FUSED = 0.9
"""Share of a trigger word's captions from which on a tag stands with it nearly always."""
FEW = 3
"""With fewer captions than these everything stands with everything."""

CLASS_TOKENS = "the name of the folder"


@dataclass(frozen=True)
class Fused:
    """A tag that stands with a trigger word: `share` of the captions with the word, 0.9 to 1."""

    tag: str
    share: float


@dataclass(frozen=True)
class Concept:
    """The images of one folder and the word that is to call them.

    Attributes:
        draws: Samples of one epoch.
        trigger: The word, '' where none was found; `origin` says where.
        lacking: Names of the images whose own captions do not hold it.
        added: Whether training puts it in front of those (`dataset.trigger_word`).
        fused: Tags that the model cannot tell from it, since they stand wherever it stands.
    """

    folder: str
    images: int
    draws: int
    trigger: str
    origin: str
    lacking: tuple[str, ...] = ()
    fused: tuple[Fused, ...] = ()
    added: bool = False


@dataclass(frozen=True)
class TagCount:
    """A tag, the captions that hold it, and in how many folders they lie."""

    tag: str
    images: int
    folders: int


def prompt_of(item: CaptionedImage) -> str:
    """What an image is trained with where nothing is dropped: prefix, suffix and trigger word included."""
    return undropped(item.caption, item.settings.captions)


def tags_of(item: CaptionedImage) -> list[str]:
    """The tags of an image's prompt, in their order."""
    separator = item.settings.captions.caption_separator
    return [tag for part in prompt_of(item).split(separator) if (tag := part.strip())]


def as_written(items: Sequence[CaptionedImage]) -> list[CaptionedImage]:
    """The images without the trigger word that training would put in front of their captions."""
    return [
        replace(
            item, settings=replace(item.settings, captions=replace(item.settings.captions, trigger_word=""))
        )
        for item in items
    ]


def concepts(items: Sequence[CaptionedImage], trigger: str = "", added: str = "") -> tuple[Concept, ...]:
    """One per folder, regularisation images left out.

    Args:
        items: As they are written (`as_written`).
        trigger: The word that is meant to call all of them; '' looks for one in each folder.
        added: The word that training puts in front of captions, '' for none.
    """
    by_folder: dict[Path, list[CaptionedImage]] = defaultdict(list)
    for item in items:
        if not item.is_reg:
            by_folder[item.folder].append(item)
    return tuple(_concept(folder, own, trigger, added) for folder, own in by_folder.items())


def _concept(folder: Path, items: Sequence[CaptionedImage], asked: str, added: str) -> Concept:
    word, origin = (asked or added, "as given" if asked else "dataset.trigger_word")
    if not word:
        word, origin = _trigger(items)
    holding = [item for item in items if word and has_word(prompt_of(item), word)]
    lacking = tuple(readable(item.path.name) for item in items if word and item not in holding)
    draws = sum(item.repeats for item in items)
    fused = _fused(word, holding)
    return Concept(
        readable(str(folder)), len(items), draws, word, origin, lacking, fused, bool(added) and word == added
    )


def _trigger(items: Sequence[CaptionedImage]) -> tuple[str, str]:
    """The word that calls the images of one folder: the longest beginning of its name that captions hold.

    A folder's name only becomes a caption where an image has none of its own.
    """
    tokens = items[0].settings.class_tokens or ""
    words = tokens.split()
    for length in range(len(words), 0, -1):
        start = " ".join(words[:length])
        if any(has_word(prompt_of(item), start) for item in items):
            return start, CLASS_TOKENS
    word, origin = found_trigger([item for item in items if item.caption != tokens])
    if word and word != tokens:
        return word, origin
    return (tokens, CLASS_TOKENS) if tokens else ("", "")


def _fused(word: str, holding: Sequence[CaptionedImage]) -> tuple[Fused, ...]:
    if len(holding) < FEW:
        return ()
    counts = Counter(tag for item in holding for tag in dict.fromkeys(tags_of(item)))
    shares = [(tag, count / len(holding)) for tag, count in counts.most_common() if not has_word(tag, word)]
    return tuple(Fused(tag, round(share, 3)) for tag, share in shares if share >= FUSED)


def tag_counts(items: Sequence[CaptionedImage]) -> tuple[TagCount, ...]:
    """Every tag, those in most captions first; a caption that says one twice counts once."""
    holders: dict[str, list[Path]] = defaultdict(list)
    for item in items:
        for tag in dict.fromkeys(tags_of(item)):
            holders[tag].append(item.folder)
    counts = [TagCount(tag, len(folders), len(set(folders))) for tag, folders in holders.items()]
    return tuple(sorted(counts, key=lambda count: (-count.images, count.tag)))


def spelled_twice(counts: Sequence[TagCount]) -> tuple[tuple[str, ...], ...]:
    """Tags that are one word spelled in several ways: by case, underscores or blanks."""
    by_form: dict[str, list[str]] = defaultdict(list)
    for count in counts:
        by_form[re.sub(r"[\s_-]+", " ", count.tag.casefold())].append(count.tag)
    return tuple(tuple(names) for names in by_form.values() if len(names) > 1)


def odd(item: CaptionedImage) -> Iterator[str]:
    """What is strange about one image's caption, each as a clause."""
    caption = item.caption.split("\n")[0]
    if not caption.strip():
        yield "the caption is empty"
        return
    separator = item.settings.captions.caption_separator
    parts = [part.strip() for part in caption.split(separator)]
    if any(not part for part in parts[:-1]):
        yield "an empty tag in the caption"
    twice = [tag for tag, count in Counter(part.casefold() for part in parts if part).items() if count > 1]
    if twice:
        yield f"{', '.join(map(repr, twice))} stands twice in the caption"
    if found := marks(caption):
        yield f"{', '.join(map(repr, found))} in the caption is trained as words"
    if readable(caption.casefold()) == readable(item.path.stem.casefold()):
        yield "the caption is the file's name"
