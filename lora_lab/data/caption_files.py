"""Caption files: their text whatever the encoding, and which encoding it was."""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from lora_lab.data.western import is_western
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
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")
_PLAIN = re.compile(r"[\s!-~\xa0-\u058f\u0e00-\u0e7f\u1e00-\u1fff\u2010-\u2044\u20a0-\u20bf\uac00-\ud7a3]")


@dataclass(frozen=True)
class CaptionText:
    """A caption file's non-empty lines, stripped and joined by newlines, and how it was encoded."""

    text: str
    encoding: str


def read_caption(path: Path) -> CaptionText:
    """Read a caption in UTF-8, UTF-16, Shift-JIS (CP932) or Windows-1252.

    The latter two decode nearly everything, so that they count only where Japanese or words of a Western
    language come of it.

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
        return (text, marked) if text is not None and not _CONTROL.search(text) else None
    for encoding, fits in (("utf-8", _is_assigned), (_utf_16(data), _is_plain), ("cp932", _looks_japanese)):
        text = _as(data, encoding) if encoding else None
        if text is not None and not _CONTROL.search(text) and fits(text):
            return text, encoding
    return (data.decode("cp1252"), "cp1252") if is_western(data) else None


def _as(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _utf_16(data: bytes) -> str:
    """Which UTF-16 bytes without a mark can be, by where the zeros of its ASCII stand; "" for neither."""
    high, low = data[::2].count(0), data[1::2].count(0)
    return "utf-16-be" if high > low else "utf-16-le" if low > high else ""


def _is_assigned(text: str) -> bool:
    """Whether all characters exist: two bytes of another encoding are sometimes UTF-8 of one that does not.

    Beyond the first plane, newer emoji are not known here and count as they are.
    """
    return not any(char < "\U00010000" and unicodedata.category(char) == "Cn" for char in text)


def _is_plain(text: str) -> bool:
    """Whether nothing but scripts in use comes of it, as of the right half of UTF-16."""
    return all(_PLAIN.match(char) or _KANA.match(char) or _KANJI.match(char) for char in text)


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
