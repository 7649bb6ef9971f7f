"""A model of all scores at once: settings that add up, and pairs of settings that depend on each other.

Matched pairs need two runs that differ in one setting. Where few do (random, searched or grown sweeps), and
to say what a combination that nobody ran would score, a Gaussian process stands beside them:

    score(x) = m + sum_k f_k(x_k) + sum_k<l f_kl(x_k, x_l) + noise

with one variance for all f_k and one for all f_kl, chosen by their marginal likelihood (empirical Bayes),
so that what the runs do not show is drawn to 0. It is a model: it assumes that three settings do nothing
together that two of them do not, and its residuals are shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
import numpy.typing as npt

from lora_lab.axes import axis, scale
from lora_lab.verdict.cells import LEVEL, Cell, owner
from lora_lab.verdict.distributions import rank_correlation, t_two_sided
from lora_lab.verdict.result import Noise

Array = npt.NDArray[np.float64]
Settings = Mapping[str, Any]

FEWEST = 4
"""Different runs with a score that a model needs."""
SDS = (0.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0)
"""Standard deviations of effects that are tried, in points of 100."""
ABSENT = "absent"


@dataclass(frozen=True)
class _Posterior:
    """What the scores of runs say of any settings."""

    given: Sequence[Settings]
    near: Callable[[Sequence[Settings], Sequence[Settings]], Array]
    sds: tuple[float, float]
    inverse: Array
    weights: Array
    centre: float

    def of(self, settings: Sequence[Settings]) -> tuple[Array, Array]:
        """Expected scores, and the covariance of the truth around them."""
        across = _sum(*_kernels(self.near(settings, self.given)), self.sds)
        own = _sum(*_kernels(self.near(settings, settings)), self.sds)
        ones = np.ones(len(self.given))
        mean_unknown = 1 - across @ self.inverse @ ones
        left = own - across @ self.inverse @ across.T
        left += np.outer(mean_unknown, mean_unknown) / float(ones @ self.inverse @ ones)
        return self.centre + across @ self.weights, left


@dataclass(frozen=True)
class Model:
    """A fitted model.

    Attributes:
        keys: The settings that differ among its runs.
        main_sd: Typical size of what single settings do together, in points; `pair_sd` of what pairs add.
        residuals: How far each run is from what the model says of it without it, by its name; `residual_sd`
            is their size.
        explained: The share of the variance of scores that is predicted so; 0 is no better than the mean.
        rank: Rank correlation of scores with those predictions; `by_chance` is how often one as high comes of
            runs that have nothing to do with each other.
    """

    keys: tuple[str, ...]
    main_sd: float
    pair_sd: float
    residual_sd: float
    explained: float
    rank: float
    by_chance: float
    residuals: Mapping[str, float]
    _posterior: _Posterior

    @property
    def predicts(self) -> bool:
        """Whether it tells anything of runs that it has not seen, as far as leaving runs out can show.

        Where every run changes another setting nothing can: the others say nothing of that change.
        """
        return self.explained > 0 and self.by_chance < LEVEL

    def predict(self, settings: Sequence[Settings]) -> tuple[Array, Array]:
        """Expected scores of settings, and the standard deviation of the truth around each."""
        expected, covariance = self._posterior.of(settings)
        return expected, np.sqrt(np.maximum(np.diag(covariance), 0.0))

    def difference(self, ones: Sequence[Settings], others: Sequence[Settings]) -> tuple[float, float]:
        """How much higher `others` are expected to score than `ones` on average, and its sd."""
        expected, covariance = self._posterior.of([*ones, *others])
        weights = np.array([-1 / len(ones)] * len(ones) + [1 / len(others)] * len(others))
        return float(weights @ expected), math.sqrt(max(0.0, float(weights @ covariance @ weights)))


def fit(members: Sequence[Cell], noise: Noise) -> Model | None:
    """Fit the model to cells; None where they are too few, or nothing is known of the noise."""
    keys = _moving([cell.settings for cell in members])
    variances = [spread.variance / cell.n for cell in members if (spread := noise.of(cell.group))]
    if len(members) < FEWEST or not keys or len(variances) < len(members):
        return None
    given = [cell.settings for cell in members]
    near = _nearness(given, keys)
    scores, errors = np.array([cell.mean for cell in members]), np.diag(variances)
    main, pair = _kernels(near(given, given))
    best = max(product(SDS[1:], SDS), key=lambda sds: _likelihood(scores, _sum(main, pair, sds) + errors))
    covariance = _sum(main, pair, best) + errors
    inverse: Array = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
    ones = np.ones(len(scores))
    centre = float(ones @ inverse @ scores / (ones @ inverse @ ones))
    weights: Array = np.asarray(inverse @ (scores - centre), dtype=np.float64)
    posterior = _Posterior(given, near, best, inverse, weights, centre)
    # Each run as predicted from all others, the mean taken as known (Rasmussen & Williams 2006, eq. 5.12).
    residuals = weights / np.diag(inverse)
    total = float(((scores - scores.mean()) ** 2).mean())
    rank = _rank(scores - residuals, scores)
    return Model(
        keys=tuple(keys),
        main_sd=best[0],
        pair_sd=best[1],
        residual_sd=float(np.sqrt((residuals**2).mean())),
        explained=max(0.0, 1 - float((residuals**2).mean()) / total) if total else 0.0,
        rank=rank,
        by_chance=_by_chance(rank, len(scores)),
        residuals={cell.name: float(value) for cell, value in zip(members, residuals, strict=True)},
        _posterior=posterior,
    )


def _rank(one: Array, other: Array) -> float:
    if np.ptp(one) < 1e-9 or np.ptp(other) < 1e-9:
        return 0.0
    return rank_correlation(one.round(9).tolist(), other.tolist())


def _by_chance(rank: float, count: int) -> float:
    """How often a rank correlation of so many pairs is at least this high by chance (Student's t)."""
    if abs(rank) >= 1:
        return 0.0 if rank > 0 else 1.0
    two = t_two_sided(rank * math.sqrt((count - 2) / (1 - rank * rank)), count - 2)
    return two / 2 if rank > 0 else 1 - two / 2


def _moving(given: Sequence[Settings]) -> list[str]:
    keys = dict.fromkeys(key for settings in given for key in settings)
    return [key for key in keys if len({repr(settings.get(key, ABSENT)) for settings in given}) > 1]


def _nearness(
    given: Sequence[Settings], keys: Sequence[str]
) -> Callable[[Sequence[Settings], Sequence[Settings]], Array]:
    """How near two settings are, key by key, from 0 to 1: (keys, rows, columns)."""
    spans = {key: _span(key, given) for key in keys}

    def one(key: str, rows: Sequence[Settings], columns: Sequence[Settings]) -> Array:
        near = _equal(key, rows, columns)
        place = spans[key]
        if place is not None:
            along, across = (_places(key, place, some) for some in (rows, columns))
            apart = np.abs(along[:, None] - across[None, :])
            near = np.where(near == 1, 1.0, np.where(np.isnan(apart), 0.0, np.exp(-2 * apart)))
        name = owner(key)
        return near * _equal(name, rows, columns) if name else near

    return lambda rows, columns: np.array([one(key, rows, columns) for key in keys])


def _equal(key: str, rows: Sequence[Settings], columns: Sequence[Settings]) -> Array:
    own, its = ([some.get(key, ABSENT) for some in given] for given in (rows, columns))
    return np.array([[float(x == y) for y in its] for x in own])


def _places(key: str, place: Callable[[float], float], given: Sequence[Settings]) -> Array:
    """Where settings lie along a key's axis; NaN where they are no number."""
    values = (some.get(key) for some in given)
    return np.array([place(value) if _number(value) else math.nan for value in values])  # type: ignore[arg-type]


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _span(key: str, given: Sequence[Settings]) -> Callable[[float], float] | None:
    """Where numbers lie along a setting's axis, from 0 to 1; None of a choice, or of two values."""
    values = sorted({settings[key] for settings in given if _number(settings.get(key))})
    if len(values) < 3:
        return None
    kind = scale(axis(key), values).kind
    if kind == "category":
        return None
    low, high = (np.log(values[end]) if kind == "log" else float(values[end]) for end in (0, -1))
    return lambda value: float(
        ((np.log(value) if kind == "log" and value > 0 else value) - low) / (high - low)
    )


def _kernels(near: Array) -> tuple[Array, Array]:
    """Covariance by what settings do one by one, and by pairs; each with a variance of 1."""
    count = len(near)
    pairs = [near[one] * near[other] for one, other in combinations(range(count), 2)]
    return near.mean(axis=0), np.mean(pairs, axis=0) if pairs else np.zeros_like(near[0])


def _sum(main: Array, pair: Array, sds: Sequence[float]) -> Array:
    return np.asarray(sds[0] ** 2 * main + sds[1] ** 2 * pair)


def _likelihood(scores: Array, covariance: Array) -> float:
    """The restricted log likelihood of scores with an unknown mean."""
    sign, size = np.linalg.slogdet(covariance)
    inverse = np.linalg.inv(covariance)
    ones = np.ones(len(scores))
    total = float(ones @ inverse @ ones)
    left = scores - float(ones @ inverse @ scores) / total
    return -0.5 * (float(size) + float(np.log(total)) + float(left @ inverse @ left)) if sign > 0 else -np.inf
