"""The aspect-ratio buckets of a dataset as an image: the shape of each, and what lies in it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lora_lab.counts import counted
from lora_lab.data.summary import BucketSummary
from lora_lab.plots.style import COLOURS, Look, drawing, figure, grid, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_SHOWN = 40
ROW = 0.34
"""Inches a bucket."""


def write_image(buckets: Sequence[BucketSummary], path: Path) -> None:
    """Draw buckets into a PNG or SVG file.

    Raises:
        RunFolderError: The file cannot be written.
    """
    look = Look(titled=False)
    with drawing(look):
        save(_draw(buckets, look), path)


def svg(buckets: Sequence[BucketSummary]) -> str:
    """The image as SVG text with letters in it, to stand in a page."""
    look = Look(titled=False, outlines=False)
    with tempfile.TemporaryDirectory() as place, drawing(look):
        file = Path(place) / "buckets.svg"
        save(_draw(buckets, look), file)
        text = file.read_text(encoding="utf-8")
    return text[text.index("<svg") :]


def _draw(buckets: Sequence[BucketSummary], look: Look) -> Figure:
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import MaxNLocator

    shown = sorted(buckets, key=lambda one: one.width / one.height)[:MOST_SHOWN]
    made = figure(height=0.75 + ROW * max(2, len(shown)))
    shapes, bars = made.subplots(1, 2, sharey=True, width_ratios=(1, 4))
    longest = max(max(one.width, one.height) for one in shown)
    for row, one in enumerate(shown):
        # Both axes of the left part count in rows: one row is as high as the longest side.
        wide, high = 0.86 * one.width / longest, 0.86 * one.height / longest
        corner = (0.5 - wide / 2, row - high / 2)
        shapes.add_patch(
            Rectangle(corner, wide, high, facecolor=COLOURS[5], edgecolor=look.ink, linewidth=0.8)
        )
    shapes.set_xlim(0, 1)
    shapes.set_aspect("equal", anchor="E")
    for side in shapes.spines.values():
        side.set_visible(False)
    shapes.set_xticks([])
    names = [f"{one.width}×{one.height}" for one in shown]
    shapes.set_yticks(range(len(shown)), names)
    shapes.tick_params(length=0)
    bars.barh(range(len(shown)), [one.draws for one in shown], height=0.6, color=COLOURS[0])
    for row, one in enumerate(shown):
        cut = f", crop takes up to {one.cut:.0%}" if one.cut >= 0.005 else ""
        images = f"{counted(one.images, 'image')}{cut}"
        bars.annotate(images, (one.draws, row), (4, 0), textcoords="offset points", va="center", fontsize=8)
    bars.set_xlim(0, max(one.draws for one in shown) * 1.5)
    bars.set_ylim(len(shown) - 0.4, -0.6)
    bars.set_xlabel("samples per epoch")
    bars.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    bars.tick_params(axis="y", length=0, labelleft=False)
    grid(bars, "x")
    return made
