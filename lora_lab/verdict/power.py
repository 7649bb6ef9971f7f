"""What runs can find: the chance that a difference is called, how many more runs it takes, what a plan
decides.

The run-to-run standard deviation is not known when runs are counted. So the chance is the mean over what it
may be, after what was measured (in studies of medicines: assurance, O'Hagan et al. 2005), not that at a
guess.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lora_lab.verdict.cells import LEVEL
from lora_lab.verdict.contrasts import Difference, covariance, freedom
from lora_lab.verdict.distributions import chi2_quantile, t_power, t_quantile
from lora_lab.verdict.prior import SHIPPED, Prior
from lora_lab.verdict.result import Noise

POWER = 0.8
"""The chance that a difference should have of being found, when runs are counted."""
MOST = 80
"""More runs than this are not proposed."""
NODES = 9
"""Quantiles of the variance that stand for all it may be."""


@dataclass(frozen=True)
class More:
    """Runs that would find a difference: how many of each cell, by its name."""

    runs: Mapping[str, int]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.runs.values())


@lru_cache(maxsize=4096)
def _ratios(df: float) -> tuple[float, ...]:
    """True over reckoned standard deviation, at evenly likely places."""
    if math.isinf(df):
        return (1.0,)
    return tuple(math.sqrt(df / chi2_quantile((place + 0.5) / NODES, df)) for place in range(NODES))


@lru_cache(maxsize=65536)
def chance_of(ratio: float, known: float, after: float, family: int = 1, level: float = LEVEL) -> float:
    """The chance to find a difference of `ratio` standard errors, as they are reckoned with now.

    Args:
        known: Degrees of freedom of what is known of the noise now; `after` those that the test will have.
        family: How many differences are tested together.
    """
    limit = t_quantile(1 - level / 2 / family, after)
    found = [t_power(limit, after, ratio / true) for true in _ratios(known)]
    return sum(found) / len(found)


def more_runs(differences: Sequence[Difference], noise: Noise, wanted: float, level: float) -> More | None:
    """Which runs, repeated how often, find the least certain difference four times in five.

    None beyond `MOST`, and where the runs that there are would have found it.

    One run is added at a time, always where it makes the difference surer: that is seldom the reference run
    alone.
    """
    worst = max(differences, key=lambda item: covariance([item], noise)[0, 0])
    known = round(freedom(worst, noise), 1)
    parts = {
        cell.name: [weight**2 * spread.variance, float(cell.n)]
        for cell, weight in worst.weights
        if weight and (spread := noise.of(cell.group))
    }
    extra = dict.fromkeys(parts, 0)
    if not parts:
        return None
    for total in range(MOST + 1):
        error = math.sqrt(sum(part / runs for part, runs in parts.values()))
        if chance_of(round(wanted / error, 3), known, known + total, len(differences), level) >= POWER:
            return More({name: count for name, count in extra.items() if count}) if total else None
        best = max(parts, key=lambda name: parts[name][0] / parts[name][1] / (parts[name][1] + 1))
        parts[best][1] += 1
        extra[best] += 1
    return None


def detectable(one: int, other: int, repeats: int, prior: Prior | None, sd: float) -> float:
    """The difference that is found four times in five between means of `one` and `other` runs.

    Args:
        repeats: Degrees of freedom that the repeats of a plan will give.
        prior: What is expected of the noise; None is the classical t test.
        sd: The run-to-run standard deviation to reckon with.
    """
    df = repeats + (prior.df if prior else 0.0)
    if df <= 0:
        return math.inf
    error = sd * math.sqrt(1 / one + 1 / other)
    low, high = 0.0, 1e4
    for _ in range(60):
        middle = (low + high) / 2
        found = t_power(t_quantile(1 - LEVEL / 2, df), df, middle / error)
        low, high = (low, middle) if found >= POWER else (middle, high)
    return high


@dataclass(frozen=True)
class Finds:
    """The difference, in points, that a plan finds four times in five between the base and a row run once."""

    now: float
    base_once_more: float
    all_once_more: float


def groups_of(names: Sequence[str], repeats: Sequence[Sequence[str]]) -> list[int]:
    """How many rows each experiment of a plan has, the most repeated first.

    Args:
        repeats: Groups of rows that differ in the seed alone.
    """
    first = {name: name for name in names}
    for group in repeats:
        known = [name for name in group if name in first]
        first |= {name: known[0] for name in known}
    counts = Counter(first.values())
    return sorted(counts.values(), reverse=True)


def what_it_finds(groups: Sequence[int], prior: Prior = SHIPPED) -> Finds:
    """What the rows of a plan will be able to find, with the noise that is expected.

    Args:
        groups: How many rows each experiment has (`groups_of`).
    """
    df, base, sd = sum(groups) - len(groups), groups[0], prior.sd
    return Finds(
        detectable(base, groups[-1], df, prior, sd),
        detectable(base + 1, groups[-1], df + 1, prior, sd),
        detectable(base + 1, groups[-1] + 1, df + len(groups), prior, sd),
    )
