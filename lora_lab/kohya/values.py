"""A value of a preset as a value of a setting: numbers stand there as text, switches as words."""

import ast
import math
from typing import Any

from lora_lab.config import Setting
from lora_lab.kohya.entries import pairs

_WORDS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


class UnfitError(ValueError):
    """The value cannot be taken; its text says what it would have to be."""


def empty(value: Any) -> bool:
    """Whether nothing is said: no value, or text without a sign."""
    return value is None or (isinstance(value, str) and not value.strip()) or value == [] or value == {}


def off(value: Any) -> bool:
    """Whether the GUI would leave it out: empty, false or 0, also as text."""
    return empty(value) or value is False or number(value) == 0 or str(value).strip().lower() == "false"


def number(value: Any) -> float | None:
    """A finite number, also from text; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def fit(value: Any, setting: Setting) -> Any:
    """The value in the setting's type, within its rule.

    Raises:
        UnfitError: It cannot be.
    """
    kind = setting.type.split(" | ")[0]
    try:
        found = _READ[kind.split("[")[0]](value)
        if kind == "list[float]":
            found = [_number(item) for item in found]
        rule = setting.rule(found) if setting.rule else None
    except (TypeError, OverflowError) as error:
        raise UnfitError(f"must be of type {setting.type}") from error
    if rule:
        raise UnfitError(rule)
    return found


def switch(value: Any) -> bool:
    """A switch, also as a word or number.

    Raises:
        UnfitError: It is none.
    """
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    word = word.removesuffix(".0")
    if word not in _WORDS:
        raise UnfitError("must be true or false")
    return _WORDS[word]


def arguments(value: Any) -> dict[str, Any]:
    """`weight_decay=0.01 betas=0.9,0.99` by name, each value as sd-scripts reads it: a Python literal."""
    return {key: _literal(text) for key, text in pairs(value).items()}


def _literal(text: str) -> Any:
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return text
    if isinstance(found, tuple):
        found = list(found)
    plain = isinstance(found, (bool, int, float, str, list)) or found is None
    finite = not isinstance(found, float) or math.isfinite(found)
    return found if plain and finite else text


def _number(value: Any) -> float:
    found = number(value)
    if found is None:
        raise UnfitError("must be a number")
    return found


def _whole(value: Any) -> int:
    found = _number(value)
    if found != int(found):
        raise UnfitError("must be a whole number")
    return int(found)


def _text(value: Any) -> str:
    if isinstance(value, (dict, bool)):
        raise UnfitError("must be a text")
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _dict(value: Any) -> dict[str, Any]:
    found = arguments(value)
    if not found:
        raise UnfitError("must be pairs such as weight_decay=0.01")
    return found


_READ: dict[str, Any] = {
    "bool": switch,
    "int": _whole,
    "float": _number,
    "str": _text,
    "list": _list,
    "dict": _dict,
}
