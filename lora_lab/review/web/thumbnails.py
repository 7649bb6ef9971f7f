"""Small copies of images, made when they are first asked for and kept on disk by content."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from threading import BoundedSemaphore

from PIL import Image

from lora_lab.errors import RunFolderError
from lora_lab.files import replacing

SIZES = (128, 192, 256, 384)
"""Long sides in pixels that may be asked for: few, so that the folder stays small."""
QUALITY = 82
AT_ONCE = 2
"""Images that are decoded at the same time; each takes its full size in memory."""


@dataclass(frozen=True)
class Small:
    """A small copy ready to be sent; `tag` changes with the content."""

    data: bytes
    media_type: str
    tag: str


@dataclass
class Thumbnails:
    """The folder of small copies; safe to use from several threads.

    A copy is named by its original's content, so it outlives moves and renames, and an image that was
    rendered again gets another one. What a file contains is remembered as long as the file stays the same.
    """

    folder: Path
    _content: dict[tuple[str, int, int, int], str] = field(default_factory=dict)
    _busy: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(AT_ONCE))

    def tag(self, image: Path) -> str:
        """The content of an image as 32 hex digits.

        Raises:
            OSError: The file is gone.
        """
        stat = image.stat()
        key = str(image), stat.st_size, stat.st_mtime_ns, stat.st_ino
        if key not in self._content:
            with open(image, "rb") as file:
                self._content[key] = hashlib.file_digest(file, "sha256").hexdigest()[:32]
        return self._content[key]

    def small(self, image: Path, size: int) -> Small:
        """A copy whose long side is `size`, or the image itself where it is no larger.

        Raises:
            OSError: The file is gone or is no image.
        """
        tag = self.tag(image)
        kept = self.folder / tag[:2] / f"{tag}-{size}.webp"
        try:
            return Small(kept.read_bytes(), "image/webp", f"{tag}-{size}")
        except OSError:
            pass
        with self._busy:
            data = _shrunk(image, size)
        if data is None:
            return Small(image.read_bytes(), "image/png", tag)
        try:
            with replacing(kept) as temporary:
                temporary.write_bytes(data)
        except RunFolderError:
            # Results may lie on a disk that this user can only read.
            pass
        return Small(data, "image/webp", f"{tag}-{size}")


def _shrunk(file: Path, size: int) -> bytes | None:
    """The image as WebP with a long side of `size`; None where it is no larger than that."""
    with Image.open(file) as image:
        if max(image.size) <= size:
            return None
        factor = size / max(image.size)
        shape = max(round(image.width * factor), 1), max(round(image.height * factor), 1)
        small = image.convert("RGB").resize(shape, Image.Resampling.LANCZOS, reducing_gap=3.0)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=QUALITY, method=3)
    return out.getvalue()
