"""Images as the rest of the program sees them, and the one report of what is wrong with them."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lora_lab.data.settings import SubsetSettings
from lora_lab.errors import DataError


def readable(text: str) -> str:
    """A text with file names in it as it can be printed: bytes that are no UTF-8 show as \\x83."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Problem:
    """One thing the user should know about a file or folder, and the way out."""

    path: Path
    severity: Literal["error", "warning"]
    what: str
    way_out: str = ""

    def __str__(self) -> str:
        way_out = f"; {self.way_out}" if self.way_out else ""
        return readable(f"{self.severity}: {self.path}: {self.what}{way_out}")


@dataclass(frozen=True)
class CaptionedImage:
    """One image to train on.

    Args:
        size: (width, height) in pixels after EXIF rotation.
        sha256: Hash of the file's bytes.
        caption: Text of the caption file, its lines stripped and joined by newlines, or the class tokens.
        transparent: Whether the image has an alpha channel.
    """

    path: Path
    size: tuple[int, int]
    sha256: str
    repeats: int
    caption: str
    settings: SubsetSettings
    transparent: bool = False

    @property
    def folder(self) -> Path:
        """The folder that the image lies in."""
        return self.path.parent

    @property
    def is_reg(self) -> bool:
        """Whether this is a regularisation image."""
        return self.settings.is_reg


@dataclass(frozen=True)
class ImageSet:
    """What a scan found."""

    items: list[CaptionedImage] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def __add__(self, other: "ImageSet") -> "ImageSet":
        return ImageSet(self.items + other.items, self.problems + other.problems)


def report(problems: Sequence[Problem]) -> str:
    """All problems as one text, errors first; empty when there are none."""
    errors = [p for p in problems if p.severity == "error"]
    warnings = [p for p in problems if p.severity == "warning"]
    return "\n".join(str(p) for p in errors + warnings)


def refuse_errors(problems: Sequence[Problem]) -> None:
    """Raise one `DataError` that names every error; warnings pass."""
    errors = [p for p in problems if p.severity == "error"]
    if errors:
        count = f"{len(errors)} problems" if len(errors) > 1 else "one problem"
        raise DataError(f"the training images have {count}:\n{report(errors)}")


def identity(items: Iterable[CaptionedImage]) -> str:
    """Hash of what is trained on: images' bytes, captions and repeats; names, places and order do not
    count.

    Settings of captions and buckets are not in it: they are in the run's config.
    """
    rows = sorted((i.sha256, *_traits(i)) for i in items)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _traits(item: CaptionedImage) -> tuple[int, bool, str, int]:
    return item.settings.dataset, item.is_reg, item.caption, item.repeats


def order_keys(items: Sequence[CaptionedImage]) -> list[str]:
    """A key per item by its content, unique within the run; two copies of the same items get the same keys.

    Copies of one image are told apart by caption and repeats, so that the order of draws depends on no
    file name.
    """
    rank = sorted(range(len(items)), key=lambda i: (items[i].sha256, *_traits(items[i])))
    seen: Counter[str] = Counter()
    keys = [""] * len(items)
    for index in rank:
        digest = items[index].sha256
        keys[index] = f"{digest}:{seen[digest]}"
        seen[digest] += 1
    return keys
