"""What a line of the log of scores may be; a damaged one is said to be so, with the reason."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from lora_lab.store.normal_names import rater_name

RESULTS = ("left", "right", "tie", "both_bad")
"""What a comparison of two checkpoints can say."""

Line = dict[str, Any]


def parsed(text: str) -> Line:
    """A line as written, checked.

    Raises:
        ValueError: It is damaged; the message says what of it.
    """
    try:
        line = json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError:
        raise ValueError("it is no whole line of JSON") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(line, dict):
        raise ValueError("it is no object")
    return checked(line)


def checked(line: Line) -> Line:
    """The line, if every field of its kind is there and is what it has to be.

    Raises:
        ValueError: A field is missing or wrong.
    """
    kind = line.get("kind")
    if not isinstance(kind, str) or kind not in NEEDED:
        raise ValueError(f"its kind is {str(kind)[:40]!r}")
    for key in ("id", "at", *NEEDED[kind]):
        if key not in line:
            raise ValueError(f"it has no {key}")
    for key, (rule, says) in FIELDS.items():
        if key in line and not rule(line[key]):
            raise ValueError(f"{key} must be {says}, it is {str(line[key])[:40]!r}")
    if kind == "score" and not 0 <= line["value"] <= 100:
        raise ValueError(f"value must lie from 0 to 100, it is {line['value']}")
    rater_name(line["rater"])
    return line


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _text(value: object) -> bool:
    return isinstance(value, str)


def _whole(value: object) -> bool:
    return type(value) is int and value >= 0


def _number(value: object) -> bool:
    if type(value) not in (int, float):
        return False
    try:
        return math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:
        return False


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _time(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _place(value: object) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_text, value))


def _step(value: object) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 3 and _place(value[:2]) and _flag(value[2])


def _shot(value: object) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        return False
    return _whole(value[0]) and type(value[1]) is int and _number(value[2])


def _list(rule: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, (list, tuple)) and all(map(rule, value))


def _or_none(rule: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or rule(value)


TEXT, WHOLE = (_text, "a text"), (_whole, "a whole number from 0")
FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("id", "session", "rater", "run", "tag", "note", "cancels", "layout"), TEXT),
    **dict.fromkeys(("shown", "left_shown", "right_shown"), TEXT),
    **dict.fromkeys(("drawn", "left_drawn", "right_drawn"), (_list(_text), "a list of texts")),
    **dict.fromkeys(("position", "target"), WHOLE),
    "at": (_time, "a time with its zone"),
    "seed": (lambda value: type(value) is int, "a whole number"),
    "mode": (lambda value: value in ("score", "compare"), "score or compare"),
    "value": (_number, "a number"),
    "repeat": (_flag, "true or false"),
    "seconds": (_or_none(_number), "a number"),
    "tags": (_list(_text), "a list of texts"),
    "prompts": (_list(_whole), "a list of whole numbers"),
    "shots": (_list(_shot), "a list of [prompt, seed, strength]"),
    "places": (_list(_place), "a list of [run, tag]"),
    "alike": (_list(_list(_place)), "a list of lists of [run, tag]"),
    "also": (_list(_place), "a list of [run, tag]"),
    "order": (_list(_step), "a list of [run, tag, repeat]"),
    "left": (_place, "[run, tag]"),
    "right": (_place, "[run, tag]"),
    "result": (lambda value: value in RESULTS, f"one of {', '.join(RESULTS)}"),
}
"""What each field has to be, and how that is said."""

NEEDED: Mapping[str, tuple[str, ...]] = {
    "session": ("rater", "mode", "seed"),
    "more": ("session", "rater", "order"),
    "score": ("session", "rater", "run", "tag", "position", "value"),
    "skip": ("session", "rater", "run", "tag", "position"),
    "pair": ("session", "rater", "left", "right", "position", "result"),
    "cancel": ("session", "rater", "cancels"),
    "close": ("session", "rater"),
    "discard": ("session", "rater"),
}
"""The kinds of lines and the fields that each must have, beside `id` and `at`."""
