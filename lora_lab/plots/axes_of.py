"""The axes of plots: a setting along the bottom, scores up the side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lora_lab.axes import Scale, axis
from lora_lab.metrics.registry import OF_100
from lora_lab.plots import style
from lora_lab.plots.style import Look
from lora_lab.verdict.evidence import SCORE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def criterion_label(criterion: str, look: Look) -> str:
    """The axis of scores; where a metric stands for people's scores, it says so."""
    return look.say("score_axis") if criterion == SCORE else look.say("metric_axis", name=criterion)


def place_axis(axes: Axes, key: str, lies: Scale, look: Look) -> None:
    """Set up the x axis: its scale, and a tick at every value that occurs unless there are too many."""
    if lies.kind == "log":
        axes.set_xscale("log")
    few = len(lies.ticks) <= 8 or lies.kind == "category"
    if few:
        long = max((len(text) for _, text in lies.ticks), default=0) * len(lies.ticks) > 90
        texts = [style.shortened(text, 24) for _, text in lies.ticks]
        axes.set_xticks([at for at, _ in lies.ticks], texts)
        axes.set_xticks([], minor=True)
        if long:
            axes.tick_params(axis="x", labelrotation=35)
            for item in axes.get_xticklabels():
                item.set_horizontalalignment("right")
                item.set_rotation_mode("anchor")
    elif lies.kind == "log":
        style.logarithmic(axes, "x")
    if lies.kind == "category":
        axes.set_xlim(-0.5, max(len(lies.ticks) - 0.5, 0.5))
    else:
        axes.margins(x=0.12)
    axes.set_xlabel(axis(key, look.language).title)


def limits(axes: Axes, values: Sequence[float], criterion: str) -> None:
    """Scores and other numbers from 0 to 100 get the whole range, so that small differences look small."""
    if not values or criterion in OF_100:
        # Raters made equal may reach a little beyond the scale.
        low = min(values, default=0.0)
        axes.set_ylim(low - 2 if low < 0 else 0, max(103, *values, 103))
        axes.set_yticks(range(0, 101, 20))
        return
    room = 0.12 * ((max(values) - min(values)) or abs(max(values)) or 1)
    axes.set_ylim(min(values) - room, max(values) + room)
