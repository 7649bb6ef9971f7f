"""Caption files: their text whatever the encoding, and which encoding it was."""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from lora_lab.errors import DataError

_BYTE_ORDER_MARKS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8-sig",
}
GUESSED = {"cp932": "Shift-JIS", "cp1252": "Windows-1252", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}
"""Encodings that nothing in the file says, with their names for people."""

_KANA = re.compile(
    "[\u3001-\u3003\u300c-\u300f\u3041-\u3096\u30a1-\u30fc\uff01-\uff5e]"
)  # full width, 、。「」
_KANJI = re.compile("[\u4e00-\u9fff]")
_HALF_WIDTH = re.compile("[\uff61-\uff9f]")
_BETWEEN_LETTERS = re.compile("[A-Za-z0-9][^\x00-\x7f]|[^\x00-\x7f][A-Za-z0-9]")
_MOSTLY = 0.3  # most bytes beyond ASCII in a text of a Western language
_WESTERN_RUN = re.compile(rb"[\x80-\xff]{4,}")


@dataclass(frozen=True)
class CaptionText:
    """A caption file's non-empty lines, stripped and joined by newlines, and how it was encoded."""

    text: str
    encoding: str


def read_caption(path: Path) -> CaptionText:
    """Read a caption in UTF-8, UTF-16, Shift-JIS (CP932) or Windows-1252.

    Shift-JIS decodes nearly everything, so that it counts only where Japanese comes of it.

    Raises:
        DataError: It cannot be read or decoded; the text is a clause without the file's name.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})") from error
    found = decoded(data)
    if found is None:
        raise DataError("is neither UTF-8, UTF-16, Shift-JIS nor Windows-1252 text")
    text, encoding = found
    return CaptionText("\n".join(line.strip() for line in text.splitlines() if line.strip()), encoding)


def decoded(data: bytes) -> tuple[str, str] | None:
    """(text, encoding) of a caption's bytes; None where no encoding makes a caption of them."""
    marked = next((name for mark, name in _BYTE_ORDER_MARKS.items() if data.startswith(mark)), None)
    if marked:
        text = _as(data, marked)
        return (text, marked) if text is not None and "\0" not in text else None
    for encoding, fits in (
        ("utf-8", _any),
        ("utf-16-le", _is_plain),
        ("utf-16-be", _is_plain),
        ("cp932", _looks_japanese),
    ):
        if encoding.startswith("utf-16") and b"\0" not in data:
            continue
        text = _as(data, encoding)
        if text is not None and "\0" not in text and fits(text):
            return text, encoding
    western = _as(data, "cp1252") if _is_western(data) else None
    return (western, "cp1252") if western is not None else None


def _as(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _any(text: str) -> bool:
    return True


def _is_plain(text: str) -> bool:
    """Whether nothing but ASCII, Latin and Japanese comes of it, as of the right half of UTF-16."""
    return all(char.isspace() or char < "\u0250" or _KANA.match(char) or _KANJI.match(char) for char in text)


def _looks_japanese(text: str) -> bool:
    """Whether decoding as Shift-JIS gave Japanese: kana, or kanji in use that stand among themselves.

    A Windows-1252 quotation mark or accent takes the letter behind it along: one rare kanji inside a word.
    """
    beyond = [char for char in text if char > "\x7f"]
    if any(unicodedata.category(char) == "Co" for char in beyond):
        return False
    half_width = sum(bool(_HALF_WIDTH.match(char)) for char in beyond)
    if 2 * half_width > len(beyond):
        return False  # what Chinese and Korean encodings become
    if any(_KANA.match(char) for char in beyond):
        return True
    kanji = [char for char in beyond if _KANJI.match(char)]
    usual = sum(char.encode("cp932") < b"\x98\x9f" for char in kanji)  # JIS level 1
    return 2 * usual > len(beyond) and not _BETWEEN_LETTERS.search(text)


def _is_western(data: bytes) -> bool:
    """Whether bytes are mostly ASCII, with single ones of Windows-1252 between."""
    high = sum(byte > 0x7F for byte in data)
    control = any(byte < 0x20 and byte not in b"\t\n\r\f" for byte in data)
    return not control and high <= _MOSTLY * len(data) and not _WESTERN_RUN.search(data)
