"""Two settings at once: whether what one does depends on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean
from typing import TYPE_CHECKING, Any

from lora_lab.axes import Axis, Scale, axis, scale, show_apart
from lora_lab.effective import differing
from lora_lab.errors import ConfigError
from lora_lab.plots import style
from lora_lab.plots.axes_of import criterion_label, limits, place_axis
from lora_lab.plots.style import Look
from lora_lab.plots.subject import Subject
from lora_lab.verdict.evidence import RunEvidence

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Cell:
    """Runs with one value of each setting; `score` is their mean."""

    value: Any
    by: Any
    x: float
    score: float
    runs: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class InteractionPlot:
    """Score against `axis`, a line per value of `by`, over runs that differ in nothing but these two."""

    sweep: str
    criterion: str
    axis: Axis
    by: Axis
    scale: Scale
    cells: tuple[Cell, ...]

    def rows(self) -> list[dict[str, object]]:
        """One row per run."""
        return [
            {"run": run, self.axis.key: cell.value, self.by.key: cell.by, self.criterion: score}
            for cell in self.cells
            for run, score in zip(cell.runs, cell.scores, strict=True)
        ]

    @property
    def lines(self) -> dict[str, list[Cell]]:
        """The cells by the value of `by`, as people write it, each line in the order of the axis."""
        found: dict[str, list[Cell]] = {}
        texts = show_apart(self.by.key, [cell.by for cell in self.cells])
        for text, cell in zip(texts, self.cells, strict=True):
            found.setdefault(text, []).append(cell)
        return {value: sorted(cells, key=lambda cell: cell.x) for value, cells in found.items()}


def interaction(subject: Subject, key: str, by: str) -> InteractionPlot:
    """Score against `key` for each value of `by`.

    Raises:
        ConfigError: No runs that are alike in everything else have at least two values of both.
    """
    cells = _largest(subject.evidence.scored, key, by)
    if not cells:
        raise ConfigError(
            f"{subject.folder.name} cannot show {key} and {by} together: it needs scored runs that differ in "
            "these two alone, with two values of each"
        )
    where = axis(key)
    lies = scale(where, [value for value, _, _ in cells])
    made = [
        Cell(
            value,
            other,
            x,
            mean(run.score or 0.0 for run in runs),
            tuple(run.name for run in runs),
            tuple(run.score or 0.0 for run in runs),
        )
        for (value, other, runs), x in zip(cells, lies.places, strict=True)
    ]
    return InteractionPlot(
        subject.folder.name, subject.evidence.criterion, where, axis(by), lies, tuple(made)
    )


def interactions(subject: Subject) -> list[tuple[str, str]]:
    """Pairs of settings that can be shown together, the one with an ordered axis first."""
    found = []
    for one, other in combinations(subject.settings, 2):
        key, by = (other, one) if axis(one).scale == "category" else (one, other)
        if _largest(subject.evidence.scored, key, by):
            found.append((key, by))
    return found


def _largest(runs: Sequence[RunEvidence], key: str, by: str) -> list[tuple[Any, Any, list[RunEvidence]]]:
    """The largest set of cells whose runs differ in the two settings alone; empty without two lines."""
    left = [run for run in runs if key in run.settings and by in run.settings]
    best: list[tuple[Any, Any, list[RunEvidence]]] = []
    while left:
        first = left[0]
        alike = [run for run in left if set(differing(first.settings, run.settings)) <= {key, by}]
        left = [run for run in left if run not in alike]
        cells: dict[tuple[str, str], tuple[Any, Any, list[RunEvidence]]] = {}
        for run in alike:
            value, other = run.settings[key], run.settings[by]
            cells.setdefault((repr(value), repr(other)), (value, other, []))[2].append(run)
        if _crossed(list(cells)) and len(cells) > len(best):
            best = list(cells.values())
    return best


def _crossed(cells: Sequence[tuple[str, str]]) -> bool:
    """Whether at least two values of the second setting were tried at the same two values of the first."""
    at: dict[str, set[str]] = {}
    for value, by in cells:
        at.setdefault(by, set()).add(value)
    return any(len(one & other) > 1 for one, other in combinations(at.values(), 2))


def draw_interaction(plot: InteractionPlot, look: Look) -> Figure:
    """A line per value of the second setting through the means; every run is a dot."""
    by = axis(plot.by.key, look.language)
    with style.drawing(look):
        made = style.figure(height=4.2)
        axes = made.subplots()
        place_axis(axes, plot.axis.key, plot.scale, look)
        limits(axes, [score for cell in plot.cells for score in cell.scores], plot.criterion)
        for number, (value, cells) in enumerate(plot.lines.items()):
            colour, mark = look.colour(number), style.MARKS[number % len(style.MARKS)]
            axes.plot(
                [cell.x for cell in cells], [cell.score for cell in cells], color=colour, marker=mark,
                linestyle=style.LINES[number % len(style.LINES)], label=f"{by.label}: {value}", zorder=3,
                clip_on=False,
            )  # fmt: skip
            for cell in (cell for cell in cells if len(cell.runs) > 1):
                axes.plot(
                    [cell.x] * len(cell.scores), cell.scores, mark, color=colour, alpha=0.4, markersize=4
                )
        axes.set_ylabel(criterion_label(plot.criterion, look))
        style.grid(axes)
        count = sum(len(cell.runs) for cell in plot.cells)
        words = look.say(
            "interaction_title", criterion=look.criterion(plot.criterion), other=by.label, sweep=plot.sweep,
            one=axis(plot.axis.key, look.language).label, n=count,
        )  # fmt: skip
        style.title(made, look, words)
        made.legend(loc="outside lower center", ncols=3)
    return made
