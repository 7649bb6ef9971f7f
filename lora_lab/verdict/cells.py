"""Runs by their settings: replicates in one cell, and pairs of cells that differ in one setting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from statistics import mean
from typing import Any

from lora_lab.axes import show_setting
from lora_lab.effective import differing
from lora_lab.verdict.evidence import RunEvidence
from lora_lab.words import Label, Said, joined, said

LEVEL = 0.05
"""The nominal share of false calls, for each setting."""

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

    @property
    def group(self) -> str:
        """The group that its runs are of; of a cell that was cut down to some of its runs, the whole
        one's."""
        return self.runs[0].group

    @property
    def at_the_end(self) -> bool:
        """Whether a score is at an end of the scale, 0 or 100: what lies beyond cannot be seen."""
        return any(score in (0.0, 100.0) for score in self.scores)

    @property
    def scale(self) -> str:
        """Who scored its first run, where they cannot be compared with those who scored most; else ''."""
        item = self.runs[0].checkpoint(self.runs[0].chosen)
        return item.scale if item else ""

    @property
    def trainings(self) -> frozenset[str]:
        """The trainings that its runs are from: a checkpoint of another run shares that run's luck."""
        return frozenset(run.training or run.name for run in self.runs)


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
    found: dict[tuple[str, str], list[RunEvidence]] = {}
    for run in runs:
        if run.score is not None and not run.same_as:
            item = run.checkpoint(run.chosen)
            found.setdefault((run.group, item.scale if item else ""), []).append(run)
    return [Cell(tuple(members)) for members in found.values()]


def edges(members: Sequence[Cell]) -> list[Edge]:
    """Every pair of cells that differ in one setting alone.

    A setting that is not known of either is taken as equal, and named; one that is known of one of them only
    makes them no pair.
    """
    found = []
    for one, other in combinations(members, 2):
        if one.scale != other.scale or one.unknown & set(other.settings) or other.unknown & set(one.settings):
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
    differing = [key for key in {*mine, *its} if mine.get(key) != its.get(key)]
    return len(differing) + len(cell.unknown ^ base.unknown)


def where(cell: Cell, base: Cell, key: str) -> Said:
    """In what a pair differs from the reference cell beside its own setting, in words."""
    changed = differing(cell.settings, base.settings)
    parts = [
        said("setting_value", label=Label(name), value=show_setting(name, value))
        for name, (value, _) in changed.items()
        if name != key
    ]
    unknown = cell.unknown - base.unknown
    if len(unknown) > 2:
        parts.append(said("settings_unknown", n=len(unknown)))
    elif unknown:
        parts.append(said("setting_unknown", labels=joined(map(Label, sorted(unknown)))))
    return joined(parts)
