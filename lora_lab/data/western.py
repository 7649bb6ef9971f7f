"""Whether bytes that Windows-1252 can decode are text in it.

It decodes nearly everything; letters of no one language and signs inside words tell the other encodings.
"""

import re

_ALPHABETS = (
    "äöüß",  # German
    "àâæçèéêëîïôœùûü",  # French
    "áéíñóúü",  # Spanish
    "àáâãçéêíóôõú",  # Portuguese
    "àèéìíîòóùú",  # Italian
    "áèéêëïóöúü",  # Dutch
    "åäöéàü",  # Swedish, Finnish
    "åæøéèêóòôäö",  # Danish, Norwegian
    "áðéíóúýþæö",  # Icelandic
    "àçèéíïòóúü",  # Catalan
)
"""The letters beyond ASCII of the languages that Windows-1252 is used for."""
_ALONE = "àèéóöåøæ"
"""What can be a word by itself without a letter of ASCII."""
_SIGNS = frozenset("“”„‘’‚«»‹›¿¡…–—•·°€£¥©®™½¼¾×²³ºª§±\xa0\xad")
_LETTER = "A-Za-zÀ-ÖØ-öø-ÿŒœŠšŽžŸƒ"
_ODD = re.compile(
    rf"[{_LETTER}0-9][“„‚«‹¿¡]"  # opens inside a word
    rf"|[”»›•][{_LETTER}0-9]"  # closes before one
    rf"|[½¼¾²³ºª±£€¥®™][{_LETTER}]|°(?![CF]\b)[{_LETTER}]"
    rf"|[{_LETTER}][½¼¾±£€¥]|(?![mM])[{_LETTER}][²³]|(?![nN])[{_LETTER}]°"
    r"|[^\x00-\x7f\xa0–—”»][°€£¥©®™½¼¾×²³ºª§±·]|[“‘„‚«‹¿¡][\s,]*[”’»›]"
    r"|[ß-ÿ][A-ZÀ-Þ]|[a-z][À-Þ]"  # a capital inside a word
)


def is_western(data: bytes) -> bool:
    """Whether bytes are text in Windows-1252 (Latin-1 is the same but for quotes and dashes)."""
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return False
    if any(char < " " and char not in "\t\n\r\f" for char in text) or _ODD.search(text):
        return False
    if not any(char.isalnum() and char not in _SIGNS for char in text):
        return False
    beyond = [char for char in text if char > "\x7f"]
    letters = {char.lower() for char in beyond if char.isalpha() and char not in _SIGNS}
    if any(not char.isalpha() and char not in _SIGNS for char in beyond):
        return False
    if not any(letters <= set(alphabet) for alphabet in _ALPHABETS):
        return False
    return all(_is_word(word) for word in re.findall(rf"[{_LETTER}]+", text))


def _is_word(word: str) -> bool:
    """Whether letters beyond ASCII stand among others, as in every language of these."""
    own = sum(char > "\x7f" for char in word)
    return 2 * own <= len(word) + 1 and (own < len(word) or word.lower() in _ALONE)


def unscrambled(text: str) -> str | None:
    """What a text was before a program read its UTF-8 as Windows-1252 and saved that; None if it was not."""
    if text.isascii():
        return None
    try:
        before = b"".join(map(_byte, text)).decode()
    except ValueError:
        return None
    return before if before != text else None


def _byte(char: str) -> bytes:
    """The byte that a character was read from; the five that Windows-1252 leaves out stay as they are."""
    return char.encode("latin-1" if "\x80" <= char <= "\x9f" else "cp1252")
