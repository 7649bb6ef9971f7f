"""Where a combination of settings lies, in the coordinates in which training responds to it.

Learning rate, alpha and dim act together: a LoRA's change is scaled by alpha / dim, so that a tenth of alpha
is met by a larger learning rate. Along log lr + 0.7 log(alpha / dim) scores rise and fall; along the rest
they move slowly. The share 0.7 lies between SGD (1, the gradient is scaled, too) and Adam (about 0.5).

Legend: N combinations, F features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lora_lab.search.space import Choices, Range, Space

RATE = "optimizer.learning_rate"
ALPHA = "network.network_alpha"
DIM = "network.network_dim"
EXPOSURES = ("train.max_train_epochs", "train.max_train_steps", "dataset.repeats")
"""Settings that say how often each image is seen; each acts by its logarithm."""
OF_RATIO = 0.7

STRENGTH, RATIO = "log lr + 0.7 log(alpha / dim)", "log(alpha / dim)"


@dataclass(frozen=True)
class Feature:
    """One coordinate: how far apart (in its own unit) combinations are before their scores are unrelated.

    `length` is the length scale expected, `spread` how sure that is (standard deviation of its logarithm).
    """

    name: str
    length: float
    spread: float = 0.5


class Coordinates:
    """Turns combinations into features.

    Args:
        space: What is searched.
        base: Flat values of the settings that stay; alpha, dim and learning rate are looked up there.
    """

    def __init__(self, space: Space, base: Mapping[str, Any]) -> None:
        self._base = dict(base)
        self._keys = space.keys()
        self._space = space
        self._physical = any(key in self._keys for key in (RATE, ALPHA, DIM))
        self._plain = [key for key in self._keys if key not in (RATE, ALPHA, DIM)]
        self._parts = _parts_by_key(space)
        self.features = tuple(self._describe())

    def of(self, combinations: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Features of combinations, (N, F); a setting that has no part in one lies at its middle."""
        return np.array([self._one(item) for item in combinations], dtype=float).reshape(
            len(combinations), len(self.features)
        )

    def _describe(self) -> list[Feature]:
        found = []
        if self._physical:
            found.append(Feature(STRENGTH, 0.8, 0.4))
            if ALPHA in self._keys or DIM in self._keys:
                found.append(Feature(RATIO, 1.5))
            if DIM in self._keys:
                found.append(Feature("log dim", 1.2))
        for key in self._plain:
            if self._is_category(key):
                found += [Feature(f"{key} is {value}", 1.0) for value in self._values(key)]
            elif key in EXPOSURES:
                found.append(Feature(f"log {key}", 1.0))
            else:
                found.append(Feature(key, 0.6))
        return found

    def _one(self, chosen: Mapping[str, Any]) -> list[float]:
        values = {**self._base, **chosen}
        row: list[float] = []
        if self._physical:
            row += self._strength(values, chosen)
        for key in self._plain:
            value = values.get(key)
            if self._is_category(key):
                row += [float(value == other) for other in self._values(key)]
            else:
                row.append(self._place(key, value))
        return row

    def _strength(self, values: Mapping[str, Any], chosen: Mapping[str, Any]) -> list[float]:
        alpha, dim = _positive(values.get(ALPHA)), _positive(values.get(DIM))
        ratio = math.log10((alpha or dim or 1.0) / (dim or 1.0))
        rate = _positive(values.get(RATE))
        # Rates of different optimizers do not compare: each is measured from the middle of its own range.
        log_rate = 0.0 if rate is None else math.log10(rate) - self._middle(chosen)
        row = [log_rate + OF_RATIO * ratio]
        if ALPHA in self._keys or DIM in self._keys:
            row.append(ratio)
        if DIM in self._keys:
            row.append(math.log10(dim or 1.0))
        return row

    def _middle(self, chosen: Mapping[str, Any]) -> float:
        part = dict(self._space.ranges(chosen)).get(RATE)
        if part is None:
            own = _positive(self._base.get(RATE))
            return math.log10(own) if own else 0.0
        rates = [rate for rate in map(_positive, part.grid()) if rate]
        return (math.log10(rates[0]) + math.log10(rates[-1])) / 2 if rates else 0.0

    def _place(self, key: str, value: Any) -> float:
        """A number between the ends of its range as 0 to 1, or its logarithm where exposures count."""
        number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
        part = self._parts[key]
        ends = [float(item) for item in part.grid()]
        if key in EXPOSURES:
            return math.log10(number) if number and number > 0 else math.log10(math.sqrt(ends[0] * ends[-1]))
        if number is None:
            return 0.5
        low, high = ends[0], ends[-1]
        if part.log if isinstance(part, Range) else part.by_factors:
            low, high, number = math.log(low), math.log(high), math.log(max(number, 1e-12))
        return (number - low) / (high - low) if high > low else 0.5

    def _is_category(self, key: str) -> bool:
        part = self._parts[key]
        return isinstance(part, Choices) and not part.numeric

    def _values(self, key: str) -> tuple[Any, ...]:
        return self._parts[key].grid()


def _parts_by_key(space: Space) -> dict[str, Choices | Range]:
    """Each setting's part; where several choices have it, the first one's."""
    found: dict[str, Choices | Range] = {}
    for part in space.parts:
        found.setdefault(part.key, part)
        if isinstance(part, Choices):
            for under in part.under.values():
                for key, inner in _parts_by_key(under).items():
                    found.setdefault(key, inner)
    return found


def _positive(value: Any) -> float | None:
    """A number above 0; anything else (none, a rate of 0, a text) is None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if value > 0 else None
