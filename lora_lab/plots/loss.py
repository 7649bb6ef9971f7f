"""Loss curves: every update's loss, faint, and its running mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isfinite
from typing import TYPE_CHECKING

from lora_lab.plots.curves import Curve, draw_curves
from lora_lab.plots.style import Look
from lora_lab.plots.subject import Subject
from lora_lab.store.reading import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WINDOWS = 20
"""The running mean is over a twentieth of a run's updates: it shows a trend, and still a jump."""


@dataclass(frozen=True)
class LossCurve:
    """One run's loss; `mean` is over the last `window` updates, `samples` is what it has seen by then."""

    run: str
    status: str
    window: int
    steps: tuple[int, ...]
    samples: tuple[int, ...]
    loss: tuple[float, ...]
    mean: tuple[float, ...]


@dataclass(frozen=True)
class LossPlot:
    """All loss curves of a sweep."""

    sweep: str
    curves: tuple[LossCurve, ...]

    def rows(self) -> list[dict[str, object]]:
        """One row per update."""
        return [
            {"run": curve.run, "step": step, "samples": samples, "loss": loss, "mean": mean}
            for curve in self.curves
            for step, samples, loss, mean in zip(
                curve.steps, curve.samples, curve.loss, curve.mean, strict=True
            )
        ]


def losses(subject: Subject) -> LossPlot:
    """The loss of every run that made an update."""
    found = (_curve(subject.sweep.runs[run.name]) for run in subject.evidence.own)
    return LossPlot(subject.folder.name, tuple(curve for curve in found if curve.loss))


def _curve(run: Run) -> LossCurve:
    rows = [row for row in run.steps if _is_number(row.get("loss"))]
    window = max(1, round(len(rows) / WINDOWS))
    values = [float(row["loss"]) for row in rows]
    return LossCurve(
        run.name,
        run.status,
        window,
        tuple(row["step"] for row in rows),
        tuple(row["samples"] if _is_number(row.get("samples")) else row["step"] for row in rows),
        tuple(values),
        tuple(running_mean(values, window)),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean of each value and the `window` - 1 before it; of as many as there are at the start."""
    total = [0.0, *accumulate(values)]
    return [
        (total[end] - total[max(0, end - window)]) / (end - max(0, end - window))
        for end in range(1, len(values) + 1)
    ]


def draw_losses(plot: LossPlot, look: Look) -> Figure:
    """Loss against samples seen, on a logarithmic axis where the runs' means lie far apart."""
    curves = [
        Curve(
            item.run, item.samples, item.mean, faint=item.loss, broken=item.status in ("failed", "diverged")
        )
        for item in plot.curves
    ]
    title = look.say("loss_title", sweep=plot.sweep, n=len(curves))
    return draw_curves(curves, look, title, (look.say("samples"), look.say("loss_axis")))
