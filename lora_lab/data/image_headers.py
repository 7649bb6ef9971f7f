"""Size and hash of every image in a folder, remembered between runs.

The memory is keyed by a file's size, times and inode. An entry written within two seconds of the file's
last change is not believed (the file may have changed again inside the clock's grain), so that an edited
image is always read anew."""

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lora_lab.data.images import Header, read_bytes, read_header
from lora_lab.errors import LoraLabError
from lora_lab.files import write_text

_FORMAT = 1
_CLOCK_GRAIN_NS = 2_000_000_000


@dataclass(frozen=True)
class FileFacts:
    """An image's header and the hash of its bytes."""

    header: Header
    sha256: str


@dataclass(frozen=True)
class _Entry:
    """Facts with the file's [bytes, modified, changed, inode] and the time they were read, in nanoseconds."""

    stamp: list[int]
    read_at: int
    facts: FileFacts

    @property
    def is_settled(self) -> bool:
        return max(self.stamp[1], self.stamp[2]) + _CLOCK_GRAIN_NS < self.read_at


@dataclass
class HeaderCache:
    """Facts about the images of one folder; `save` writes what is new.

    Args:
        folder: The images' folder.
        cache: Folder for the memory, or None for none.
        max_pixels: Larger images are refused.
    """

    folder: Path
    cache: Path | None
    max_pixels: int
    _known: dict[str, _Entry] = field(default_factory=dict)
    _changed: bool = False

    def __post_init__(self) -> None:
        if self._file is not None:
            self._known = _read(self._file)

    @property
    def _file(self) -> Path | None:
        if self.cache is None:
            return None
        name = hashlib.sha256(os.fsencode(self.folder.resolve())).hexdigest()[:24]
        return self.cache / f"{name}.json"

    def facts(self, path: Path) -> FileFacts:
        """Header and hash of one image.

        Raises:
            DataError: The image cannot be used; the text is a clause without the file's name.
        """
        stamp = _stamp(path)
        entry = self._known.get(path.name)
        if entry is not None and entry.stamp == stamp and entry.is_settled:
            header = entry.facts.header
            if header.width * header.height <= self.max_pixels:
                return entry.facts
        read_at = time.time_ns()
        data = read_bytes(path)
        facts = FileFacts(read_header(data, self.max_pixels), hashlib.sha256(data).hexdigest())
        if stamp == _stamp(path):
            self._known[path.name] = _Entry(stamp, read_at, facts)
            self._changed = True
        return facts

    def save(self) -> None:
        """Write what was learned; a folder that cannot be written to costs time only."""
        if self._file is not None and self._changed:
            files = {name: asdict(entry) for name, entry in self._known.items()}
            with suppress(LoraLabError):
                write_text(self._file, json.dumps({"format": _FORMAT, "files": files}))


def _read(file: Path) -> dict[str, _Entry]:
    """The stored entries, or none when the file is missing, damaged or of another format."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        if stored["format"] != _FORMAT:
            return {}
        return {name: _entry(row) for name, row in stored["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _entry(row: dict[str, Any]) -> _Entry:
    facts = FileFacts(Header(**row["facts"]["header"]), row["facts"]["sha256"])
    return _Entry([int(value) for value in row["stamp"]], int(row["read_at"]), facts)


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return [0, 0, 0, 0]
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
