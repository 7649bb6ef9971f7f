"""Names beside points, where there is room for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lora_lab.plots.style import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Box = tuple[float, float, float, float]

AROUND = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
"""Where a label may stand: right, left, above, below, then the corners."""
AWAY = (7.0, 13.0, 20.0)
"""Points of distance that are tried, the nearest first."""


def place(axes: Axes, items: Sequence[tuple[float, float, str]], look: Look, size: float = 7.5) -> list[str]:
    """Write names beside points so that none covers another name or point; what finds no room is left out.

    Args:
        items: x, y and text of each point. All points are kept free, also those without a text.

    Returns:
        The texts that were written.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    ground = {"facecolor": look.paper, "alpha": 0.8, "edgecolor": "none", "pad": 0.6}
    figure.draw_without_rendering()
    pixel = figure.dpi / 72
    spots = [tuple(axes.transData.transform((x, y))) for x, y, _ in items]
    frame = axes.get_window_extent()
    taken: list[Box] = [_around(x, y, 4.5 * pixel) for x, y in spots]
    written = []
    for (x, y), (at_x, at_y, text) in zip(spots, items, strict=True):
        if not text:
            continue
        label = axes.annotate(
            text, (at_x, at_y), (0, 0), textcoords="offset points", fontsize=size, color=look.ink, zorder=6,
            annotation_clip=False, bbox=ground,
        )  # fmt: skip
        extent = label.get_window_extent()
        found = _free((x, y), (extent.width, extent.height), pixel, (taken, frame.bounds))
        if found is None:
            label.remove()
            continue
        box, (dx, dy) = found
        label.set_position((dx / pixel, dy / pixel))
        label.set_horizontalalignment("left")
        label.set_verticalalignment("bottom")
        taken.append(box)
        written.append(text)
    return written


def _around(x: float, y: float, reach: float) -> Box:
    return x - reach, y - reach, x + reach, y + reach


def _free(
    at: tuple[float, float], size: tuple[float, float], pixel: float, room: tuple[list[Box], Sequence[float]]
) -> tuple[Box, tuple[float, float]] | None:
    """The first free box for a label of `size` beside a point, and its lower left corner from the point."""
    taken, (left, bottom, width, height) = room
    for away in AWAY:
        for right, up in AROUND:
            gap = away * pixel * (0.75 if right and up else 1)
            dx = right * gap - (0 if right > 0 else size[0] if right < 0 else size[0] / 2)
            dy = up * gap - (0 if up > 0 else size[1] if up < 0 else size[1] / 2)
            box = (at[0] + dx, at[1] + dy, at[0] + dx + size[0], at[1] + dy + size[1])
            inside = (
                left <= box[0]
                and box[2] <= left + width + 20 * pixel
                and bottom <= box[1]
                and box[3] <= bottom + height + 8 * pixel
            )
            if inside and not any(_meet(box, other) for other in taken):
                return box, (dx, dy)
    return None


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
