"""Captions changed in bulk: planned first, written on demand, undone to the byte."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_lab.data.caption_files import read_caption
from lora_lab.data.folder import caption_key, contents
from lora_lab.data.image_set import readable
from lora_lab.errors import ConfigError, DataError, RunFolderError, broken_at
from lora_lab.files import replacing, write_json, write_text

KEPT = ".lora_lab_captions"
"""The folder beside the images that holds what captions were before; scans pass over hidden folders."""


@dataclass(frozen=True)
class Edit:
    """What is done to every caption, in this order.

    Attributes:
        tagged: Tags by image that replace a missing or empty caption; see `keep`.
        keep: What `tagged` does to captions that are there: keep leaves them, append adds what they lack,
            replace takes their place.
        spaces: Underscores become blanks, but in faces such as ^_^.
        remove, replace: Whole tags; case does not count. A tag that is replaced by '' goes away.
        add_first, add: Tags that are missing, in front and at the end.
        first: Tags moved to the front, where a caption has them.
        sort: '' leaves the order; frequency puts the commonest behind `first`; alphabet.
        unique: Each tag once.
    """

    tagged: Mapping[Path, Sequence[str]] = field(default_factory=dict)
    keep: str = "keep"
    spaces: bool = False
    remove: tuple[str, ...] = ()
    replace: Mapping[str, str] = field(default_factory=dict)
    add_first: tuple[str, ...] = ()
    add: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    sort: str = ""
    unique: bool = False
    separator: str = ","


@dataclass(frozen=True)
class Change:
    """A caption that will be another; `before` is None where there is no file yet."""

    image: Path
    file: Path
    before: str | None
    after: str


def images_below(folder: Path, caption_extension: str) -> list[Path]:
    """The images of a folder and of the folders right in it.

    Raises:
        ConfigError: There are none.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder")
    within = contents(folder, caption_extension)
    found = list(within.images)
    for sub in within.subfolders:
        found += contents(sub, caption_extension).images
    if not found:
        raise ConfigError(f"{folder}: there are no images in it or in its sub-folders")
    return found


def plan(images: Sequence[Path], edit: Edit, caption_extension: str = ".txt") -> list[Change]:
    """What an edit changes; captions that stay as they are are left out. Nothing is written.

    Raises:
        DataError: A caption cannot be read.
    """
    found = [_caption(image, caption_extension) for image in images]
    before = [(image, file, text) for image, (file, text) in zip(images, found, strict=True)]
    drafts = [_edited(image, text or "", edit) for image, _, text in before]
    counts = Counter(tag for lines in drafts for line in lines for tag in dict.fromkeys(line))
    changes, seen = [], set()
    for (image, file, text), lines in zip(before, drafts, strict=True):
        ordered = [_ordered(line, edit, counts) for line in lines]
        # Where no tag changes, blanks and commas are left as somebody wrote them.
        if ordered != _lines(text or "", edit) and file not in seen:
            seen.add(file)  # two images of one stem share their caption
            after = "\n".join(f"{edit.separator} ".join(line) for line in ordered)
            changes.append(Change(image, file, text, after))
    return changes


def _caption(image: Path, extension: str) -> tuple[Path, str | None]:
    """An image's caption file, whether it is there or not, and its text."""
    wanted = caption_key(image.stem + extension)
    file = contents(image.parent, extension).captions.get(wanted)
    if file is None:
        return image.with_name(image.stem + extension), None
    try:
        return file, read_caption(file).text
    except DataError as error:
        raise DataError(f"{readable(str(file))}: the caption {error}; save it as UTF-8") from error


def _edited(image: Path, text: str, edit: Edit) -> list[list[str]]:
    """The tags of each caption line, before they are put in order."""
    lines = _lines(text, edit)
    tagged = list(edit.tagged.get(image, ()))
    if tagged and (edit.keep == "replace" or not any(lines)):
        lines = [tagged]
    elif tagged and edit.keep == "append":
        lines = [[*line, *_missing(tagged, line)] for line in lines]
    return [_changed(line, edit) for line in lines]


def _lines(text: str, edit: Edit) -> list[list[str]]:
    """The tags of each line of a caption."""
    return [
        [tag for part in line.split(edit.separator) if (tag := part.strip())] for line in text.split("\n")
    ]


def _changed(tags: list[str], edit: Edit) -> list[str]:
    if edit.spaces:
        tags = [spaced(tag) for tag in tags]
    gone = {tag.casefold() for tag in edit.remove}
    others = {old.casefold(): new for old, new in edit.replace.items()}
    tags = [others.get(tag.casefold(), tag) for tag in tags if tag.casefold() not in gone]
    tags = [*_missing(edit.add_first, tags), *tags]
    tags = [*tags, *_missing(edit.add, tags)]
    if edit.unique:
        tags = list({tag.casefold(): tag for tag in reversed(tags)}.values())[::-1]
    return [tag for tag in tags if tag]


def _missing(wanted: Sequence[str], there: Sequence[str]) -> list[str]:
    known = {tag.casefold() for tag in there}
    return [tag for tag in wanted if tag.casefold() not in known]


def _ordered(tags: list[str], edit: Edit, counts: Mapping[str, int]) -> list[str]:
    places = {tag.casefold(): place for place, tag in enumerate(edit.first)}
    front = sorted((tag for tag in tags if tag.casefold() in places), key=lambda t: places[t.casefold()])
    rest = [tag for tag in tags if tag.casefold() not in places]
    orders: dict[str, Callable[[str], Any]] = {
        "frequency": lambda tag: (-counts[tag], tag), "alphabet": str.casefold
    }  # fmt: skip
    return [*front, *(sorted(rest, key=orders[edit.sort]) if edit.sort else rest)]


def spaced(tag: str) -> str:
    """A tag with blanks for underscores; faces such as ^_^ and 0_0 are left: they have no word on a side."""
    halves = tag.split("_")
    words = all(len(half) > 1 or half.isalpha() for half in halves if half)
    return tag.replace("_", " ").strip() if words and any(len(half) > 1 for half in halves) else tag


def write(folder: Path, changes: Sequence[Change]) -> Path:
    """Write changed captions as UTF-8, after what they were is kept; returns the file that keeps it.

    Raises:
        RunFolderError: Something cannot be written; what was not reached is as before.
    """
    kept = folder / KEPT / f"{_last(folder) + 1:04d}.json"
    entries = [
        {
            "file": str(change.file.relative_to(folder)),
            "before": _bytes_of(change.file),
            "after": hashlib.sha256(change.after.encode("utf-8", "surrogateescape")).hexdigest(),
        }
        for change in changes
    ]
    write_json(kept, {"captions": entries})
    for change in changes:
        write_text(change.file, change.after)
    return kept


def undo(folder: Path) -> tuple[list[Path], list[Path]]:
    """Take back what `write` did last: (captions as before, captions that somebody changed since).

    Raises:
        ConfigError: There is nothing to take back.
        RunFolderError: What is kept is damaged, or something cannot be written.
    """
    number = _last(folder)
    if not number:
        raise ConfigError(f"{folder}: there is nothing to undo")
    kept = folder / KEPT / f"{number:04d}.json"
    try:
        entries = [
            (folder / item["file"], item["before"], item["after"])
            for item in json.loads(kept.read_text(encoding="utf-8"))["captions"]
        ]
        texts = [None if before is None else base64.b64decode(before) for _, before, _ in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{kept} is damaged ({broken_at(error)}): nothing was undone") from error
    back, changed = [], []
    for (file, _, after), text in zip(entries, texts, strict=True):
        now = base64.b64decode(_bytes_of(file) or "")
        if now == text or (text is None and not file.exists()):
            continue  # this write never came so far
        if hashlib.sha256(now).hexdigest() != after:
            changed.append(file)
        else:
            _put_back(file, text)
            back.append(file)
    kept.rename(kept.with_suffix(".undone"))
    return back, changed


def _put_back(file: Path, text: bytes | None) -> None:
    if text is None:
        file.unlink(missing_ok=True)
        return
    with replacing(file) as temporary:
        temporary.write_bytes(text)


def _bytes_of(file: Path) -> str | None:
    try:
        return base64.b64encode(file.read_bytes()).decode()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunFolderError(f"{file} cannot be read: {error.strerror or error}") from error


def _last(folder: Path) -> int:
    """The number of the last write that was not undone; 0 where there is none."""
    numbers = [int(item.stem) for item in (folder / KEPT).glob("*.json") if item.stem.isdigit()]
    return max(numbers, default=0)
