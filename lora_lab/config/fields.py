"""How one setting is declared: default, rule, documentation, names elsewhere, axis and trial."""

import math
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from typing import Any, TypedDict, Unpack

Check = Callable[[Any], str | None]
"""Takes a value, returns None or the rule it breaks, as in 'must be at least 1'."""

PACKED, OWN_PACK, SAME_WEIGHTS, UNTRIED = "packed", "own pack", "same weights", "untried"
"""What a trial shows: other weights, in a pack or a pack of its own; the same weights; nothing on a CPU."""


@dataclass(frozen=True)
class Trial:
    """A value other than the default, and where it acts; tests of weights and of fingerprints use it.

    Attributes:
        value: The right side of an override; `{...}` stands for a place that the test makes.
        beside: Overrides that the setting needs in order to act.
        shows: PACKED, OWN_PACK, SAME_WEIGHTS or UNTRIED.
        why: The reason where it is one of the last two.
    """

    value: str
    beside: tuple[str, ...] = ()
    shows: str = PACKED
    why: str = ""


def tried(value: str, *beside: str, own_pack: bool = False) -> Trial:
    """The weights change with this value; in a pack of its own where it changes the base model."""
    return Trial(value, beside, OWN_PACK if own_pack else PACKED)


def same_weights(value: str, why: str) -> Trial:
    """The weights stay the same with this value."""
    return Trial(value, (), SAME_WEIGHTS, why)


def untried(value: str, why: str, *beside: str) -> Trial:
    """A small run on a CPU cannot show what this value does; a test of its own does."""
    return Trial(value, beside, UNTRIED, why)


class About(TypedDict, total=False):
    """How a setting is shown and known.

    Attributes:
        scale: How a plot draws it: 'linear', 'log' or 'category' (where not given).
        unit: Unit on the axis, such as 'epochs'.
        label: What people call it where that is not its name with spaces.
        ja: The same in Japanese.
        peer: Arguments of sd-scripts, keys of its dataset files, fields of the kohya_ss GUI; spaces between.
        source: Paper, program or guide that says what it means.
        path: It names a file or folder: made absolute when planned, shown by its last part.
    """

    scale: str
    unit: str
    label: str
    ja: str
    peer: str
    source: str
    path: bool


def setting(
    default: Any,
    doc: str,
    rule: Check | None = None,
    *,
    trains: bool = True,
    trial: Trial | None = None,
    **about: Unpack[About],
) -> Any:
    """Declare a setting.

    Args:
        default: The value that means "off" or the field's plain default; lists and dicts are copied.
        doc: One line that says what it does and in which unit.
        rule: What a value must satisfy, or None where every value of the type will do.
        trains: False for settings that cannot change the trained weights; they stay out of the fingerprint.
        trial: For every setting that trains: a value that shows it.
        about: See `About`.
    """
    metadata = {
        "doc": doc,
        "rule": rule,
        "trains": trains,
        "trial": trial,
        "scale": about.get("scale", "category"),
        "peer": tuple(about.get("peer", "").split()),
        "path": about.get("path", False),
        **{key: about.get(key, "") for key in ("unit", "label", "ja", "source")},
    }
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def default_of(a_field: Any) -> Any:
    """The default of a dataclass field that was declared with `setting`."""
    return a_field.default if a_field.default is not MISSING else a_field.default_factory()


def finite(value: Any) -> bool:
    """Whether a value, or every number within it, is neither infinite nor nan."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    return all(map(finite, value)) if isinstance(value, (list, tuple)) else True


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


def seed(value: Any) -> str | None:
    """What a generator of random numbers takes: 64 bits."""
    return None if 0 <= value < 2**64 else f"must be from 0 to {2**64 - 1}"


def count_or_auto(value: Any) -> str | None:
    """The value must be a number of at least 1, or the word auto."""
    text = str(value)
    good = text == "auto" or (text.isdecimal() and int(text) >= 1)
    return None if good else "must be auto, or a whole number of at least 1"


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


def device(value: Any) -> str | None:
    """auto, cpu, mps, cuda or one GPU by its number."""
    good = re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]+)?", str(value))
    return None if good else "must be auto, cpu, mps, cuda, or one GPU such as cuda:1"


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
