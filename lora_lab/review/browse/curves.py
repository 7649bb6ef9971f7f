"""Loss, learning rate and gradient norm against progress, read from the runs' step logs."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from lora_lab.review.browse.runs import Run
from lora_lab.smoothing import running_mean
from lora_lab.store.steps import Signature, read_steps, signature

Point = tuple[float, float]

POINTS = 400
"""Points of a drawn line."""
RATE = "rate "
FAR = 50
"""Learning rates that differ by more than this factor are drawn on a logarithmic height."""
KEPT = 12
"""Step logs that are kept in memory: more than are drawn at once."""

PROGRESS = {
    "step": ("steps", ""),
    "epoch": ("epochs", ""),
    "samples": ("samples seen", ""),
    "minutes": ("training time", "min"),
}
"""What a curve can be drawn against: label and unit."""


@dataclass(frozen=True)
class Curve:
    """One line of a chart; `raw` is drawn faint behind it where the line is an average."""

    label: str
    number: int
    points: tuple[Point, ...]
    raw: tuple[Point, ...] = ()
    broken: str = ""


@dataclass(frozen=True)
class Chart:
    """Several lines over one progress; `log` is a logarithmic height."""

    title: str
    curves: tuple[Curve, ...]
    log: bool = False


@dataclass(frozen=True)
class StepLog:
    """What a run logged after each update, one column per number; what was not logged is not a number.

    The learning rates are columns named `rate unet`, `rate text_encoder` and so on.
    """

    columns: Mapping[str, array[float]]

    @property
    def rates(self) -> list[str]:
        """The columns that are learning rates."""
        return [name for name in self.columns if name.startswith(RATE)]

    def points(self, progress: str, name: str) -> list[Point]:
        """A column against a progress, where it is a number."""
        if name not in self.columns:
            return []
        pairs = zip(self.columns[progress], self.columns[name], strict=True)
        return [(x, y) for x, y in pairs if math.isfinite(y)]


@dataclass
class StepLogs:
    """Step logs that were read, by file; read again when the file has changed. The oldest are forgotten."""

    _known: dict[Path, tuple[Signature, StepLog]] = field(default_factory=dict)

    def of(self, run: Run) -> StepLog:
        """The step log of the run that did the work; an empty one where nothing was logged."""
        folder = run.read.worker.folder
        now = signature(folder)
        if now is None:
            return StepLog({})
        known = self._known.pop(folder.path, None)
        if known is None or known[0] != now:
            known = now, _read(read_steps(folder))
        self._known[folder.path] = known
        for old in list(self._known)[:-KEPT]:
            self._known.pop(old, None)
        return known[1]


def _read(found: Sequence[Mapping[str, Any]]) -> StepLog:
    rows = {row["step"]: row for row in found}
    steps = list(rows)
    per_epoch = max((step for step in steps if rows[step].get("epoch") == 1), default=0)
    rates = dict.fromkeys(name for row in rows.values() for name in _rates_in(row))
    columns: dict[str, array[float]] = {
        "step": array("d", steps),
        # The log counts whole epochs; a curve goes on within one.
        "epoch": array("d", (step / per_epoch if per_epoch else 0.0 for step in steps)),
        "samples": array("d", (_number(rows[step].get("samples", step)) for step in steps)),
        "minutes": array("d", accumulate(_seconds(rows[step]) / 60 for step in steps)),
    }
    for name in ("loss", "validation_loss", "grad_norm"):
        columns[name] = array("d", (_number(rows[step].get(name)) for step in steps))
    for name in rates:
        values = (_rates_in(rows[step]).get(name) for step in steps)
        columns[RATE + name] = array("d", map(_number, values))
    return StepLog(columns)


def _rates_in(row: Mapping[str, Any]) -> Mapping[str, Any]:
    found = row.get("learning_rates")
    return found if isinstance(found, dict) else {}


def _seconds(row: Mapping[str, Any]) -> float:
    found = _number(row.get("seconds"))
    return found if math.isfinite(found) else 0.0


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def charts(runs: Sequence[Run], logs: StepLogs, progress: str) -> list[Chart]:
    """The charts of some runs; those of which nothing was logged are left out.

    Args:
        runs: In the order of their colours.
        logs: Where step logs are read.
        progress: A key of `PROGRESS`.
    """
    read = [logs.of(run) for run in runs]
    lines: dict[str, list[Curve]] = {"loss": [], "validation_loss": [], "grad_norm": []}
    for name, found in lines.items():
        for number, (run, log) in enumerate(zip(runs, read, strict=True)):
            if points := log.points(progress, name):
                found.append(_curve(run, number, name, points))
    rates = [
        curve for number, run in enumerate(runs) for curve in _rates(run, number, read[number], progress)
    ]
    made = [
        Chart("Loss", tuple(lines["loss"])),
        Chart("Validation loss", tuple(lines["validation_loss"])),
        Chart("Learning rate", tuple(rates), log=_far_apart(rates)),
        Chart("Gradient norm", tuple(lines["grad_norm"]), log=True),
    ]
    return [chart for chart in made if chart.curves]


def _curve(run: Run, number: int, name: str, points: list[Point]) -> Curve:
    ended = run.status if run.status in ("failed", "diverged", "cancelled", "stopped") else ""
    if name == "validation_loss":
        return Curve(run.name, number, thinned(points), broken=ended)
    log = name == "grad_norm"
    if log:
        points = [point for point in points if point[1] > 0] or points[:1]
    places, heights = zip(*points, strict=True)
    means = running_mean(heights, log=log and points[0][1] > 0)
    line = list(zip(places, means, strict=True))
    return Curve(run.name, number, thinned(line), thinned(points), ended)


def _rates(run: Run, number: int, log: StepLog, progress: str) -> Iterator[Curve]:
    """One line per learning rate; those that are the same all along are one."""
    lines: dict[tuple[Point, ...], list[str]] = {}
    for name in log.rates:
        if points := log.points(progress, name):
            lines.setdefault(thinned(points), []).append(name.removeprefix(RATE).replace("_", " "))
    for drawn, names in lines.items():
        yield Curve(run.name if len(lines) == 1 else f"{run.name}: {', '.join(names)}", number, drawn)


def _far_apart(curves: Sequence[Curve]) -> bool:
    values = [y for curve in curves for _, y in curve.points if y > 0]
    return bool(values) and max(values) / min(values) > FAR


def thinned(points: Sequence[Point]) -> tuple[Point, ...]:
    """At most about `POINTS` points that show every rise and fall."""
    # All of the plots are loaded with it, which a gallery should not wait for before its first page.
    from lora_lab.plots import curves as plotted

    x, y = plotted.thinned([place for place, _ in points], [height for _, height in points], POINTS)
    return tuple(zip(x, y, strict=True))
