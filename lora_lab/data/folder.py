"""What lies in a folder of images: images, captions, and everything that is not understood, by name."""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lora_lab.counts import counted
from lora_lab.data import images
from lora_lab.data.image_set import Problem
from lora_lab.models.families import FAMILIES

NUMBERED = re.compile(r"(\d+)(?:_(.*))?", re.DOTALL)
"""kohya's folder names: repeats, then class tokens."""

CAPTIONS = (".txt", ".caption")
_LEAVINGS = {"thumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir"}
_CACHES = (".npz", *(family.files.cache for family in FAMILIES.values() if family.files.cache))
_SHOWN = 3


@dataclass
class Contents:
    """The entries of one folder, by what they are; hidden files and known leavings are in none of the lists.

    Attributes:
        images: Files to train on, in the order of their names.
        captions: Caption files by `caption_key` of their names.
        subfolders: Folders in it, in the order of their names.
        dangling: Links to nothing.
        unknown: Files that are neither image nor caption.
    """

    images: list[Path] = field(default_factory=list)
    captions: dict[str, Path] = field(default_factory=dict)
    subfolders: list[Path] = field(default_factory=list)
    dangling: list[Path] = field(default_factory=list)
    unknown: list[Path] = field(default_factory=list)


def contents(folder: Path, caption_extension: str = ".txt") -> Contents:
    """List a folder; raises OSError where it cannot be listed."""
    found = Contents()
    known, texts = images.extensions(), {*CAPTIONS, caption_extension.lower()}
    for path in sorted(folder.iterdir(), key=lambda p: p.name):
        name = path.name.lower()
        if path.name.startswith(".") or name in _LEAVINGS:
            continue
        if path.is_dir():
            found.subfolders.append(path)
        elif not path.exists():
            found.dangling.append(path)
        elif path.suffix.lower() in known:
            found.images.append(path)
        elif any(name.endswith(end) for end in texts):
            found.captions[caption_key(path.name)] = path
        elif not name.endswith(_CACHES):
            found.unknown.append(path)
    return found


def caption_key(name: str) -> str:
    """What names of images and captions are compared by: neither case nor Unicode form (macOS) counts."""
    return unicodedata.normalize("NFC", name).lower()


def numbered_name(folder: Path) -> re.Match[str] | None:
    """The match of `NUMBERED` on a folder's own name; a link's is the link's, not its target's."""
    return NUMBERED.fullmatch(unicodedata.normalize("NFC", Path(os.path.abspath(folder)).name))


def names_apart(folders: Iterable[Path]) -> dict[Path, str]:
    """What folders are called where several stand together: the last part of the path, and as many parts
    before it as tell those apart that share it."""
    found: dict[Path, str] = {}
    different = list(dict.fromkeys(folders))
    for folder in different:
        length = 1
        while length < len(folder.parts) and any(
            other != folder and other.parts[-length:] == folder.parts[-length:] for other in different
        ):
            length += 1
        found[folder] = "/".join(folder.parts[-length:])
    return found


def not_read(folder: Path, found: Contents) -> Iterator[Problem]:
    """One warning per folder and kind of entry that is passed over, with count and names."""
    if found.dangling:
        count = counted(len(found.dangling), "link")
        yield _warning(folder, found.dangling, f"{count} to nothing", "mend or remove them")
    if found.unknown:
        kinds = f"images are files named {', '.join(sorted('*' + e for e in images.extensions()))}"
        files = counted(len(found.unknown), "file that is", "files that are")
        what = f"{files} neither image nor caption, not read"
        yield _warning(folder, found.unknown, what, kinds)
    for sub in found.subfolders:
        yield from passed_over(sub, "not trained on: sub-folders are not read", "move them up one level")


def passed_over(sub: Path, why: str, way_out: str) -> Iterator[Problem]:
    """A warning where a folder that is not read holds images, at any depth, or cannot be listed."""
    inner, closed = images_below(sub)
    if closed is not None:
        reason = closed.strerror or str(closed)
        yield Problem(sub, "warning", f"cannot be listed ({reason}), not trained on", "check its permissions")
    if inner:
        yield _warning(sub, inner, f"{counted(len(inner), 'image')} {why}", way_out)


def images_below(folder: Path) -> tuple[list[Path], OSError | None]:
    """The images in a folder and its sub-folders, and what kept it from being listed."""
    known, found = images.extensions(), []
    errors: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=errors.append):
        folders[:] = sorted(name for name in folders if not _is_left(name))
        found += [
            Path(place, n) for n in sorted(names) if Path(n).suffix.lower() in known and not _is_left(n)
        ]
    return found, errors[0] if errors else None


def _is_left(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LEAVINGS


def _warning(folder: Path, paths: list[Path], what: str, way_out: str = "") -> Problem:
    return Problem(folder, "warning", f"{what} ({some(p.name for p in paths)})", way_out)


def some(names: Iterable[str]) -> str:
    """The first names of a list, for people."""
    listed = list(names)
    return ", ".join(listed[:_SHOWN]) + (", ..." if len(listed) > _SHOWN else "")
