"""Loss, learning rate and gradient norm against progress, read from the runs' step logs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lora_lab.files import read_lines
from lora_lab.review.runs import Run

Row = dict[str, Any]
Point = tuple[float, float]

POINTS = 400
"""Points of a drawn line at most; a bin of a longer one is drawn by its lowest and highest value."""
SMOOTHED_OVER = 0.04
"""Share of a run's length over which its loss is averaged."""

PROGRESS = {
    "step": ("updates", "steps"),
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
    unit: str
    curves: tuple[Curve, ...]
    log: bool = False


@dataclass
class StepLogs:
    """Step logs that were read, by run; read again when the file has changed."""

    _known: dict[str, tuple[tuple[int, int], list[Row]]] = field(default_factory=dict)

    def rows(self, run: Run) -> list[Row]:
        """The rows of a run's step log, of the run that did the work."""
        file = run.origin.steps_file
        try:
            stat = file.stat()
        except OSError:
            return []
        signature = stat.st_mtime_ns, stat.st_size
        known = self._known.get(str(file))
        if known is None or known[0] != signature:
            known = self._known[str(file)] = (signature, _with_minutes(read_lines(file)))
        return known[1]


def _with_minutes(logged: Sequence[Row]) -> list[Row]:
    """The rows with the minutes and the share of epochs that had passed."""
    rows = [row for row in logged if isinstance(row.get("step"), int)]
    per_epoch = max((row["step"] for row in rows if row.get("epoch") == 1), default=0)
    seconds = 0.0
    for row in rows:
        seconds += row.get("seconds") or 0.0
        row["minutes"] = seconds / 60
        # The log counts whole epochs; a curve goes on within one.
        row["epoch"] = row["step"] / per_epoch if per_epoch else row.get("epoch", 0)
    return rows


def charts(runs: Sequence[Run], logs: StepLogs, progress: str) -> list[Chart]:
    """The charts of some runs; those of which nothing was logged are left out.

    Args:
        runs: In the order of their colours.
        logs: Where step logs are read.
        progress: A key of `PROGRESS`.
    """
    rows = [logs.rows(run) for run in runs]
    made = [
        Chart("Loss", "", _lines(runs, rows, progress, lambda row: row.get("loss"), smooth=True)),
        Chart("Validation loss", "", _lines(runs, rows, progress, lambda row: row.get("validation_loss"))),
        Chart("Learning rate", "", _rates(runs, rows, progress), log=_far_apart(rows)),
        Chart(
            "Gradient norm",
            "",
            _lines(runs, rows, progress, lambda row: row.get("grad_norm") or None, smooth=True, log=True),
            log=True,
        ),
    ]
    return [chart for chart in made if chart.curves]


def _lines(
    runs: Sequence[Run],
    rows: Sequence[list[Row]],
    progress: str,
    value: Callable[[Row], Any],
    *,
    smooth: bool = False,
    log: bool = False,
) -> tuple[Curve, ...]:
    found = []
    for number, (run, own) in enumerate(zip(runs, rows, strict=True)):
        points = _points(own, progress, value)
        if not points:
            continue
        line = averaged(points, log=log) if smooth else points
        ended = run.status if run.status in ("failed", "diverged", "cancelled") else ""
        found.append(Curve(run.name, number, thinned(line), thinned(points) if smooth else (), ended))
    return tuple(found)


def _points(rows: Sequence[Row], progress: str, value: Callable[[Row], Any]) -> list[Point]:
    found = []
    for row in rows:
        height = value(row)
        if isinstance(height, (int, float)) and math.isfinite(height):
            found.append((float(row[progress]), float(height)))
    return found


def _rates(runs: Sequence[Run], rows: Sequence[list[Row]], progress: str) -> tuple[Curve, ...]:
    """One line per learning rate; those of a run that are the same all along are one."""
    found = []
    for number, (run, own) in enumerate(zip(runs, rows, strict=True)):
        names = list(dict.fromkeys(name for row in own for name in row.get("learning_rates", ())))
        lines: dict[tuple[Point, ...], list[str]] = {}
        for name in names:
            points = _points(own, progress, _rate(name))
            lines.setdefault(thinned(points), []).append(name)
        for points_drawn, own_names in lines.items():
            if points_drawn:
                text = ", ".join(name.replace("_", " ") for name in own_names)
                label = run.name if len(lines) == 1 else f"{run.name}: {text}"
                found.append(Curve(label, number, points_drawn))
    return tuple(found)


def _rate(name: str) -> Callable[[Row], Any]:
    return lambda row: row.get("learning_rates", {}).get(name)


def _far_apart(rows: Sequence[list[Row]]) -> bool:
    values = {value for own in rows for row in own for value in row.get("learning_rates", {}).values()}
    values.discard(0.0)
    return bool(values) and max(values) / min(values) > 50


def averaged(points: Sequence[Point], *, log: bool = False) -> list[Point]:
    """The running mean over `SMOOTHED_OVER` of the length, centred, with what there is at the ends.

    With `log` it is the geometric mean, as a logarithmic chart shows it; heights are above zero then.
    """
    half = max(round(len(points) * SMOOTHED_OVER / 2), 1)
    sums = [0.0]
    for _, height in points:
        sums.append(sums[-1] + (math.log(height) if log else height))
    found = []
    for number, (place, _) in enumerate(points):
        first, last = max(number - half, 0), min(number + half + 1, len(points))
        mean = (sums[last] - sums[first]) / (last - first)
        found.append((place, math.exp(mean) if log else mean))
    return found


def thinned(points: Sequence[Point]) -> tuple[Point, ...]:
    """At most `POINTS` points that show every rise and fall: each bin's lowest and highest, in order."""
    if len(points) <= POINTS:
        return tuple(points)
    found: list[Point] = []
    bins = POINTS // 2
    for number in range(bins):
        part = points[number * len(points) // bins : (number + 1) * len(points) // bins]
        low, high = min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])
        found += sorted({low, high})
    return tuple(found)
