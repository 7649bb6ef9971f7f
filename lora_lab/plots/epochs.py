"""Score against epochs, run by run: how long to train, and which checkpoint to keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_lab.plots import style
from lora_lab.plots.axes_of import criterion_label, limits
from lora_lab.plots.curves import Curve, draw_curves
from lora_lab.plots.style import Look
from lora_lab.plots.subject import Subject, broken, higher_is_better

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class EpochCurve:
    """One run's scored checkpoints in the order of training; of equals the earliest is the `best`."""

    run: str
    broken: bool
    tags: tuple[str, ...]
    epochs: tuple[int, ...]
    scores: tuple[float, ...]
    best: int


@dataclass(frozen=True)
class EpochPlot:
    """The curves of all runs that have a scored checkpoint, in the order of the plan."""

    sweep: str
    criterion: str
    curves: tuple[EpochCurve, ...]

    def rows(self) -> list[dict[str, object]]:
        """One row per scored checkpoint."""
        return [
            {
                "run": curve.run,
                "tag": tag,
                "epoch": epoch,
                self.criterion: score,
                "best": number == curve.best,
            }
            for curve in self.curves
            for number, (tag, epoch, score) in enumerate(
                zip(curve.tags, curve.epochs, curve.scores, strict=True)
            )
        ]


def epochs(subject: Subject) -> EpochPlot:
    """Score against epochs of every run."""
    criterion, curves = subject.evidence.criterion, []
    best_of = max if higher_is_better(criterion) else min
    for run in subject.evidence.own:
        found = [
            (item.tag, item.epoch or 0, item.score) for item in run.checkpoints if item.score is not None
        ]
        if found:
            tags, at, scores = zip(*found, strict=True)
            curves.append(EpochCurve(run.name, broken(run), tags, at, scores, scores.index(best_of(scores))))
    return EpochPlot(subject.folder.name, criterion, tuple(curves))


def draw_epochs(plot: EpochPlot, look: Look) -> Figure:
    """A line per run with a ring around its best checkpoint."""
    from matplotlib.ticker import MaxNLocator

    curves = [
        Curve(item.run, item.epochs, item.scores, best=item.best, broken=item.broken, dots=True)
        for item in plot.curves
    ]
    title = look.say(
        "epochs_title", criterion=look.criterion(plot.criterion), sweep=plot.sweep, n=len(curves)
    )
    labels = (look.say("epochs_axis"), criterion_label(plot.criterion, look))
    made = draw_curves(curves, look, title, labels, log=False)
    with style.drawing(look):
        for axes in made.axes:
            limits(axes, [score for item in plot.curves for score in item.scores], plot.criterion)
            axes.set_xlim(left=0)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    return made
