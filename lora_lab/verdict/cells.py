"""Runs by their settings: replicates in one cell, pairs of cells that differ in one setting, noise floor."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from statistics import mean
from typing import Any

from lora_lab.axes import axis, show
from lora_lab.effective import differing
from lora_lab.verdict.distributions import chi2_quantile, normal_quantile, t_quantile
from lora_lab.verdict.evidence import RunEvidence
from lora_lab.verdict.result import ASSUMED, MEASURED, UNMEASURED, Noise

LEVEL = 0.05
"""The nominal share of false calls, for each setting."""

STEPS = (20.0, 10.0, 5.0, 2.0, 1.0, 0.5)
"""Steps of scores that are looked for.

Replicates that were given the same number by rounding have no spread, and would make everything else look
significant; so the variance of rounding, step^2 / 12, is added to theirs. Simulated with two replicates,
scores in tens and a true spread of 8, that brings false calls from 20 % to under 1 %.
"""

OWNERS = {
    "optimizer.": "optimizer.name",
    "lr_scheduler.": "lr_scheduler.name",
}
"""Settings below these belong to a choice: the learning rate of Lion is not that of AdamW."""


@dataclass(frozen=True)
class Cell:
    """Runs with the same settings and different seeds, and their scores; named after the first."""

    runs: tuple[RunEvidence, ...]

    @property
    def name(self) -> str:
        """The group's name."""
        return self.runs[0].name

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that act."""
        return dict(self.runs[0].settings)

    @property
    def unknown(self) -> frozenset[str]:
        """Settings that are not known."""
        return self.runs[0].unknown

    @cached_property
    def scores(self) -> tuple[float, ...]:
        """The scores of its runs."""
        return tuple(run.score for run in self.runs if run.score is not None)

    @cached_property
    def mean(self) -> float:
        """Their mean."""
        return mean(self.scores)

    @property
    def n(self) -> int:
        """How many runs it is the mean of."""
        return len(self.runs)


@dataclass(frozen=True)
class Edge:
    """Two cells that differ in `key` alone, with both levels; `assumed` is not known to be equal."""

    key: str
    one: Cell
    other: Cell
    levels: tuple[Any, Any]
    assumed: tuple[str, ...] = ()


def cells(runs: Sequence[RunEvidence]) -> list[Cell]:
    """The scored experiments by group, in the order of the plan."""
    found: dict[str, list[RunEvidence]] = {}
    for run in runs:
        if run.score is not None and not run.same_as:
            found.setdefault(run.group, []).append(run)
    return [Cell(tuple(members)) for members in found.values()]


def noise(members: Sequence[Cell], assumed: float | None = None) -> Noise:
    """How much a repeated run's score moves: pooled over all cells with replicates, or as assumed.

    What is measured wins over what is assumed.
    """
    repeated = [cell for cell in members if cell.n > 1]
    df = sum(cell.n - 1 for cell in repeated)
    groups = tuple(tuple(run.name for run in cell.runs) for cell in repeated)
    if df:
        squares = sum((score - cell.mean) ** 2 for cell in repeated for score in cell.scores)
        # Two runs that were both given 80 may differ by the whole step all the same.
        squares += df * grain(members) ** 2 / 12
        sd = math.sqrt(squares / df)
        low, high = (math.sqrt(squares / chi2_quantile(q, df)) for q in (1 - LEVEL / 2, LEVEL / 2))
        smallest = t_quantile(1 - LEVEL / 2, df) * sd * math.sqrt(2)
        return Noise(MEASURED, sd, float(df), low, high, groups, smallest)
    if assumed is not None:
        smallest = normal_quantile(1 - LEVEL / 2) * assumed * math.sqrt(2)
        return Noise(ASSUMED, assumed, math.inf, smallest=smallest)
    return Noise(UNMEASURED)


def grain(members: Sequence[Cell]) -> float:
    """The step that scores are given in, such as 10 by a rater who thinks in tens; 0 where there is none."""
    scores = [score for cell in members for score in cell.scores]
    return next((step for step in STEPS if all(score % step == 0 for score in scores)), 0.0)


def edges(members: Sequence[Cell]) -> list[Edge]:
    """Every pair of cells that differ in one setting alone.

    A setting that is not known of either is taken as equal, and named; one that is known of one of them only
    makes them no pair.
    """
    found = []
    for one, other in combinations(members, 2):
        if one.unknown & set(other.settings) or other.unknown & set(one.settings):
            continue
        changed = differing(one.settings, other.settings)
        if len(changed) == 1:
            ((key, levels),) = changed.items()
            found.append(Edge(key, one, other, levels, tuple(sorted(one.unknown & other.unknown))))
    return found


def reference(members: Sequence[Cell], found: Sequence[Edge]) -> Cell | None:
    """The cell that the others are compared with.

    It is the one that changes nothing of the sweep's base, where there is one; else the one with most pairs.
    """
    if not members:
        return None
    unchanged = [cell for cell in members if cell.runs[0].changes == ()]
    if len(unchanged) == 1:
        return unchanged[0]
    counts = Counter(cell.name for edge in found for cell in (edge.one, edge.other))
    return max(members, key=lambda cell: (counts[cell.name], cell.n))


def owner(key: str) -> str | None:
    """The choice that a setting belongs to, or None."""
    found = next((name for prefix, name in OWNERS.items() if key.startswith(prefix)), None)
    return None if found == key else found


def distance(cell: Cell, base: Cell) -> int:
    """In how many settings two cells differ, those that only one of them has counted, too."""
    mine, its = cell.settings, base.settings
    return sum(mine.get(key) != its.get(key) for key in {*mine, *its}) + len(cell.unknown ^ base.unknown)


def where(cell: Cell, base: Cell, key: str) -> str:
    """In what a pair differs from the reference cell beside its own setting, in words."""
    changed = differing(cell.settings, base.settings)
    parts = [f"{axis(name).label} {show(value)}" for name, (value, _) in changed.items() if name != key]
    unknown = cell.unknown - base.unknown
    if len(unknown) > 2:
        parts.append(f"{len(unknown)} other settings not known")
    elif unknown:
        parts.append(f"{', '.join(axis(name).label for name in sorted(unknown))} not known")
    return ", ".join(parts)
