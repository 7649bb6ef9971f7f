"""Score against what it cost: minutes, memory, file size, and which checkpoints nothing cheaper beats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_lab.plots import labels, style
from lora_lab.plots.axes_of import criterion_label, limits
from lora_lab.plots.style import Look
from lora_lab.plots.subject import Subject, higher_is_better
from lora_lab.verdict.evidence import CheckpointEvidence, RunEvidence
from lora_lab.verdict.front import front
from lora_lab.words import in_language, stage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COSTS = ("minutes", "memory_gib", "file_mib")
"""What a checkpoint costs: training minutes until then, peak memory of the run's worker, size of the file."""
GIB, MIB = 2**30, 2**20


@dataclass(frozen=True)
class CostPoint:
    """One scored checkpoint; `costs` in the order of `COSTS`, None where unknown.

    `front` tells for each cost whether no other checkpoint is as good for less, or better for the same.
    """

    run: str
    tag: str
    last: bool
    score: float
    costs: tuple[float | None, ...]
    front: tuple[bool, ...] = ()


@dataclass(frozen=True)
class CostPlot:
    """All scored checkpoints with their costs."""

    sweep: str
    criterion: str
    points: tuple[CostPoint, ...]

    def rows(self) -> list[dict[str, object]]:
        """One row per scored checkpoint."""
        return [
            {
                "run": point.run,
                "tag": point.tag,
                self.criterion: point.score,
                **dict(zip(COSTS, point.costs, strict=True)),
                **{f"best_for_its_{name}": on for name, on in zip(COSTS, point.front, strict=True)},
            }
            for point in self.points
        ]

    def differs(self, cost: int) -> bool:
        """Whether a cost is known and not the same for all, a few bytes of text apart."""
        known = [value for point in self.points if (value := point.costs[cost]) is not None]
        return bool(known) and max(known) > 1.02 * min(known)


def costs(subject: Subject) -> CostPlot:
    """Every scored checkpoint of the sweep."""
    criterion = subject.evidence.criterion
    points = [
        CostPoint(run.name, item.tag, item is run.checkpoints[-1], item.score, _costs(run, item))
        for run in subject.evidence.own
        for item in run.checkpoints
        if item.score is not None
    ]
    sign = 1 if higher_is_better(criterion) else -1
    fronts = [
        front([(point.costs[number], sign * point.score) for point in points]) for number in range(len(COSTS))
    ]
    marked = (
        CostPoint(
            point.run, point.tag, point.last, point.score, point.costs, tuple(on[place] for on in fronts)
        )
        for place, point in enumerate(points)
    )
    return CostPlot(subject.folder.name, criterion, tuple(marked))


def _costs(run: RunEvidence, item: CheckpointEvidence) -> tuple[float | None, ...]:
    memory, size = run.peak_memory_bytes, item.size_bytes
    return item.minutes, memory / GIB if memory else None, size / MIB if size else None


def draw_costs(plot: CostPlot, look: Look) -> Figure:
    """One panel per cost that differs; the front is a line of steps, its checkpoints have names."""
    shown = [number for number in range(len(COSTS)) if plot.differs(number)] or [0]
    with style.drawing(look):
        made = style.figure(height=0.9 + 3.0 * len(shown))
        panels = made.subplots(len(shown), squeeze=False)[:, 0]
        for number, axes in zip(shown, panels, strict=True):
            _panel(axes, plot, number, look)
        made.supylabel(criterion_label(plot.criterion, look), fontsize=9)
        words = look.say(
            "cost_title", criterion=look.criterion(plot.criterion), sweep=plot.sweep, n=len(plot.points)
        )
        style.title(made, look, words)
        made.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        for number, axes in zip(shown, panels, strict=True):
            names = [_name(point, number, look) for point in plot.points]
            places = [(point.costs[number] or 0.0, point.score) for point in plot.points]
            labels.place(axes, [(*at, name) for at, name in zip(places, names, strict=True)], look)
    return made


def _name(point: CostPoint, cost: int, look: Look) -> str:
    if not point.front[cost]:
        return ""
    at = "" if point.last else f" @ {in_language(stage(point.tag), look.language)}"
    return style.shortened(point.run, 24) + at


def _panel(axes: Axes, plot: CostPlot, number: int, look: Look) -> None:
    known = [(cost, point) for point in plot.points if (cost := point.costs[number]) is not None]
    on = sorted(((cost, point.score) for cost, point in known if point.front[number]))
    if on:
        axes.step(*zip(*on, strict=True), where="post", color=look.colour(1), linewidth=1.2, zorder=1)
    kinds = (
        ("cost_other", "o", look.paper, look.muted, [item for item in known if not item[1].front[number]]),
        (
            "cost_front",
            "D",
            look.colour(1),
            look.colour(1),
            [item for item in known if item[1].front[number]],
        ),
    )
    for word, mark, face, edge, items in kinds:
        axes.plot(
            [cost for cost, _ in items], [point.score for _, point in items], mark, markerfacecolor=face,
            markeredgecolor=edge, label=look.say(word), zorder=3, clip_on=False,
        )  # fmt: skip
    limits(axes, [point.score for _, point in known], plot.criterion)
    axes.margins(x=0.1)
    if number == 0:
        axes.set_xlim(left=0)
    axes.set_xlabel(look.say(f"cost_{COSTS[number]}"))
    style.grid(axes, "both")
