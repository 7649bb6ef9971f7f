"""A ranking from comparisons: the Bradley-Terry model, always regularised, with its uncertainty.

    P(i is preferred to j) = 1 / (1 + exp(s_j - s_i))

The strengths s have a Gaussian prior of mean 0. Without one, something that won every comparison would have
an infinite strength (Bradley & Terry 1952; the maximum a posteriori is the one of Caron & Doucet 2012, with
another prior). A tie counts as half a win for either. The uncertainty is the Laplace approximation: the
inverse of the curvature of the log posterior at its maximum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lora_lab.store import Pair, Place

PRIOR_SD = 1.5
"""Standard deviation of strengths before any comparison: two of them then are 2.1 apart, typically."""
ENOUGH = 1e-10
MOST_STEPS = 50

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Strengths:
    """How strong each competitor is. `means` (n,) are in logits around 0; `covariance` is (n, n)."""

    means: Floats
    covariance: Floats

    def sd(self, one: int) -> float:
        """Standard deviation of one strength."""
        return math.sqrt(self.covariance[one, one])

    def stronger(self, one: int, other: int) -> float:
        """Probability that `one` really is stronger than `other`; 0.5 is wide open."""
        cov = self.covariance
        spread = math.sqrt(max(cov[one, one] + cov[other, other] - 2 * cov[one, other], 1e-12))
        return 0.5 * math.erfc((self.means[other] - self.means[one]) / spread / math.sqrt(2))

    def order(self) -> list[int]:
        """The competitors from the strongest to the weakest."""
        return [int(item) for item in np.argsort(-self.means, kind="stable")]


def strengths(wins: Floats, prior_sd: float = PRIOR_SD) -> Strengths:
    """The most plausible strengths, by Newton's method; the problem is convex.

    Args:
        wins: (n, n); how often row was preferred to column. A tie is half a win on both sides.
        prior_sd: Standard deviation of the prior.
    """
    games = wins + wins.T
    won = wins.sum(axis=1)
    count = len(wins)
    means = np.zeros(count)
    value = _log_posterior(means, wins, prior_sd)
    for _ in range(MOST_STEPS):
        expected = 1 / (1 + np.exp(means[None, :] - means[:, None]))
        slope = won - (games * expected).sum(axis=1) - means / prior_sd**2
        step = np.linalg.solve(_curvature(games, expected, prior_sd), slope)
        # Halving keeps the far-off first steps of lopsided results from overshooting.
        while (new := _log_posterior(means + step, wins, prior_sd)) < value - ENOUGH:
            step = step / 2
        means, value = means + step, new
        if np.abs(step).max(initial=0) < ENOUGH:
            break
    expected = 1 / (1 + np.exp(means[None, :] - means[:, None]))
    return Strengths(means, np.linalg.inv(_curvature(games, expected, prior_sd)))


def _log_posterior(means: Floats, wins: Floats, prior_sd: float) -> float:
    gaps = means[:, None] - means[None, :]
    return float(-(wins * np.logaddexp(0, -gaps)).sum() - (means**2).sum() / (2 * prior_sd**2))


def _curvature(games: Floats, expected: Floats, prior_sd: float) -> Floats:
    """Minus the matrix of second derivatives of the log posterior."""
    weight = games * expected * (1 - expected)
    return np.diag(weight.sum(axis=1) + 1 / prior_sd**2) - weight


def count_wins(places: Sequence[Place], pairs: Iterable[Pair]) -> Floats:
    """How often each place was preferred to each other one; "both bad" says nothing of their order.

    Args:
        places: What is ranked; comparisons with anything else are left out.
        pairs: Comparisons.
    """
    number = {place: index for index, place in enumerate(places)}
    wins = np.zeros((len(places), len(places)))
    for pair in pairs:
        if pair.left not in number or pair.right not in number or pair.left == pair.right:
            continue
        left, right = number[pair.left], number[pair.right]
        share = {"left": 1.0, "right": 0.0, "tie": 0.5}.get(pair.result)
        if share is not None:
            wins[left, right] += share
            wins[right, left] += 1 - share
    return wins


@dataclass(frozen=True)
class Ranked:
    """One place in a ranking. `low` and `high` hold the strength with 95 %; `above_next` is the probability
    that it really is stronger than the one that follows, None for the last."""

    place: Place
    strength: float
    low: float
    high: float
    compared: int
    both_bad: int
    above_next: float | None


def ranking(places: Sequence[Place], pairs: Sequence[Pair]) -> list[Ranked]:
    """The places from the strongest to the weakest; those that were compared with none are left out."""
    inside = set(places)
    counted = [pair for pair in pairs if pair.left in inside and pair.right in inside]
    seen = [place for place in places if any(place in (pair.left, pair.right) for pair in counted)]
    if not seen:
        return []
    found = strengths(count_wins(seen, counted))
    order = found.order()
    rows = []
    for index, following in zip(order, [*order[1:], None], strict=True):
        mine = [pair for pair in counted if seen[index] in (pair.left, pair.right)]
        reach = 1.96 * found.sd(index)
        mean = float(found.means[index])
        rows.append(
            Ranked(
                seen[index],
                mean,
                mean - reach,
                mean + reach,
                len(mine),
                sum(pair.result == "both_bad" for pair in mine),
                None if following is None else found.stronger(index, following),
            )
        )
    return rows
