"""Loss curves: every step's loss, faint, and its running mean."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from lora_lab.plots.curves import Curve, draw_curves
from lora_lab.plots.style import Look
from lora_lab.plots.subject import Subject
from lora_lab.smoothing import running_mean
from lora_lab.store.reading import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class LossCurve:
    """One run's loss by step, its running mean, and the samples that it had seen by then."""

    run: str
    status: str
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
        """One row per step."""
        return [
            {"run": curve.run, "step": step, "samples": samples, "loss": loss, "mean": mean}
            for curve in self.curves
            for step, samples, loss, mean in zip(
                curve.steps, curve.samples, curve.loss, curve.mean, strict=True
            )
        ]


def losses(subject: Subject) -> LossPlot:
    """The loss of every run that made a step."""
    found = (_curve(subject.sweep.runs[run.name]) for run in subject.evidence.own)
    return LossPlot(subject.folder.name, tuple(curve for curve in found if curve.loss))


def _curve(run: Run) -> LossCurve:
    rows = [row for row in run.steps if _is_number(row.get("loss"))]
    values = [float(row["loss"]) for row in rows]
    return LossCurve(
        run.name,
        run.status,
        tuple(row["step"] for row in rows),
        tuple(row["samples"] if _is_number(row.get("samples")) else row["step"] for row in rows),
        tuple(values),
        tuple(running_mean(values)),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


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
