"""Charts as SVG, drawn without a plotting library; colours come from the style sheet, light or dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lora_lab.axes import show
from lora_lab.review.browse.curves import Chart, Curve, Point

WIDTH, HEIGHT = 680, 270
LEFT, RIGHT, TOP, BOTTOM = 56, 134, 12, 42
LABEL_HEIGHT = 14
HEADROOM = 0.04
MOST_SERIES = 8
"""Lines that can be told apart by colour and dashes."""


@dataclass(frozen=True)
class Mark:
    """A tick: where it is drawn in pixels, and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """A curve as it is drawn: SVG points, and its label at its end."""

    series: int
    label: str
    points: str
    raw: str
    end: Point
    label_y: float
    broken: str


@dataclass(frozen=True)
class Drawing:
    """All that the template needs to write the SVG."""

    chart: Chart
    x_title: str
    x_marks: tuple[Mark, ...]
    y_marks: tuple[Mark, ...]
    lines: tuple[Line, ...]
    words: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    top: int = TOP
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


def drawing(chart: Chart, x_title: str) -> Drawing:
    """Place a chart's curves, ticks and labels."""
    across = [x for curve in chart.curves for x, _ in curve.points]
    heights = _heights(chart)
    low_x, high_x = min(across), max(across)
    high_x = high_x if high_x > low_x else low_x + 1
    log = chart.log and min(heights) > 0
    low_y, high_y = _range(heights, log)

    def x(value: float) -> float:
        return LEFT + (value - low_x) / (high_x - low_x) * (WIDTH - RIGHT - LEFT)

    def y(value: float) -> float:
        if log:
            share = (math.log(max(value, low_y)) - math.log(low_y)) / (math.log(high_y) - math.log(low_y))
        else:
            share = (value - low_y) / (high_y - low_y)
        return HEIGHT - BOTTOM - min(max(share, 0.0), 1.0) * (HEIGHT - BOTTOM - TOP)

    def text(points: Sequence[Point]) -> str:
        return " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)

    ends = [(x(curve.points[-1][0]), y(curve.points[-1][1])) for curve in chart.curves]
    lines = tuple(
        Line(
            curve.number % MOST_SERIES,
            curve.label,
            text(curve.points),
            text(curve.raw),
            end,
            label_y,
            curve.broken,
        )
        for curve, end, label_y in zip(chart.curves, ends, _apart([end[1] for end in ends]), strict=True)
    )
    return Drawing(
        chart,
        x_title,
        tuple(Mark(x(value), show(float(value))) for value in ticks(low_x, high_x, 7)),
        tuple(Mark(y(value), show(float(value))) for value in _y_ticks(low_y, high_y, log)),
        lines,
        _words(chart.curves),
    )


def _heights(chart: Chart) -> list[float]:
    """What the height must hold: the lines, not the outliers of the raw values behind them."""
    heights = sorted(y for curve in chart.curves for _, y in curve.points)
    raw = sorted(y for curve in chart.curves for _, y in curve.raw)
    if raw:
        heights += raw[len(raw) // 50 : len(raw) - len(raw) // 50]
    return heights


def _range(heights: Sequence[float], log: bool) -> tuple[float, float]:
    low, high = min(heights), max(heights)
    if log:
        return (low / 1.1, high * 1.1) if high / low < 1.2 else (low / 1.05, high * 1.05)
    if low >= 0:
        # Heights that are shares or sizes are measured from nothing.
        low = 0.0
    return low, high + (high - low) * HEADROOM if high > low else low + 1.0


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) between two bounds: as many as there may be."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (factor * power for factor in (1, 2, 5, 10, 20)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            break
    return [round(number * step, 12) for number in range(first, last + 1)]


def _y_ticks(low: float, high: float, log: bool) -> list[float]:
    if not log:
        return ticks(low, high, 6)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        found = [10.0**power * factor for power in powers for factor in factors]
        found = [value for value in found if low <= value <= high]
        if len(found) >= 3:
            return found if len(found) <= 8 else found[:: len(found) // 8 + 1]
    return ticks(low, high, 5)


def _apart(heights: Sequence[float]) -> list[float]:
    """Heights of labels moved so that none covers another, each as near to its line as there is room."""
    placed = list(heights)
    order = sorted(range(len(heights)), key=heights.__getitem__)
    floor, ceiling = -math.inf, float(HEIGHT - BOTTOM)
    for number in order:
        floor = placed[number] = max(heights[number], floor + LABEL_HEIGHT)
    for number in reversed(order):
        placed[number] = min(placed[number], ceiling)
        ceiling = placed[number] - LABEL_HEIGHT
    return placed


def _words(curves: Sequence[Curve]) -> str:
    """The chart for who cannot see it."""
    return "; ".join(
        f"{curve.label} from {curve.points[0][1]:.3g} to {curve.points[-1][1]:.3g}"
        + (f", {curve.broken}" if curve.broken else "")
        for curve in curves
    )
