r"""One rule for text: where a setting is text, its text counts as it stands.

`dataset.path=2024_10_05` is a folder of that name and `dataset.trigger_word=true` a word, whatever letters,
braces, colons or commas there are. Quotes around the whole are taken off, with `\'` for a quote within;
blanks around it do not count. `null` sets what may be unset. `${other.setting}` is that setting's value,
`\${` is `${`. A list is written in brackets, with commas between; commas within quotes or brackets of its
own belong to an item. Every other setting is a number or a switch, read as such.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from lora_lab.config.inspect import Setting, nearest, settings
from lora_lab.errors import ConfigError

TEXT, TEXTS = "text", "texts"
"""What `kind` says of a setting: a text, a list of texts."""

_OPEN, _CLOSED = "([{", ")]}"
_REFERENCE = re.compile(r"\\\$\{|\$\{([^{}]*)\}")
_WHOLE = re.compile(r"[-+]?\d+")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_ON, _OFF = ("true", "on", "yes"), ("false", "off", "no")


def kind(key: str) -> str:
    """`text`, `texts`, or '' for a setting that is neither, and for what is no setting."""
    known = settings().get(key)
    return {"str": TEXT, "str | None": TEXT, "list[str]": TEXTS}.get(known.type, "") if known else ""


def read_text(key: str, raw: str, value_of: Callable[[str], Any]) -> Any:
    """The value of a setting of text, or of a list of texts, from the right side of an override.

    Args:
        value_of: Gives the value of another setting, for `${...}`.

    Raises:
        ConfigError: It is no list where one is needed, or refers to what is no setting.
    """
    text = raw.strip() or raw
    if kind(key) == TEXTS:
        if not (text.startswith("[") and text.endswith("]")):
            raise ConfigError(f"{key} is a list: write {key}=[{text}], got {text!r}")
        return [_referred(key, unquoted(item), value_of) for item in split_at_commas(text[1:-1])]
    if text == "null" and "None" in settings()[key].type:
        return None
    return _referred(key, unquoted(text), value_of)


def parse_value(key: str, text: str) -> Any:
    """A setting's value from a cell of a table: text as it stands, numbers and switches as such.

    What does not fit the setting, and the value of what is no setting here, is a number where it looks like
    one, true or false where it says so, else its text.
    """
    known = settings().get(key)
    if kind(key) == TEXT:
        return text
    if kind(key) == TEXTS:
        return [unquoted(item) for item in split_at_commas(text[1:-1])] if text[:1] == "[" else [text]
    if known and known.type == "bool" and (said := text.lower()) in (*_ON, *_OFF):
        return said in _ON
    return _plain(text, known)


def _plain(text: str, known: Setting | None) -> Any:
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if not _NUMBER.fullmatch(text):
        return text
    number = float(text)
    wanted = known.type if known else ""
    if _WHOLE.fullmatch(text) and not wanted.startswith("float"):
        return int(text)
    return int(number) if wanted.startswith("int") and number.is_integer() else number


def whole(text: str) -> int | None:
    """A whole number, which spreadsheets may write as 2.0; None where it is none."""
    if not _NUMBER.fullmatch(text):
        return None
    return int(text) if _WHOLE.fullmatch(text) else int(float(text)) if float(text).is_integer() else None


def unquoted(text: str) -> str:
    r"""A text without the quotes around it, and without the backslash of every quote within.

    What only begins with a quote, or has one within that is no `\'`, stands as it is.
    """
    text = text.strip() or text
    quote = text[:1]
    if len(text) < 2 or quote not in ("'", '"') or _end_of_quotes(text, 0) != len(text) - 1:
        return text
    return re.sub(rf"(\\+)({quote}|\Z)", lambda m: m[1][: len(m[1]) // 2] + m[2], text[1:-1])


def quoted(text: str) -> str:
    """The text as the right side of an override that means just this text."""
    escaped = re.sub(r"(\\+)('|\Z)", r"\1\1\2", text.replace("${", r"\${")).replace("'", r"\'")
    return f"'{escaped}'"


def split_at_commas(text: str) -> list[str]:
    """The items between the commas that stand in no quotes and no brackets."""
    if not text.strip():
        return []
    items, start, depth, place = [], 0, 0, 0
    while place < len(text):
        letter = text[place]
        if letter in "'\"" and not text[start:place].strip() and (end := _end_of_quotes(text, place)):
            place = end
        elif letter == "," and depth == 0:
            items.append(text[start:place])
            start = place + 1
        elif letter in _OPEN and _closes(text, place):
            depth += 1
        elif letter in _CLOSED and depth:
            depth -= 1
        place += 1
    return [*items, text[start:]]


def _end_of_quotes(text: str, start: int) -> int:
    """Where the quotes that open at `start` close; 0 where they do not."""
    place = start + 1
    while place < len(text):
        if text[place] == text[start]:
            before = len(text[start + 1 : place]) - len(text[start + 1 : place].rstrip("\\"))
            if before % 2 == 0:
                return place
        place += 1
    return 0


def _closes(text: str, start: int) -> bool:
    return _CLOSED[_OPEN.index(text[start])] in text[start:]


def _referred(key: str, text: str, value_of: Callable[[str], Any]) -> str:
    """The text with the values of the settings that it refers to."""

    def value(found: re.Match[str]) -> str:
        if found[1] is None:
            return "${"
        name = found[1].strip()
        if name not in settings():
            hint = "; the trigger word in prompts is {trigger}" if name == "trigger" else ""
            raise ConfigError(
                f"{key}: ${{{name}}} is the value of a setting, and there is none of this name"
                f"{hint or nearest(name, settings())}; write \\${{{name}}} for the text itself"
            )
        if name == key:
            raise ConfigError(f"{key}: ${{{name}}} refers to itself")
        return str(value_of(name))

    return _REFERENCE.sub(value, text)


def key_of(override: str) -> str:
    """The key of an override; signs in front of it do not count."""
    return override.partition("=")[0].strip().lstrip("+~").strip()


def repeated(overrides: Sequence[str]) -> list[str]:
    """The keys that several overrides set."""
    keys = [key_of(text) for text in overrides]
    return [key for key in dict.fromkeys(keys) if keys.count(key) > 1]
