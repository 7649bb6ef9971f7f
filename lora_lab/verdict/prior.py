"""What is known of run-to-run noise before a sweep is scored: from earlier sweeps, else as shipped.

The variance of a setting's repeats is drawn towards a prior as in moderated t tests (Smyth 2004, "Linear
models and empirical Bayes methods"): s^2 = (d0 s0^2 + df s_c^2) / (d0 + df), and the test has d0 + df degrees
of freedom. Two repeats that came out alike by luck then no longer make everything else look sure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

from lora_lab.verdict.cells import Cell, cells
from lora_lab.verdict.evidence import SCORE, Evidence

FEWEST = 10
"""Degrees of freedom of earlier repeats from which on they are the prior in place of the shipped one."""
FEWEST_CELLS = 3
"""Settings they have to be from: one that is steady says nothing of others."""
MOST_DF = 20.0
"""Settings are never taken for so much alike that a prior counts for more repeats than these."""


@dataclass(frozen=True)
class Prior:
    """A scaled inverse chi-squared prior on the variance of repeats.

    Attributes:
        sd: The run-to-run standard deviation that is expected, in points.
        df: How many degrees of freedom that expectation counts for.
        sweeps: The earlier sweeps it is from; none where it is the shipped one.
    """

    sd: float
    df: float
    sweeps: tuple[str, ...] = ()

    @property
    def shipped(self) -> bool:
        """Whether nothing of the user's own stands behind it."""
        return not self.sweeps


SHIPPED = Prior(6.0, 4.0)
"""For people's scores: settings that work have a run-to-run standard deviation of 5.5 points on the demo
base, and the eye that scores them adds to it.

Others have 10 to 20. So it counts for little (4 degrees of freedom), and the verdict states it. With 5.5 in
its place, 6.1 % of settings without an effect were called where the truth is 8 (200 000 draws); with 6 it is
4.7 %.
"""
BY_CRITERION = {SCORE: SHIPPED, "likeness": Prior(10.0, 12.0)}
"""What is expected where the user has no earlier sweeps, by what runs are judged by.

The demo's automatic likeness: six settings of the demo with 6 to 12 seeds each have 10.8, and their variances
do not differ (36 degrees of freedom, p 0.9); a test holds them.
"""


def spread_of(members: Sequence[Cell]) -> list[tuple[float, int]]:
    """Variance and degrees of freedom of each cell that was repeated and lies within the scale."""
    found = []
    for cell in members:
        if cell.n > 1 and not cell.at_the_end:
            variance = sum((score - cell.mean) ** 2 for score in cell.scores) / (cell.n - 1)
            found.append((variance, cell.n - 1))
    return found


def fitted(spread: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """Prior variance and degrees of freedom of variances: moments of their logarithms (Smyth 2004, sec. 6.2).

    Args:
        spread: Variance (above 0) and degrees of freedom of each setting.
    """
    logs = [math.log(variance) - float(special.digamma(df / 2)) + math.log(df / 2) for variance, df in spread]
    middle = sum(logs) / len(logs)
    between = sum((value - middle) ** 2 for value in logs) / (len(logs) - 1)
    between -= sum(float(special.polygamma(1, df / 2)) for _, df in spread) / len(spread)
    df = 2 * _inverse_trigamma(between) if between > 0 else MOST_DF
    df = min(max(df, 1.0), MOST_DF)
    return math.exp(middle + float(special.digamma(df / 2)) - math.log(df / 2)), df


def _inverse_trigamma(value: float) -> float:
    """The argument at which the trigamma function has a value, by Newton's method (Smyth 2004, appendix)."""
    if value > 1e7:
        return float(1 / math.sqrt(value))
    at = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(special.polygamma(1, at))
        step = trigamma * (1 - trigamma / value) / float(special.polygamma(2, at))
        at += step
        if abs(step) < 1e-9 * at:
            break
    return at


def from_earlier(earlier: Sequence[Evidence], like: Evidence) -> Prior | None:
    """The prior that the user's earlier sweeps give for one: of the same base-model family and scores.

    Args:
        earlier: Other sweeps; those of another family or criterion, and the sweep itself, are left out.
        like: The sweep that is judged.

    Returns:
        None where they hold too few repeats: then what is shipped counts.
    """
    spread: list[tuple[float, int]] = []
    names = []
    for item in earlier:
        if item.name == like.name or item.criterion != like.criterion or family(item) != family(like):
            continue
        own = [(max(variance, 1 / 12), df) for variance, df in spread_of(cells(item.runs))]
        spread += own
        names += [item.name] if own else []
    if sum(df for _, df in spread) < FEWEST or len(spread) < FEWEST_CELLS:
        return None
    variance, df = fitted(spread)
    return Prior(math.sqrt(variance), df, tuple(names))


def family(evidence: Evidence) -> str:
    """The family of a sweep's base models, as far as its settings tell; '' where they do not."""
    found = {str(run.settings.get("base_model.family", "")) for run in evidence.own}
    return found.pop() if len(found) == 1 else ""
