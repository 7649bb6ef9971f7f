"""Numbers as people write and read them: `1 run`, `2 runs`; 80.5 is 81."""

from __future__ import annotations

import math
import string
from typing import Any


def counted(number: object, one: str, many: str = "") -> str:
    """How many of something there are, in English.

    Args:
        number: How many, as a number or as it is shown.
        one: What one of them is called, with what agrees with it (`caption changes`).
        many: What several are called; `one` with an s where it is not given.
    """
    return f"{number} {one if str(number) == '1' else many or f'{one}s'}"


def whole(value: float) -> str:
    """A number without its decimals; halves go up, as people round, where Python goes to the even one."""
    return f"{math.floor(value + 0.5)}"


def whole_number(text: str) -> int | None:
    """A number of at most 12 digits and nothing else; None for any other text.

    `int` knows fewer signs than `str.isdigit` (not ²), and refuses thousands of digits.
    """
    return int(text) if text.isdecimal() and len(text) <= 12 else None


class _Counting(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        """`{n:run|runs}` is a number of runs; all else is what `str.format` makes of it."""
        if "|" not in format_spec:
            return str(super().format_field(value, format_spec))
        one, many = format_spec.split("|")
        return counted(value, one, many)


_COUNTING = _Counting()


def filled(text: str, /, **values: Any) -> str:
    """A text with its values in it, as `str.format` gives it; `{n:run|runs}` is `1 run` or `2 runs`."""
    return _COUNTING.format(text, **values)
