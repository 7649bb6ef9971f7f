"""How far a repeated run's score moves, cell by cell: what was measured, drawn towards what is expected.

Three rules, each checked by simulation (benchmarks/verdict.py):

* The variance of repeats is moderated by a prior (`verdict.prior`).
* Cells share one variance only where a test allows it (Bartlett's, over cells that were repeated). Where it
  does not, each repeated cell has its own, moderated by what is typical of the others.
* A cell that was run once has the typical variance. Repeats of other cells that came out closer together than
  expected count little for it (one degree of freedom for the first repeated cell, two for each further one):
  the noise of one setting is not that of another. Repeats that lie further apart count in full.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import mean

from lora_lab.verdict.cells import LEVEL, Cell
from lora_lab.verdict.distributions import chi2_quantile, chi2_tail, t_quantile
from lora_lab.verdict.evidence import SCORE, Evidence, RunEvidence
from lora_lab.verdict.prior import Prior, fitted
from lora_lab.verdict.result import ASSUMED, EARLIER, MEASURED, UNMEASURED, Noise, Spread

STEPS = (20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.1, 0.01, 0.001, 1e-4)
"""Steps of scores that are looked for.

Replicates that were given the same number by rounding have no spread, and would make everything else look
significant; so the variance of rounding, step^2 / 12, is added to theirs, for each rater's own step.
"""
SHARED = "all"
"""The source of a variance that several cells share: its error is one error."""
FEWEST_REPEATS = 3
"""Repeated judgements from which on a rater's own repeatability is a floor."""
FEWEST_FOR_ONE = 4
"""Repeated cells of one variance from which on a cell that was run once is taken to have it, too."""


def grain(scores: Sequence[float]) -> float:
    """The step that scores are given in, such as 10 by a rater who thinks in tens; 0 where there is none."""
    return next((step for step in STEPS if all(_on(score, step) for score in scores)), 0.0)


def _on(score: float, step: float) -> bool:
    return abs(score / step - round(score / step)) < 1e-6


def rounding(members: Sequence[Cell]) -> dict[str, float]:
    """Variance that rounding gives a run's score, by cell: of a mean of raters, each with a step of their
    own."""
    runs = [run for cell in members for run in cell.runs]
    by_rater: dict[str, list[float]] = {}
    for run in runs:
        for name, value in _raters(run).items():
            by_rater.setdefault(name, []).append(value)
    steps = {name: grain(values) for name, values in by_rater.items()}
    whole = grain([run.score for run in runs if run.score is not None])

    def of(run: RunEvidence) -> float:
        own = [steps[name] for name in _raters(run)]
        return sum(step**2 for step in own) / 12 / len(own) ** 2 if own else whole**2 / 12

    return {cell.group: mean(of(run) for run in cell.runs) for cell in members}


def _raters(run: RunEvidence) -> Mapping[str, float]:
    item = run.checkpoint(run.chosen)
    return item.raters if item else {}


def eye(evidence: Evidence, members: Sequence[Cell]) -> dict[str, float]:
    """The variance that the raters' own repeatability leaves in a run's score, by cell: no noise is less."""
    sds = {rater.name: rater.repeat_sd for rater in evidence.raters if rater.repeats >= FEWEST_REPEATS}
    if evidence.criterion != SCORE:
        return {}

    def of(run: RunEvidence) -> float:
        item = run.checkpoint(run.chosen)
        own = [sds.get(name) or 0.0 for name in _raters(run)]
        if item is None or not own:
            return 0.0
        return mean(sd * sd for sd in own) / max(1, item.judgements)

    return {cell.group: mean(of(run) for run in cell.runs) for cell in members}


def noise(
    members: Sequence[Cell],
    assumed: float | None = None,
    prior: Prior | None = None,
    least: Mapping[str, float] | None = None,
) -> Noise:
    """How much a repeated run's score moves: measured on all cells with repeats, or as assumed.

    What is measured wins over what is assumed.

    Args:
        assumed: Run-to-run standard deviation where nothing was repeated.
        prior: What is expected; None where nothing is known of the scale, and then repeats stand for
            themselves.
        least: Variance that no cell goes below (`eye`), by cell.
    """
    repeated = [cell for cell in members if cell.n > 1]
    inside = [cell for cell in repeated if not cell.at_the_end]
    ends = tuple(cell.name for cell in repeated if cell.at_the_end)
    steps = rounding(members)
    if inside:
        found = _measured(inside, {cell.group: _variance(cell) + steps[cell.group] for cell in inside}, prior)
    elif assumed is not None:
        one = Spread(assumed**2, math.inf)
        found = Noise(ASSUMED, assumed, math.inf, single=one)
    elif prior is not None:
        one = Spread(prior.sd**2, prior.df)
        found = Noise(UNMEASURED if prior.shipped else EARLIER, single=one, prior=prior)
    else:
        found = Noise(UNMEASURED)
    found = replace(found, at_the_end=ends, least=dict(least or {}))
    return replace(found, smallest=_smallest(found, least or {}))


def _variance(cell: Cell) -> float:
    return sum((score - cell.mean) ** 2 for score in cell.scores) / (cell.n - 1)


def _smallest(found: Noise, least: Mapping[str, float]) -> float | None:
    """The smallest difference of two cells that were run once that would be called."""
    if found.single is None:
        return None
    variance = max(found.single.variance, min(least.values(), default=0.0))
    return t_quantile(1 - LEVEL / 2, found.single.df) * math.sqrt(2 * variance)


def _measured(inside: Sequence[Cell], own: Mapping[str, float], prior: Prior | None) -> Noise:
    df = sum(cell.n - 1 for cell in inside)
    squares = sum(own[cell.group] * (cell.n - 1) for cell in inside)
    low, high = (math.sqrt(squares / chi2_quantile(q, df)) for q in (1 - LEVEL / 2, LEVEL / 2))
    groups = tuple(tuple(run.name for run in cell.runs) for cell in inside)
    p = bartlett([(own[cell.group], cell.n - 1) for cell in inside])
    found = Noise(MEASURED, math.sqrt(squares / df), float(df), low, high, groups, equal_p=p, prior=prior)
    if p is not None and p < LEVEL:
        return _apart(found, inside, own, prior)
    pooled = squares / df
    shared = _moderated(pooled, df, prior)
    spreads = {cell.group: shared for cell in inside}
    sure = len(inside) >= FEWEST_FOR_ONE
    return replace(found, by_cell=spreads, single=_of_one(pooled, df, len(inside), prior), alike=sure)


def _of_one(pooled: float, df: float, cells: int, prior: Prior | None) -> Spread:
    """What a cell that was run once is reckoned with; see the module's text."""
    if prior is None:
        return Spread(pooled, df)
    counted = min(df, 2 * cells - 1)
    few, full = _moderated(pooled, counted, prior), _moderated(pooled, df, prior)
    return Spread(max(few.variance, full.variance), few.df)


def _moderated(variance: float, df: float, prior: Prior | None) -> Spread:
    if prior is None:
        return Spread(variance, df)
    return Spread((prior.df * prior.sd**2 + df * variance) / (prior.df + df), prior.df + df)


def _apart(found: Noise, inside: Sequence[Cell], own: Mapping[str, float], prior: Prior | None) -> Noise:
    """Cells whose variances differ: each has its own, moderated by the others'; a warning names them."""
    spread = [(own[cell.group], cell.n - 1) for cell in inside if own[cell.group] > 0]
    typical, alike = fitted(spread) if len(spread) > 1 else (found.sd or 0.0, 1.0)
    if prior is not None:
        typical = (prior.df * prior.sd**2 + found.df * typical) / (prior.df + found.df)
        alike = max(alike, prior.df)
    near = Prior(math.sqrt(typical), alike)
    spreads = {
        cell.group: replace(_moderated(own[cell.group], cell.n - 1, near), source=cell.group)
        for cell in inside
    }
    sds = sorted(((cell.name, math.sqrt(own[cell.group])) for cell in inside), key=lambda item: item[1])
    return replace(found, by_cell=spreads, single=Spread(typical, alike), unequal=tuple(sds))


def bartlett(spread: Sequence[tuple[float, float]]) -> float | None:
    """How likely variances differ this much where all are one (Bartlett 1937); None with fewer than two.

    Args:
        spread: Variance and degrees of freedom of each cell.
    """
    if len(spread) < 2:
        return None
    if any(variance <= 0 for variance, _ in spread):
        return None
    total = sum(df for _, df in spread)
    pooled = sum(variance * df for variance, df in spread) / total
    statistic = total * math.log(pooled) - sum(df * math.log(variance) for variance, df in spread)
    correction = 1 + (sum(1 / df for _, df in spread) - 1 / total) / (3 * (len(spread) - 1))
    return chi2_tail(max(0.0, statistic / correction), len(spread) - 1)
