"""How a setting is shown: label, unit, kind of axis, and the text of a value."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from lora_lab.config import settings

UNITS_JA = {"epochs": "エポック", "steps": "ステップ", "min": "分"}

DERIVED = {
    "alpha_over_dim": ("alpha / dim", "", "log"),
    "total_steps": ("steps", "steps", "log"),
    "samples": ("samples seen", "", "log"),
    "exposures_per_image": ("exposures per image", "", "log"),
    "epoch": ("epoch", "epochs", "linear"),
    "train_minutes": ("training time", "min", "linear"),
}
"""Axes that are no settings: label, unit and scale."""


@dataclass(frozen=True)
class Axis:
    """One axis of a plot or column of a table; `scale` is linear, log or category."""

    key: str
    label: str
    unit: str
    scale: str

    @property
    def title(self) -> str:
        """The label with its unit, unless the label names the unit."""
        return f"{self.label} ({self.unit})" if self.unit and self.unit not in self.label else self.label


def axis(key: str, language: str = "en") -> Axis:
    """The axis of a setting, of an argument such as `optimizer.args.weight_decay`, or of a derived number."""
    found = _english(key)
    if language != "ja":
        return found
    setting = settings().get(key)
    # A setting without a word of its own goes by its name, as it does in the tools.
    label = setting.ja if setting and setting.ja else found.label
    return replace(found, label=label, unit=UNITS_JA.get(found.unit, found.unit))


def _english(key: str) -> Axis:
    if key in DERIVED:
        return Axis(key, *DERIVED[key])
    setting = settings().get(key)
    name = key.rsplit(".", 1)[-1].replace("_", " ")
    if setting is None:
        return Axis(key, name, "", "category")
    return Axis(key, setting.label or name, setting.unit, setting.scale)


def show(value: Any) -> str:
    """A value as people write it: 1e-4, 0.05, 16, on, off, -."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(show, value)) + "]"
    return str(value)


def show_setting(key: str, value: Any) -> str:
    """The value of a setting as people write it, the one way everywhere; of a path its last part.

    Values beside each other are for `show_apart`.
    """
    return _with_ends(key, value, 1)


def show_apart(key: str, values: Sequence[Any]) -> list[str]:
    """The texts of several values of a setting; of paths as many of their last parts as tell them apart."""
    setting = settings().get(key)
    if not setting or not setting.path:
        return [show(value) for value in values]
    different = len({show(value) for value in values})
    longest = 1 + max((show(value).replace("\\", "/").count("/") for value in values), default=0)
    for parts in range(1, longest):
        texts = [_with_ends(key, value, parts) for value in values]
        if len(set(texts)) == different:
            return texts
    return [show(value) for value in values]


def _with_ends(key: str, value: Any, parts: int) -> str:
    """A value of a setting; of a path so many of its last parts."""
    setting = settings().get(key)
    if not setting or not setting.path:
        return show(value)
    if isinstance(value, (list, tuple)):
        return show([_with_ends(key, item, parts) for item in value])
    if isinstance(value, str) and value:
        return "/".join(value.replace("\\", "/").rstrip("/").split("/")[-parts:])
    return show(value)


def _number(value: float) -> str:
    if not isfinite(value):
        return str(value)
    if value and (abs(value) < 1e-2 or abs(value) >= 1e5):
        mantissa, _, exponent = f"{value:.6e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:g}"


@dataclass(frozen=True)
class Scale:
    """How values lie on an axis: its kind, the place of each value, and which places are marked with what.

    Attributes:
        kind: linear, log or category.
        places: One number per value, in the order given; categories count 0, 1, 2, ...
        ticks: (place, text) of every value that occurs, in order along the axis.
    """

    kind: str
    places: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]


def scale(of: Axis, values: Sequence[Any]) -> Scale:
    """Where values lie on an axis.

    Values that the axis cannot hold (text or an unset value among numbers, zero on a logarithmic axis) make
    it a category axis: numbers first, in order, then the rest as they came.
    """
    fits = bool(values) and all(map(_is_number, values)) and (of.scale != "log" or min(values) > 0)
    if of.scale == "category" or not fits:
        order = _in_order(values)
        place = {repr(item): float(number) for number, item in enumerate(order)}
        texts = show_apart(of.key, order)
        ticks = tuple((place[repr(item)], text) for item, text in zip(order, texts, strict=True))
        return Scale("category", tuple(place[repr(item)] for item in values), ticks)
    marks = tuple((float(item), show(item)) for item in sorted(set(values)))
    return Scale(of.scale, tuple(map(float, values)), marks)


def _in_order(values: Sequence[Any]) -> list[Any]:
    """Each value once: numbers in order, then the rest in the order of their coming."""
    once = {repr(item): item for item in values}
    numbers = [item for item in once.values() if _is_number(item)]
    return [*sorted(numbers), *(item for item in once.values() if not _is_number(item))]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
