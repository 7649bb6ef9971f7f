"""Plain values as a dataclass, with every type held to: what a file says is believed only where it fits."""

from __future__ import annotations

import dataclasses
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints


def built(cls: type, values: Any, where: str = "") -> Any:
    """A dataclass made of a mapping, as `dataclasses.asdict` writes one.

    Keys that are not known are left out: a folder that was written by a newer version may hold more.

    Args:
        cls: Its fields are text, numbers, booleans, other dataclasses, lists, dictionaries, or unions with
            None.
        where: What stands in front of a key in an error.

    Raises:
        ValueError: A value has another type, or one without a default is missing; the text names the key.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{where.rstrip('.') or 'it'} must hold keys, got {_short(values)}")
    hints = _hints(cls)
    for item in dataclasses.fields(cls):
        needed = item.default is item.default_factory is dataclasses.MISSING
        if needed and item.name not in values:
            raise ValueError(f"{where}{item.name} is missing")
    return cls(**{key: _value(hints[key], item, where + key) for key, item in values.items() if key in hints})


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _value(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return built(hint, value, f"{where}.")  # type: ignore[arg-type]
    if isinstance(hint, UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        return None if value is None else _value(kinds[0], value, where)
    if get_origin(hint) is list and isinstance(value, list):
        (kind,) = get_args(hint)
        return [_value(kind, item, f"{where}[{number}]") for number, item in enumerate(value)]
    if get_origin(hint) is dict and isinstance(value, dict):
        kind = get_args(hint)[1]
        return {key: _value(kind, item, f"{where}.{key}") for key, item in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    # `bool` is an `int` to Python, and none to a reader.
    if type(value) is not (get_origin(hint) or hint):
        raise ValueError(f"{where} must be {_name(hint)}, got {_short(value)}")
    return value


def _name(hint: Any) -> str:
    kind = get_origin(hint) or hint
    words = {
        str: "text",
        int: "a whole number",
        float: "a number",
        list: "a list",
        dict: "keys",
        bool: "true or false",
    }
    return words.get(kind, str(kind))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
