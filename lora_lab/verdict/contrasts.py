"""Differences between means of runs: their errors, intervals that hold together, and how many runs it takes.

Every difference is a weighted sum of cell means, so that the covariance of two of them is exact where they
share runs: s^2 sum_c v_c w_c / n_c, with s^2 the pooled variance of replicates.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lora_lab.verdict.cells import LEVEL, Cell
from lora_lab.verdict.distributions import chi2_quantile, f_tail, t_power, t_quantile, t_two_sided
from lora_lab.verdict.result import Noise

Array = npt.NDArray[np.float64]

DRAWS = 40_000
"""Draws of the largest of several correlated t values; its 95 % point is then right to about 1 %."""
POWER = 0.8
"""The chance that a difference should have of being found, when runs are counted."""
MOST_PER_CELL = 40
"""More repeats of every run than this are not proposed."""


@dataclass(frozen=True)
class Difference:
    """A weighted sum of cell means; `weights` add up to 0."""

    weights: tuple[tuple[Cell, float], ...]

    @property
    def value(self) -> float:
        """The sum."""
        return sum(weight * cell.mean for cell, weight in self.weights)


@dataclass(frozen=True)
class Tested:
    """A difference with what the noise makes of it; the interval and p count all that were tested together.

    `factor` times the run-to-run standard deviation is half the interval if that deviation were known.
    """

    value: float
    factor: float
    low: float | None = None
    high: float | None = None
    p: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def holds_up_to(self) -> float:
        """The run-to-run standard deviation up to which it would be called."""
        return abs(self.value) / self.factor if self.factor else math.inf


def mean_of_pairs(pairs: Sequence[tuple[Cell, Cell]]) -> Difference:
    """The mean of second minus first over matched pairs, each with the weight that its runs give it."""
    precision = [1 / (1 / one.n + 1 / other.n) for one, other in pairs]
    weights: dict[str, tuple[Cell, float]] = {}
    for (one, other), own in zip(pairs, precision, strict=True):
        share = own / sum(precision)
        for cell, sign in ((one, -share), (other, share)):
            weights[cell.name] = (cell, weights.get(cell.name, (cell, 0.0))[1] + sign)
    return Difference(tuple(weights.values()))


def covariance(differences: Sequence[Difference], extra: int = 0) -> Array:
    """Covariance of differences in units of the run-to-run variance, with `extra` more runs in every cell."""
    found = {cell.name: cell for item in differences for cell, _ in item.weights}
    place = {name: number for number, name in enumerate(found)}
    weights = np.zeros((len(differences), len(found)))
    for row, item in enumerate(differences):
        for cell, weight in item.weights:
            weights[row, place[cell.name]] += weight
    runs = np.array([cell.n + extra for cell in found.values()], dtype=float)
    return np.asarray((weights / runs) @ weights.T)


def together(differences: Sequence[Difference], noise: Noise) -> list[Tested]:
    """Test differences as one family: all their intervals hold at once in 95 % of cases."""
    own = covariance(differences)
    errors = np.sqrt(np.diag(own))
    correlation = own / np.outer(errors, errors)
    known = critical(correlation, math.inf)
    found = []
    for item, error in zip(differences, errors, strict=True):
        value, factor = item.value, known * float(error)
        if noise.sd is None:
            found.append(Tested(value, factor))
            continue
        half = critical(correlation, noise.df) * float(error) * noise.sd
        scale = float(error) * noise.sd
        p = chance(abs(value) / scale, correlation, noise.df) if scale else float(value == 0)
        found.append(Tested(value, factor, value - half, value + half, p))
    return found


def critical(correlation: Array, df: float) -> float:
    """What the largest of several |t| exceeds in 5 % of cases."""
    if _effectively_one(correlation):
        return t_quantile(1 - LEVEL / 2, df)
    return float(_largest(*_key(correlation, df))[round((1 - LEVEL) * DRAWS)])


def chance(t: float, correlation: Array, df: float) -> float:
    """How often the largest of several |t| is at least this large when nothing differs."""
    if _effectively_one(correlation):
        return t_two_sided(t, df)
    draws = _largest(*_key(correlation, df))
    return float((np.count_nonzero(draws >= t) + 1) / (len(draws) + 1))


def _effectively_one(correlation: Array) -> bool:
    return len(correlation) == 1 or bool(np.all(np.abs(correlation) > 1 - 1e-9))


def _key(correlation: Array, df: float) -> tuple[tuple[float, ...], float]:
    return tuple(float(value) for value in correlation.round(3).ravel()), df


@lru_cache(maxsize=512)
def _largest(correlation: tuple[float, ...], df: float) -> Array:
    """Draws of the largest |t| of a multivariate Student t; the same ones every time."""
    size = math.isqrt(len(correlation))
    matrix = np.array(correlation).reshape(size, size)
    values, vectors = np.linalg.eigh(matrix)
    generator = np.random.default_rng(0)
    root = vectors * np.sqrt(values.clip(0))
    normal = generator.standard_normal((DRAWS, size)) @ root.T
    scale = np.ones(DRAWS) if math.isinf(df) else np.sqrt(generator.chisquare(df, DRAWS) / df)
    return np.sort(np.abs(normal).max(axis=1) / scale)


def conflict(pairs: Sequence[tuple[Cell, Cell]], noise: Noise) -> float | None:
    """How likely matched pairs of disjoint runs disagree this much by run-to-run variation alone (F test)."""
    if len(pairs) < 2 or not noise.sd:
        return None
    precision = np.array([1 / (1 / one.n + 1 / other.n) for one, other in pairs])
    values = np.array([other.mean - one.mean for one, other in pairs])
    centre = float((precision * values).sum() / precision.sum())
    ratio = float((precision * (values - centre) ** 2).sum()) / (len(pairs) - 1) / noise.sd**2
    return f_tail(ratio, len(pairs) - 1, noise.df)


def more_runs(differences: Sequence[Difference], noise: Noise, sd: float, wanted: float) -> int | None:
    """How many more runs find a difference of `wanted` points four times in five; None if unreasonably many.

    The runs are repeats of those that the differences are made of, evenly; they make the estimate of the
    run-to-run variation better, too.

    Args:
        sd: The run-to-run standard deviation to reckon with.
    """
    size = len({cell.name for item in differences for cell, _ in item.weights})

    def enough(extra: int) -> bool:
        error = sd * math.sqrt(float(np.diag(covariance(differences, extra)).max()))
        return not error or power(wanted / error, noise.df + extra * size, len(differences)) >= POWER

    # More runs never find less.
    extra = bisect_left(range(1, MOST_PER_CELL + 1), True, key=enough) + 1
    return extra * size if extra <= MOST_PER_CELL else None


def planning_sd(noise: Noise) -> float:
    """The run-to-run standard deviation to plan with: few replicates may have come out alike by chance.

    It is the upper end of a one-sided 80 % interval, so that in four of five cases it is not too small.
    """
    assert noise.sd is not None
    if math.isinf(noise.df):
        return noise.sd
    return noise.sd * math.sqrt(noise.df / chi2_quantile(1 - POWER, noise.df))


def power(ratio: float, df: float, family: int = 1) -> float:
    """The chance to find a difference of `ratio` standard errors among `family` that are tested together."""
    return t_power(t_quantile(1 - LEVEL / 2 / family, df), df, ratio)
