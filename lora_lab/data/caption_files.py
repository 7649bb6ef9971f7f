"""Caption files: which one belongs to a picture, and its text whatever the encoding."""

from dataclasses import dataclass
from pathlib import Path

from lora_lab.errors import DataError

_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


@dataclass(frozen=True)
class CaptionText:
    """A caption file's non-empty lines, stripped and joined by newlines, and how it was encoded."""

    text: str
    encoding: str


def read_caption(path: Path) -> CaptionText:
    """Read a caption in UTF-8, UTF-16 with a mark, or CP932 (Shift-JIS).

    Raises:
        DataError: It cannot be read or decoded; the text is a clause without the file's name.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})") from error
    marked = next((name for mark, name in _BYTE_ORDER_MARKS.items() if data.startswith(mark)), None)
    for encoding in (marked,) if marked else ("utf-8", "cp932"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return CaptionText("\n".join(line.strip() for line in text.splitlines() if line.strip()), encoding)
    raise DataError("is neither UTF-8, UTF-16 nor Shift-JIS text")
