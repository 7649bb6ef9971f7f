"""The few distributions that a verdict needs, from scipy.special, which loads at once and without torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

NO_LIMIT = 10**6
"""Degrees of freedom above which Student's t is the normal distribution."""


def normal_quantile(q: float) -> float:
    """What a standard normal is below with probability q."""
    return float(special.ndtri(q))


def t_quantile(q: float, df: float) -> float:
    """What Student's t is below with probability q; infinite df are allowed."""
    return normal_quantile(q) if df > NO_LIMIT else float(special.stdtrit(df, q))


def t_two_sided(t: float, df: float) -> float:
    """How often |t| is at least this large."""
    below = special.ndtr(-abs(t)) if df > NO_LIMIT else special.stdtr(df, -abs(t))
    return float(2 * below)


def t_power(limit: float, df: float, shift: float) -> float:
    """How often a noncentral t with this shift is above the limit."""
    if df > NO_LIMIT:
        return float(special.ndtr(shift - limit))
    below = float(special.nctdtr(df, shift, limit))
    # Far out the series ends in NaN, where the answer is 1.
    return 1.0 if math.isnan(below) else 1 - below


def chi2_quantile(q: float, df: float) -> float:
    """What a chi-squared variable is below with probability q."""
    return float(special.chdtri(df, 1 - q))


def chi2_tail(value: float, df: float) -> float:
    """How often a chi-squared variable is at least this large."""
    return float(special.chdtrc(df, value))


def f_tail(ratio: float, df: float, df_below: float) -> float:
    """How often a variance ratio is at least this large; infinite `df_below` are allowed."""
    return float(special.fdtrc(df, min(df_below, NO_LIMIT), ratio))


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's correlation: Pearson's of the ranks, equal values sharing their mean rank."""
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    first = {value: place for place, value in reversed(list(enumerate(ordered)))}
    return [first[value] + (ordered.count(value) - 1) / 2 for value in values]
