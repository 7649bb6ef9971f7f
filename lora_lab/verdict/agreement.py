"""Whether raters agree with each other, and which automatic metric agrees with them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median

from lora_lab.verdict.distributions import normal_quantile, rank_correlation
from lora_lab.verdict.evidence import Evidence
from lora_lab.verdict.result import Agreement
from lora_lab.words import Said, said

FEWEST = 6
"""Runs below which nothing is said of a metric."""
FEWEST_SHARED = 5
"""Checkpoints that several people scored, below which nothing is said of their agreement."""
CLEAR = 0.6
"""From this correlation on a metric is said to order runs much as people do, if 0 is not in its interval."""


def agreement(evidence: Evidence) -> tuple[Agreement, ...]:
    """Spearman's correlation of each metric with people's scores over runs, the closest first.

    A metric that only tells broken runs from working ones has a high correlation over all runs, so the one
    among runs above the median stands beside it.

    The interval is Fisher's with Bonett and Wright's (2000) standard error, sqrt((1 + r^2 / 2) / (n - 3)).
    """
    chosen = [run.checkpoint(run.chosen) for run in evidence.own]
    scored = [item for item in chosen if item is not None and item.human is not None]
    by_metric = {}
    for name in evidence.metrics:
        both = [
            (item.human or 0.0, value) for item in scored if (value := item.metrics.get(name)) is not None
        ]
        if len(both) >= FEWEST and len({value for _, value in both}) > 1 and len({h for h, _ in both}) > 1:
            by_metric[name] = both
    found = [_agreement(name, both, len(by_metric)) for name, both in by_metric.items()]
    return tuple(sorted(found, key=lambda item: -abs(item.rho)))


def _agreement(name: str, both: Sequence[tuple[float, float]], tried: int) -> Agreement:
    rho = rank_correlation([one for one, _ in both], [other for _, other in both])
    low, high = interval(rho, len(both), tried)
    middle = median(one for one, _ in both)
    upper = [(one, other) for one, other in both if one > middle]
    above = among = None
    if len(upper) >= FEWEST and len({one for one, _ in upper}) > 1 and len({other for _, other in upper}) > 1:
        above = rank_correlation([one for one, _ in upper], [other for _, other in upper])
        among = interval(above, len(upper), tried)
    return Agreement(name, len(both), rho, low, high, _sentence(rho, low, high, among), above, among, tried)


def interval(rho: float, runs: int, tried: int = 1) -> tuple[float, float]:
    """The 95 % interval of a rank correlation; of `tried` metrics all hold at once (Bonferroni)."""
    bounded = max(-0.9999, min(0.9999, rho))
    half = normal_quantile(1 - 0.025 / tried) * math.sqrt((1 + bounded**2 / 2) / (runs - 3))
    middle = math.atanh(bounded)
    return math.tanh(middle - half), math.tanh(middle + half)


def _sentence(rho: float, low: float, high: float, among: tuple[float, float] | None) -> Said:
    if low <= 0 <= high:
        return said("agree_none")
    key = "agree_much"
    if abs(rho) < CLEAR:
        key = "agree_little"
    elif among is None or among[0] <= 0 <= among[1]:
        key = "agree_broken"
    return said(key if rho > 0 else f"{key}_reversed")


def krippendorff(given: Mapping[str, Mapping[object, float]]) -> float | None:
    """Krippendorff's alpha for interval data: 1 is full agreement, 0 is chance; None where it is not defined.

    alpha = 1 - D_o / D_e, with the observed and the expected mean squared difference of two judgements of the
    same and of any checkpoints (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

    Args:
        given: Scores by rater and checkpoint; missing ones are allowed.
    """
    units: dict[object, list[float]] = defaultdict(list)
    for values in given.values():
        for place, value in values.items():
            units[place].append(value)
    shared = [values for values in units.values() if len(values) > 1]
    pooled = [value for values in shared for value in values]
    if len(shared) < FEWEST_SHARED or len(set(pooled)) < 2:
        return None
    observed = sum(_squares(values) / (len(values) - 1) for values in shared) / len(pooled)
    expected = _squares(pooled) / (len(pooled) * (len(pooled) - 1))
    return 1 - observed / expected


def _squares(values: list[float]) -> float:
    """Sum over ordered pairs of the squared difference."""
    total = sum(values)
    return 2 * (len(values) * sum(value * value for value in values) - total * total)


def of_raters(evidence: Evidence) -> float | None:
    """Krippendorff's alpha over the checkpoints that people scored."""
    given: dict[str, dict[object, float]] = defaultdict(dict)
    for run in evidence.own:
        for item in run.checkpoints:
            for name, value in item.raters.items():
                given[name][run.name, item.tag] = value
    return krippendorff(given) if len(given) > 1 else None
