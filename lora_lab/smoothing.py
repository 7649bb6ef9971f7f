"""The one smoothing of curves over training, for plots, report and gallery."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

PARTS = 20
"""A running mean is over a twentieth of a run: it shows a trend, and still a jump."""


def running_mean(values: Sequence[float], *, log: bool = False) -> list[float]:
    """The mean over a share of 1 / `PARTS` of the values, around each; at the ends over those that there are.

    It lies in the middle of what it is over, so that a jump stands where it happened. Fewer than 40 values
    come back as they are.

    Args:
        values: One number per step, in order; above zero with `log`.
        log: Take the geometric mean, which is what a logarithmic axis shows.
    """
    half = len(values) // (2 * PARTS)
    total = [0.0, *accumulate(map(math.log, values) if log else values)]
    found = []
    for place in range(len(values)):
        first, last = max(place - half, 0), min(place + half + 1, len(values))
        mean = (total[last] - total[first]) / (last - first)
        found.append(math.exp(mean) if log else mean)
    return found
