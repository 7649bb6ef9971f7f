"""Which run to copy, and what supports that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, variance
from typing import Any

from lora_lab.axes import show, show_setting
from lora_lab.verdict.acting import SEED
from lora_lab.verdict.analysis import Analysis
from lora_lab.verdict.calls import Scale, points
from lora_lab.verdict.cells import LEVEL, Cell
from lora_lab.verdict.contrasts import Difference, covariance, freedom
from lora_lab.verdict.distributions import t_quantile
from lora_lab.verdict.evidence import RunEvidence
from lora_lab.verdict.model import Model
from lora_lab.verdict.outcomes import number
from lora_lab.verdict.result import (
    HELPS,
    HURTS,
    MEASURED,
    SEEMS_TO_HELP,
    SEEMS_TO_HURT,
    Cost,
    Noise,
    Recommendation,
    SettingEffect,
)
from lora_lab.words import Said, change_of, joined, said, stage

ELSEWHERE = (f"{SEED}=", "name=", "sweep=", "results=", "cache=", "engine.", "device=")
"""Overrides that say where a run lies or which repeat it is, not what is trained."""
CHEAPER = 0.75
"""A run is worth naming as the cheaper one from this share of the best run's minutes down."""
NAMED = 6
"""Rivals that are named; of more, the number is said."""


def recommend(
    analysis: Analysis,
    settings: Sequence[SettingEffect],
    costs: Sequence[Cost],
    model: Model | None = None,
) -> Recommendation | None:
    """The run to copy: the best-scored one, or one that deserves more or costs much less; None where none is.

    The best score of many is best partly by luck. Where a model of all runs predicts runs that it has not
    seen, the run that it expects most of is taken, unless the scores say that it is worse. Simulated, that is
    within 3 points of the truly best one more often (benchmarks/RESULTS.md).
    """
    usable = [
        cell
        for cell in analysis.cells
        if not cell.scale and any(run.usable is not False for run in cell.runs)
    ]
    if not usable or analysis.base is None:
        return None
    by_run, scale = {item.run: item for item in costs}, analysis.scale
    best = max(usable, key=lambda cell: cell.mean)
    deserving = _deserving(best, usable, analysis.noise, model)
    chosen = _cheaper(deserving, usable, by_run, scale)
    rivals = _rivals(best, usable, analysis.noise)
    # Of replicates, the run with the best score is the file to use.
    run = max(chosen.runs, key=lambda run: run.score or 0.0)
    reasons = [_of_score(best, scale), *_of_rivals(rivals, analysis.noise, scale)]
    if deserving is not best and model is not None:
        reasons.append(_of_model(deserving, best, model, scale))
    if chosen is not deserving:
        reasons.append(_of_cost(chosen, deserving, by_run, scale))
    near = [cell for cell in rivals if best.mean - cell.mean <= scale.relevant]
    reasons += _of_cheap_rivals(chosen, near, by_run)
    reasons += [text for text in (_of_luck(best, usable, analysis.noise, scale),) if text]
    reasons += _of_settings(chosen, settings, scale)
    return Recommendation(
        run.name,
        run.chosen,
        chosen.mean,
        best.name,
        overrides(run, analysis.base.runs[0]),
        tuple(reasons),
        tuple(cell.name for cell in rivals),
    )


def overrides(run: RunEvidence, base: RunEvidence) -> tuple[str, ...]:
    """What has to be set for a run beside what its reference run is composed from, as overrides."""
    if run.overrides or base.overrides:
        own = [text for text in run.overrides if text not in base.overrides]
        return tuple(text for text in own if not text.startswith(ELSEWHERE))
    changed = {key: value for key, value in run.settings.items() if base.settings.get(key) != value}
    return tuple(f"{key}={_plain(value)}" for key, value in changed.items())


def _plain(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else show(value)


def _cheaper(best: Cell, usable: Sequence[Cell], costs: Mapping[str, Cost], scale: Scale) -> Cell:
    """The cheapest of the runs that score nearly as much, where it saves a good part of the time."""
    minutes = {cell.name: costs[cell.name].minutes for cell in usable if cell.name in costs}
    longest = minutes.get(best.name)
    near = [cell for cell in usable if best.mean - cell.mean <= scale.relevant / 4]
    timed = [(cell_minutes, cell) for cell in near if (cell_minutes := minutes.get(cell.name))]
    if not longest or not timed:
        return best
    least, cell = min(timed, key=lambda item: item[0])
    return cell if least <= CHEAPER * longest else best


def _deserving(best: Cell, usable: Sequence[Cell], noise: Noise, model: Model | None) -> Cell:
    """The run that all runs together say most of, among those that the scores do not say are worse."""
    if model is None or not model.predicts or noise.single is None:
        return best
    near = [best, *_not_worse(best, usable, noise)]
    expected, _ = model.predict([cell.settings for cell in near])
    return near[int(expected.argmax())]


def _of_model(chosen: Cell, best: Cell, model: Model, scale: Scale) -> Said:
    mine, its = (number(float(value), scale) for value in model.predict([chosen.settings, best.settings])[0])
    return said("by_model", run=chosen.name, score=mine, best=best.name, other=its)


def _rivals(best: Cell, usable: Sequence[Cell], noise: Noise) -> list[Cell]:
    """Cells that are not shown to be worse than the best one.

    The best of many is best partly by luck, so each is held against it with all of them counted (Bonferroni,
    one-sided). Simulated, the true best is among these and the best in 97 % of sweeps.
    """
    return _not_worse(best, usable, noise) if noise.tested else []


def _not_worse(best: Cell, usable: Sequence[Cell], noise: Noise) -> list[Cell]:
    others = [cell for cell in usable if cell is not best]
    if noise.single is None:
        return []
    found = []
    for cell in others:
        gap = Difference(((best, 1.0), (cell, -1.0)))
        limit = t_quantile(1 - LEVEL / len(others), freedom(gap, noise))
        if gap.value < limit * covariance([gap], noise)[0, 0] ** 0.5:
            found.append(cell)
    return found


def _of_score(best: Cell, scale: Scale) -> Said:
    run = max(best.runs, key=lambda run: run.score or 0.0)
    item = run.checkpoint(run.chosen)
    at = said("best_at", stage=stage(item.tag)) if item and len(run.checkpoints) > 1 else ""
    mean = said("best_mean", n=best.n) if best.n > 1 else ""
    return said("best_score", run=best.name, score=number(best.mean, scale), at=at, mean=mean)


def _of_rivals(rivals: Sequence[Cell], noise: Noise, scale: Scale) -> list[Said]:
    if not noise.tested:
        return [said("rivals_unknown")]
    assumed = "" if noise.source == MEASURED else said("rivals_assumed")
    if not rivals:
        return [said("rivals_none", assumed=assumed)]
    ordered = sorted(rivals, key=lambda cell: -cell.mean)
    runs = joined(
        said("run_score", run=cell.name, score=number(cell.mean, scale)) for cell in ordered[:NAMED]
    )
    if len(rivals) > NAMED:
        runs = said("and_more", runs=runs, n=len(rivals) - NAMED)
    return [said("rivals_are", assumed=assumed, runs=runs)]


def _of_cost(chosen: Cell, best: Cell, costs: Mapping[str, Cost], scale: Scale) -> Said:
    less = points(best.mean - chosen.mean, scale, signed=False)
    mine, its = costs[chosen.name].minutes or 0.0, costs[best.name].minutes or 0.0
    key = "cheaper_equal" if float(less) == 0 else "cheaper_less"
    return said(key, run=chosen.name, less=less, time=minutes(mine), longer=minutes(its))


def _of_cheap_rivals(chosen: Cell, rivals: Sequence[Cell], costs: Mapping[str, Cost]) -> list[Said]:
    longest = costs[chosen.name].minutes
    timed = [
        (value, cell.name)
        for cell in rivals
        if cell is not chosen and cell.name in costs and (value := costs[cell.name].minutes)
    ]
    if not longest or not timed or min(timed)[0] > CHEAPER * longest:
        return []
    value, name = min(timed)
    return [said("cheap_rival", run=name, time=minutes(value), longer=minutes(longest))]


def minutes(value: float) -> Said:
    """A duration for people."""
    short = value < 2
    return said("time_seconds" if short else "time_minutes", n=f"{value * 60 if short else value:.0f}")


def _of_luck(best: Cell, usable: Sequence[Cell], noise: Noise, scale: Scale) -> Said | None:
    """What the best score should come to when it is trained again (shrinkage toward the mean of all)."""
    if noise.source != MEASURED or len(usable) < 4:
        return None
    means = [cell.mean for cell in usable]
    spread = variance(means)
    if not spread:
        return None
    own = mean(found.variance / cell.n for cell in usable if (found := noise.of(cell.group)))
    share = max(0.0, 1 - own / spread)
    middle = sum(means) / len(means)
    expected = number(middle + share * (best.mean - middle), scale)
    if expected == number(best.mean, scale):
        return None
    return said("of_luck", n=len(usable), score=expected)


def _of_settings(chosen: Cell, settings: Sequence[SettingEffect], scale: Scale) -> list[Said]:
    """What the effects say for and against the chosen run's settings, a line for each setting."""
    reasons = []
    for effect in settings:
        own = chosen.settings.get(effect.key)
        supports, opposes = [], []
        for item in effect.contrasts:
            good, bad = item.call in (HELPS, SEEMS_TO_HELP), item.call in (HURTS, SEEMS_TO_HURT)
            moved = points(item.difference, scale)
            change = said(
                "call_by",
                change=change_of(effect.key, item.reference, item.level),
                call=said(f"call_{item.call}"),
                difference=moved,
            )
            if (own == item.level and good) or (own == item.reference and bad):
                supports.append(change)
            elif (own == item.level and bad) or (own == item.reference and good):
                opposes.append(change)
        if supports:
            has = {"title": effect.title, "value": show_setting(effect.key, own)}
            reasons.append(said("has_setting", **has, changes=joined(supports)))
        if opposes:
            has = {"title": effect.title, "value": show_setting(effect.key, own)}
            reasons.append(said("has_setting_though", **has, changes=joined(opposes)))
    return reasons
