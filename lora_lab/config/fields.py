"""How one setting is declared: default, rule, one line of documentation, and how it is shown on an axis."""

from collections.abc import Callable
from dataclasses import MISSING, field
from typing import Any

Check = Callable[[Any], str | None]
"""Takes a value, returns None or the rule it breaks, as in 'must be at least 1'."""


def setting(
    default: Any,
    doc: str,
    rule: Check | None = None,
    *,
    scale: str = "category",
    unit: str = "",
    trains: bool = True,
) -> Any:
    """Declare a setting.

    Args:
        default: The value that means "off" or the field's plain default; lists and dicts are copied.
        doc: One line that says what it does and in which unit.
        rule: What a value must satisfy, or None where every value of the type will do.
        scale: How a plot draws it: 'linear', 'log' or 'category'.
        unit: Unit on the axis, such as 'epochs'.
        trains: False for settings that cannot change the trained weights; they stay out of the fingerprint.
    """
    metadata = {"doc": doc, "rule": rule, "scale": scale, "unit": unit, "trains": trains}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def default_of(a_field: Any) -> Any:
    """The default of a dataclass field that was declared with `setting`."""
    return a_field.default if a_field.default is not MISSING else a_field.default_factory()


def at_least(low: float) -> Check:
    """The value, where set, must not be below `low`."""
    return lambda value: None if value is None or value >= low else f"must be at least {low:g}"


def above(low: float) -> Check:
    """The value, where set, must be above `low`."""
    return lambda value: None if value is None or value > low else f"must be greater than {low:g}"


def between(low: float, high: float) -> Check:
    """The value, where set, must lie in the closed range."""
    return lambda value: (
        None if value is None or low <= value <= high else f"must be from {low:g} to {high:g}"
    )


def fraction_below_one(value: Any) -> str | None:
    """The value is a probability that may not be 1."""
    return None if 0 <= value < 1 else "must be at least 0 and below 1"


def one_of(*known: Any) -> Check:
    """The value must be one of the named ones."""
    return lambda value: None if value in known else "must be one of " + ", ".join(map(str, known))


def division(value: Any) -> str | None:
    """The value is -1 for 'as square as possible', or a number to divide by."""
    return None if value == -1 or value >= 1 else "must be -1 or at least 1"


def multiple_of(step: int) -> Check:
    """The value must be one of `step`, 2 * `step`, ..."""

    def broken(value: Any) -> str | None:
        near = max(step, round(value / step) * step)
        return (
            None if value >= step and value % step == 0 else f"must be a multiple of {step}, such as {near}"
        )

    return broken


def each(check: Check) -> Check:
    """Every element of a list must satisfy `check`."""

    def broken(values: Any) -> str | None:
        return next((rule for rule in map(check, values) if rule), None)

    return broken


def not_empty(value: Any) -> str | None:
    """A list or text that may not be empty."""
    return None if len(value) else "must not be empty"


def parse_resolution(text: str) -> tuple[int, int]:
    """Read '512', '512,768' or '512x768' as (width, height) in pixels.

    Raises:
        ValueError: The text is none of the three forms.
    """
    numbers = [int(part) for part in str(text).lower().replace("x", ",").split(",")]
    if len(numbers) not in (1, 2) or min(numbers) < 1:
        raise ValueError(text)
    return numbers[0], numbers[-1]


def resolution(value: Any) -> str | None:
    """The value must be a resolution that `parse_resolution` reads."""
    try:
        parse_resolution(value)
    except ValueError:
        return "must be a number of pixels such as 512, or width and height such as '512x768'"
    return None


def warmup(value: Any) -> str | None:
    """The value must be a number of steps, a fraction below 1, or a percentage."""
    text = str(value).strip()
    try:
        number = float(text.rstrip("%"))
    except ValueError:
        number = -1.0
    percent = text.endswith("%") and 0 <= number <= 100
    steps_or_share = not text.endswith("%") and number >= 0 and (number < 1 or number == int(number))
    return (
        None
        if percent or steps_or_share
        else "must be a number of steps (100), a fraction below 1 (0.1) or a percentage (10%)"
    )
