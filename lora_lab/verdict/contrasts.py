"""Differences between means of runs: their errors, intervals that hold together, and how many runs it takes.

Every difference is a weighted sum of cell means, so that the covariance of two of them is exact where they
share runs: sum_c s_c^2 v_c w_c / n_c, with s_c^2 the variance that the noise gives a cell.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lora_lab.verdict.cells import LEVEL, Cell
from lora_lab.verdict.distributions import f_tail, t_quantile, t_two_sided
from lora_lab.verdict.result import Noise

Array = npt.NDArray[np.float64]

DRAWS = 40_000
"""Draws of the largest of several correlated t values; its 95 % point is then right to about 1 %."""


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

    `factor` times the run-to-run standard deviation is half the interval if that deviation were known;
    `error` is the standard error reckoned with, on `df` degrees of freedom. Where nothing is tested,
    `beyond` says whether the difference would be called if the noise were what is expected.
    """

    value: float
    factor: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    error: float | None = None
    df: float = math.inf
    beyond: bool = False

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


def independent(one: Cell, other: Cell) -> tuple[Cell, Cell] | None:
    """Two cells without runs that share a training, as far as there are others; None where there are not.

    Checkpoints of one training share its luck: what parts them is no sample of what parts two trainings.
    Where two or more trainings are in both cells they stand: those are independent of each other.
    """
    shared = one.trainings & other.trainings
    if not shared or len(shared) > 1:
        return one, other
    for first, second, turned in ((one, other, False), (other, one, True)):
        rest = tuple(run for run in first.runs if (run.training or run.name) not in shared)
        if rest:
            return (second, Cell(rest)) if turned else (Cell(rest), second)
    return None


def covariance(
    differences: Sequence[Difference], noise: Noise | None = None, extra: Mapping[str, int] | None = None
) -> Array:
    """Covariance of differences; without noise in units of the variance of one run.

    Args:
        extra: How many more runs of a cell to reckon with, by its name.
    """
    found = {cell.name: cell for item in differences for cell, _ in item.weights}
    place = {name: number for number, name in enumerate(found)}
    weights = np.zeros((len(differences), len(found)))
    for row, item in enumerate(differences):
        for cell, weight in item.weights:
            weights[row, place[cell.name]] += weight
    of_mean = [
        _variance(cell, noise) / (cell.n + (extra.get(name, 0) if extra else 0))
        for name, cell in found.items()
    ]
    return np.asarray((weights * np.array(of_mean)) @ weights.T)


def _variance(cell: Cell, noise: Noise | None) -> float:
    spread = noise.of(cell.group) if noise else None
    return spread.variance if spread else 1.0


def freedom(difference: Difference, noise: Noise) -> float:
    """Degrees of freedom of a difference's variance (Welch 1938, Satterthwaite 1946).

    Parts of one source have one error, so theirs add up linearly; those of different sources as squares.
    """
    by_source: dict[str, float] = defaultdict(float)
    total = 0.0
    for cell, weight in difference.weights:
        spread = noise.of(cell.group)
        if spread is None:
            return math.inf
        part = weight**2 * spread.variance / cell.n
        total += part
        by_source[spread.source] += part / math.sqrt(spread.df)
    squares = sum(value**2 for value in by_source.values())
    return total**2 / squares if squares else math.inf


def together(differences: Sequence[Difference], noise: Noise, level: float = LEVEL) -> list[Tested]:
    """Test differences as one family: all their intervals hold at once in all but `level` of cases."""
    units = covariance(differences)
    known = critical(_correlation(units), math.inf, level)
    factors = [known * math.sqrt(value) for value in np.diag(units)]
    if noise.single is None and not noise.by_cell:
        return [Tested(item.value, factor) for item, factor in zip(differences, factors, strict=True)]
    own = covariance(differences, noise)
    correlation = _correlation(own)
    found = []
    for item, factor, variance in zip(differences, factors, np.diag(own), strict=True):
        value, error, df = item.value, math.sqrt(variance), round(freedom(item, noise), 1)
        half = critical(correlation, df, level) * error
        p = chance(abs(value) / error, correlation, df) if error else None
        if noise.tested and error:
            found.append(Tested(value, factor, value - half, value + half, p, error, df))
        else:
            found.append(Tested(value, factor, error=error, df=df, beyond=bool(error) and abs(value) > half))
    return found


def _correlation(covariances: Array) -> Array:
    errors = np.sqrt(np.diag(covariances))
    return covariances / np.outer(errors, errors) if errors.all() else np.eye(len(errors))


def critical(correlation: Array, df: float, level: float = LEVEL) -> float:
    """What the largest of several |t| exceeds in `level` of cases."""
    if _effectively_one(correlation):
        return t_quantile(1 - level / 2, df)
    return float(_largest(*_key(correlation, df))[round((1 - level) * DRAWS)])


def chance(t: float, correlation: Array, df: float) -> float:
    """How often the largest of several |t| is at least this large when nothing differs."""
    if _effectively_one(correlation):
        return t_two_sided(t, df)
    draws = _largest(*_key(correlation, df))
    return float((np.count_nonzero(draws >= t) + 1) / (len(draws) + 1))


def _effectively_one(correlation: Array) -> bool:
    return len(correlation) == 1 or bool(np.all(np.abs(correlation) > 1 - 1e-9))


def _key(correlation: Array, df: float) -> tuple[tuple[float, ...], float]:
    return tuple(float(value) for value in correlation.round(2).ravel()), df


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
    if len(pairs) < 2 or not noise.tested:
        return None
    each = [Difference(((other, 1.0), (one, -1.0))) for one, other in pairs]
    precision = np.array([1 / covariance([item], noise)[0, 0] for item in each])
    values = np.array([item.value for item in each])
    centre = float((precision * values).sum() / precision.sum())
    ratio = float((precision * (values - centre) ** 2).sum()) / (len(pairs) - 1)
    return f_tail(ratio, len(pairs) - 1, freedom(mean_of_pairs(pairs), noise))


def f_test(differences: Sequence[Difference], noise: Noise) -> float | None:
    """How likely several differences are all this far from 0 by run-to-run variation alone (F test)."""
    if not noise.tested:
        return None
    own = covariance(differences, noise)
    values = np.array([item.value for item in differences])
    eigenvalues, vectors = np.linalg.eigh(own)
    kept = eigenvalues > 1e-9 * max(eigenvalues.max(), 1e-300)
    rank = int(kept.sum())
    if not rank:
        return None
    along = (vectors.T @ values)[kept]
    ratio = float((along**2 / eigenvalues[kept]).sum()) / rank
    df = min(freedom(item, noise) for item in differences)
    return f_tail(ratio, rank, df)
