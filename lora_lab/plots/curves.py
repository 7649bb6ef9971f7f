"""Drawing lines over training: all runs in one image where they are few, else a small image for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from lora_lab.plots import style
from lora_lab.plots.style import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

TOGETHER = 6
"""More lines than this in one image cannot be told apart."""
POINTS = 600
"""Points of a faint line; more would only make the file larger."""
BEHIND = 120
"""Points of a line behind the one that is looked at."""
FAR_APART = 8.0
"""Ratio of the largest to the smallest value from which an axis of positive numbers is logarithmic."""


@dataclass(frozen=True)
class Curve:
    """One run's line; `faint` is drawn behind it, the point number `best` is marked, points get dots."""

    run: str
    x: Sequence[float]
    y: Sequence[float]
    faint: Sequence[float] = ()
    best: int | None = None
    broken: bool = False
    dots: bool = False


def draw_curves(
    curves: Sequence[Curve], look: Look, title: str, labels: tuple[str, str], log: bool | None = None
) -> Figure:
    """Draw the curves; `labels` are of the x and y axis, `log` None decides by how far apart they lie."""
    log = _spread(curves) if log is None else log
    with style.drawing(look):
        made = _together(curves, look, labels) if len(curves) <= TOGETHER else _apart(curves, look, labels)
        for axes in made.axes:
            if log:
                style.logarithmic(axes, "y")
            _limits(axes, curves, log)
            style.grid(axes, "both")
        style.title(made, look, title)
    return made


def _spread(curves: Sequence[Curve]) -> bool:
    values = [value for curve in curves for value in curve.y]
    return bool(values) and min(values) > 0 and max(values) / min(values) > FAR_APART


def _limits(axes: Axes, curves: Sequence[Curve], log: bool) -> None:
    """The same for all; the faint lines do not set the scale, the lines to be read do."""
    values = [value for curve in curves for value in curve.y]
    low, high = min(values), max(values)
    if log:
        axes.set_ylim(low / 1.6, high * 1.6)
    else:
        room = 0.08 * ((high - low) or abs(high) or 1)
        axes.set_ylim(low - room, high + room)


def _together(curves: Sequence[Curve], look: Look, labels: tuple[str, str]) -> Figure:
    made = style.figure(height=4.2)
    axes = made.subplots()
    for number, curve in enumerate(curves):
        _line(axes, curve, look, number)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    made.legend(loc="outside lower center", ncols=min(3, len(curves)))
    return made


def _line(axes: Axes, curve: Curve, look: Look, number: int) -> None:
    colour = look.colour(number)
    if curve.faint:
        axes.plot(
            *thinned(curve.x, curve.faint), color=colour, alpha=0.22, linewidth=0.6, zorder=1, rasterized=True
        )
    gap = max(1, len(curve.x) // 8)
    axes.plot(
        curve.x,
        curve.y,
        color=colour,
        linestyle=style.LINES[number % len(style.LINES)],
        marker=style.MARKS[number % len(style.MARKS)],
        markevery=1 if curve.dots else (number * gap // TOGETHER, gap),
        label=style.shortened(curve.run) + (" ×" if curve.broken else ""),
        zorder=3,
    )
    _marks(axes, curve, look, colour)


def _marks(axes: Axes, curve: Curve, look: Look, colour: str) -> None:
    if curve.best is not None:
        at = ([curve.x[curve.best]], [curve.y[curve.best]])
        axes.plot(
            *at, "o", markersize=12, markerfacecolor="none", markeredgecolor=colour, zorder=4, clip_on=False
        )
    if curve.broken and curve.x:
        axes.plot(
            [curve.x[-1]],
            [curve.y[-1]],
            "x",
            color=look.bad,
            markersize=9,
            markeredgewidth=2.2,
            zorder=5,
            clip_on=False,
        )


def _behind(curves: Sequence[Curve]) -> LineCollection:
    """All lines in a grey that stands back on light and on dark paper, as one small image."""
    from matplotlib.collections import LineCollection

    lines = [list(zip(*thinned(item.x, item.y, BEHIND), strict=True)) for item in curves]
    return LineCollection(lines, colors="#888888", alpha=0.32, linewidths=0.7, zorder=1, rasterized=True)


def _apart(curves: Sequence[Curve], look: Look, labels: tuple[str, str]) -> Figure:
    """A small image per run, with all the others in grey behind."""
    columns = 4 if len(curves) > 9 else 3
    lines = ceil(len(curves) / columns)
    made = style.figure(height=0.9 + 1.45 * lines)
    grid = made.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for number, axes in enumerate(grid.flat):
        if number >= len(curves):
            axes.remove()
            continue
        axes.add_collection(_behind(curves))
        curve, colour = curves[number], look.colour(0)
        if curve.faint:
            axes.plot(
                *thinned(curve.x, curve.faint),
                color=colour,
                alpha=0.25,
                linewidth=0.5,
                zorder=2,
                rasterized=True,
            )
        mark = "o" if curve.dots else ""
        axes.plot(curve.x, curve.y, color=colour, marker=mark, markersize=4, zorder=3)
        _marks(axes, curve, look, colour)
        axes.set_title(style.shortened(curve.run, 24), fontsize=8, fontweight="normal", pad=3)
        axes.tick_params(labelsize=7, labelbottom=number + columns >= len(curves))
    made.supxlabel(labels[0], fontsize=9)
    made.supylabel(labels[1], fontsize=9)
    return made


def thinned(x: Sequence[float], y: Sequence[float], most: int = POINTS) -> tuple[list[float], list[float]]:
    """At most about `most` points of a line; of each stretch the lowest and the highest stay, in order."""
    if len(x) <= most:
        return list(x), list(y)
    size = ceil(2 * len(x) / most)
    kept: list[int] = []
    for start in range(0, len(x), size):
        stretch = range(start, min(start + size, len(x)))
        kept += sorted({min(stretch, key=y.__getitem__), max(stretch, key=y.__getitem__)})
    return [x[number] for number in kept], [y[number] for number in kept]
