"""The Pareto front of gain against cost: one rule for the verdict, the plots and the report."""

from __future__ import annotations

from collections.abc import Sequence

DIGITS = 2
"""Costs count to so many digits: a file that is 8 bytes smaller is not cheaper."""


def front(points: Sequence[tuple[float | None, float]]) -> list[bool]:
    """Which points of (cost, gain) no other beats: none is as good and cheaper, or as cheap and better.

    A point without a cost is not on it.
    """
    known = [(_rounded(cost), gain) for cost, gain in points]
    return [
        cost is not None
        and not any(
            other is not None and other <= cost and gain >= own and (other < cost or gain > own)
            for other, gain in known
        )
        for cost, own in known
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS - 1}e}")


def differs(costs: Sequence[float | None]) -> bool:
    """Whether a cost is known of some and not the same for all."""
    return len({_rounded(value) for value in costs if value is not None}) > 1
