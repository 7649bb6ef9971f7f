"""Search spaces: which settings may take which values, and which of them belong to a choice of another one.

As written in a sweep file under `search: space:`::

    network.network_dim: [4, 8, 16, 32]                          choices; numbers keep their order
    optimizer.learning_rate: {low: 1e-5, high: 1e-2, log: true}  a range
    train.max_train_epochs: {low: 5, high: 40, step: 5}          a range with steps
    optimizer:                                                   a choice with settings of its own
      lion: {optimizer.learning_rate: {low: 1e-6, high: 1e-4, log: true}}
      adafactor: {}
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from lora_lab.errors import ConfigError

MOST_CANDIDATES = 5000
"""Settings that a round chooses from; a larger space is drawn from at random."""
STEPS_OF_A_RANGE = 13
"""Values that stand for a range without steps, ends included: four a decade over three decades."""

Settings = dict[str, Any]


@dataclass(frozen=True)
class Choices:
    """A setting that takes one of some values; `under` holds the settings that belong to a value."""

    key: str
    values: tuple[Any, ...]
    under: Mapping[Any, Space]

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers, so that some lie between others."""
        return all(_is_number(value) for value in self.values)

    @property
    def by_factors(self) -> bool:
        """Whether the values grow by factors (1, 4, 16), so that their logarithms are what is even."""
        return self.numeric and len(self.values) > 1 and 0 < self.values[0] * 8 <= self.values[-1]

    def grid(self) -> tuple[Any, ...]:
        """All values."""
        return self.values


@dataclass(frozen=True)
class Range:
    """A setting that takes any number from `low` to `high`; a step of None is a range without steps."""

    key: str
    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def grid(self) -> tuple[float, ...]:
        """The values that stand for the range, ascending."""
        if self.step is not None:
            count = int(math.floor((self.high - self.low) / self.step + 1e-9)) + 1
            return tuple(self._plain(self.low + self.step * number) for number in range(count))
        if self.log:
            drawn = np.geomspace(self.low, self.high, STEPS_OF_A_RANGE)
        else:
            drawn = np.linspace(self.low, self.high, STEPS_OF_A_RANGE)
        return tuple(dict.fromkeys(self._plain(float(value)) for value in drawn))

    def _plain(self, value: float) -> float:
        """Short to read: three digits say enough of a setting."""
        return round(value) if self.whole else float(f"{value:.3g}")


@dataclass(frozen=True)
class Space:
    """The settings to search, in their order."""

    parts: tuple[Choices | Range, ...]

    def keys(self) -> tuple[str, ...]:
        """Every setting of the space, those that belong to a choice included."""
        found: dict[str, None] = {}
        for part in self.parts:
            found[part.key] = None
            if isinstance(part, Choices):
                found.update(dict.fromkeys(key for space in part.under.values() for key in space.keys()))  # noqa: SIM118
        return tuple(found)

    def size(self) -> int:
        """How many combinations there are."""
        total = 1
        for part in self.parts:
            if isinstance(part, Choices):
                total *= sum(part.under[value].size() if value in part.under else 1 for value in part.values)
            else:
                total *= len(part.grid())
        return total

    def candidates(self, rng: np.random.Generator, most: int = MOST_CANDIDATES) -> list[Settings]:
        """All combinations, or `most` different ones drawn at random where there are more."""
        if self.size() <= most:
            return list(self._all())
        drawn = {repr(one): one for one in (self.draw(rng) for _ in range(most))}
        return list(drawn.values())

    def draw(self, rng: np.random.Generator) -> Settings:
        """One combination, each setting on its own."""
        found: Settings = {}
        for part in self.parts:
            values = part.grid()
            value = values[int(rng.integers(len(values)))]
            found[part.key] = value
            if isinstance(part, Choices) and value in part.under:
                found |= part.under[value].draw(rng)
        return found

    def ranges(self, chosen: Mapping[str, Any]) -> Iterator[tuple[str, Choices | Range]]:
        """The parts that apply to a combination, those under its choices included."""
        for part in self.parts:
            yield part.key, part
            if isinstance(part, Choices) and chosen.get(part.key) in part.under:
                yield from part.under[chosen[part.key]].ranges(chosen)

    def _all(self) -> Iterator[Settings]:
        axes = [list(_of_part(part)) for part in self.parts]
        for combination in product(*axes):
            yield {key: value for part in combination for key, value in part.items()}


def _of_part(part: Choices | Range) -> Iterator[Settings]:
    for value in part.grid():
        under = part.under.get(value) if isinstance(part, Choices) else None
        for rest in under._all() if under else ({},):
            yield {part.key: value, **rest}


def read_space(value: Any, where: str = "search.space") -> Space:
    """A space as it stands in a sweep file.

    Raises:
        ConfigError: Every mistake at once, each with its setting.
    """
    wrong: list[str] = []
    space = _space(value, where, wrong)
    if not wrong and space.size() < 2:
        wrong.append(f"{where} holds one combination only: give a setting at least two values")
    if wrong:
        raise ConfigError("\n".join(wrong))
    return space


def _space(value: Any, where: str, wrong: list[str]) -> Space:
    if not isinstance(value, Mapping) or not value:
        wrong.append(
            f"{where} must map settings to values, as in network.network_dim: [4, 16], got {value!r}"
        )
        return Space(())
    parts = [_part(str(key), item, f"{where}: {key}", wrong) for key, item in value.items()]
    return Space(tuple(part for part in parts if part is not None))


def _part(key: str, value: Any, where: str, wrong: list[str]) -> Choices | Range | None:
    if isinstance(value, list):
        return _choices(key, value, {}, where, wrong)
    if isinstance(value, Mapping) and ({"low", "high"} & {*value}):
        return _range(key, value, where, wrong)
    if isinstance(value, Mapping) and value:
        under = {name: _space(item, f"{where}={name}", wrong) for name, item in value.items() if item}
        return _choices(key, list(value), under, where, wrong)
    wrong.append(
        f"{where} needs a list of values, a range such as {{low: 1e-5, high: 1e-2, log: true}}, or choices "
        f"with settings of their own, got {value!r}"
    )
    return None


def _choices(
    key: str, values: list[Any], under: Mapping[Any, Space], where: str, wrong: list[str]
) -> Choices | None:
    values = [_number(value) for value in values]
    if not values or len({repr(value) for value in values}) < len(values):
        wrong.append(f"{where} needs values, each of them once, got {values!r}")
        return None
    if several := [value for value in values if isinstance(value, (list, Mapping))]:
        wrong.append(
            f"{where}: {several[0]!r} is several values; a search chooses among words and numbers: choose a "
            "group that holds them, or write them as patterns"
        )
        return None
    if all(_is_number(value) for value in values):
        values = sorted(values)
    return Choices(key, tuple(values), dict(under))


def _range(key: str, value: Mapping[Any, Any], where: str, wrong: list[str]) -> Range | None:
    unknown = [name for name in value if name not in ("low", "high", "log", "step")]
    low, high, step = (_number(value.get(name)) for name in ("low", "high", "step"))
    log = value.get("log", False)
    if unknown or not _is_number(low) or not _is_number(high) or not isinstance(log, bool):
        wrong.append(f"{where} is a range of low and high, with step or log: true, got {dict(value)!r}")
        return None
    if low >= high or (log and low <= 0) or (step is not None and (not _is_number(step) or step <= 0 or log)):
        wrong.append(
            f"{where}: low must be below high (above 0 with log), a step above 0 and not beside log, "
            f"got {dict(value)!r}"
        )
        return None
    whole = all(isinstance(item, int) for item in (low, high, 1 if step is None else step))
    return Range(key, float(low), float(high), log, None if step is None else float(step), whole)


def _number(value: Any) -> Any:
    """YAML 1.1 takes 1e-4 for a text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
