"""Which runs of a sweep are hopeless by the scores so far: successive halving with a stated error.

A run is held against what the others had scored with no more training than it has. It is hopeless where it
lies further below the second best of them than noise and its learning curve explain. What that costs and
saves is measured by `benchmarks/hopeless.py`: at the default, at most 2 % of the runs that would have ended
within 3 points of the best are lost.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

from lora_lab.metrics.registry import OF_100

NOISE = 5.0
"""Standard deviation of a score from 0 to 100, of one training seen once."""
LOOKS = 8
"""How often a run is looked at on its way; every further look is a further chance to be wrong."""
MEAN_OF = 3
"""A run's level is the mean of its newest checkpoints, so many at most."""
NEAR = 3.0
"""Points below the best within which a run is as good as it."""
TIMES_NOISE = 2.0
"""How many standard errors of the difference of two levels are granted to a run."""
CATCHES_UP = 20.0
"""Points that a run may still catch up on the others before its first step; the fewer, the less is left."""
HELD_AGAINST = 2
"""The second best: the best of many is too high by its luck alone."""


class Seen(NamedTuple):
    """A checkpoint's score.

    Attributes:
        share: Of the run's length, from 0 to 1.
        amount: Of training until then, in any unit that the runs share, such as samples.
        score: Points, 0 to 100.
    """

    share: float
    amount: float
    score: float


@dataclass(frozen=True)
class Behind:
    """Why a run is hopeless: its `level`, that of the second best with as much training, and the points
    `granted` to a run at its `share`."""

    level: float
    best: float
    granted: float
    share: float


def granted(share: float, seen: int, noise: float = NOISE, times: float = TIMES_NOISE) -> float:
    """Points that a run may lie below the second best.

    Args:
        share: Of its length that it has done.
        seen: Checkpoints that have a score.
        noise: Standard deviation of a score.
    """
    return NEAR + CATCHES_UP * (1 - share) + times * noise * sqrt(2 / min(seen, MEAN_OF))


def hopeless(
    curves: Mapping[str, Sequence[Seen]],
    names: Iterable[str],
    noise: float = NOISE,
    times: float = TIMES_NOISE,
) -> dict[str, Behind]:
    """Which of the named runs are to be ended, and why.

    A run at its end is none of them, nor one that fewer than two others can be held against: those that were
    scored at no greater share of their length, and after no more training.

    Args:
        curves: The scores of all runs, each in order of training.
        names: The runs that are asked about.
        noise: Standard deviation of a score, in points.
        times: Standard errors that are granted.
    """
    known = {name: _Curve(points) for name, points in curves.items() if points}
    found = {}
    for name in names:
        own = known.get(name)
        if own is None or own.points[-1].share >= 1:
            continue
        last = own.points[-1]
        then = (curve.until(last) for other, curve in known.items() if other != name)
        others = sorted((level for level in then if level is not None), reverse=True)
        if len(others) < HELD_AGAINST:
            continue
        level, best = own.level(len(own.points)), others[HELD_AGAINST - 1]
        allowed = granted(last.share, len(own.points), noise, times)
        if level + allowed < best:
            found[name] = Behind(level, best, allowed, last.share)
    return found


class _Curve:
    """A run's scores, and what they were at an earlier point."""

    def __init__(self, points: Sequence[Seen]) -> None:
        self.points = points
        self._shares = [point.share for point in points]
        self._amounts = [point.amount for point in points]

    def level(self, count: int) -> float:
        """The mean of the newest of the first `count` checkpoints."""
        newest = self.points[max(0, count - MEAN_OF) : count]
        return sum(point.score for point in newest) / len(newest)

    def until(self, at: Seen) -> float | None:
        """The level when it had no more training than another run has, by share and by amount; None before
        its first score."""
        by_share = bisect_right(self._shares, at.share + 1e-9)
        count = min(by_share, bisect_right(self._amounts, at.amount * (1 + 1e-9)))
        return self.level(count) if count else None


def scale_of(judge: str, noise: float | None) -> tuple[float, float]:
    """What one point of this module is of a judge's number, and the noise in points.

    Numbers that do not run from 0 to 100 are brought to points by their noise.
    """
    return (1.0, noise or NOISE) if judge in OF_100 else ((noise or NOISE) / NOISE, NOISE)


def look_due(before: float, share: float) -> bool:
    """Whether a run is looked at when it comes from one share of its length to another: `LOOKS` times in all,
    however many checkpoints it saves."""
    return int(share * LOOKS + 1e-9) > int(before * LOOKS + 1e-9)
