"""What runs came to beside the effects: the best checkpoint of each, what they cost, how many are usable."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from lora_lab.counts import whole
from lora_lab.verdict.calls import Scale, points
from lora_lab.verdict.distributions import normal_quantile
from lora_lab.verdict.evidence import SCORE, CheckpointEvidence, Evidence, RunEvidence
from lora_lab.verdict.front import differs, front
from lora_lab.verdict.result import Cost, Course, UsableShare
from lora_lab.words import said, stage

OVER_TRAINED, RISING, FLAT, SETTLED = "over-trained", "still rising", "flat", "settled"

SURE = normal_quantile(0.975)
"""Standard errors to either side of a 95 % interval."""


EYE_SD = 6.0
"""Standard deviation of one score that is reckoned with where nobody scored a checkpoint twice, in points."""


def courses(evidence: Evidence, scale: Scale) -> tuple[Course, ...]:
    """The score of every run along its checkpoints, where two or more of them are scored."""
    found = []
    for run in evidence.own:
        scored = [item for item in run.checkpoints if item.score is not None]
        if len(scored) > 1:
            found.append(_course(run, scored, course_limit(evidence, scale, len(scored)), scale))
    return tuple(found)


def course_limit(evidence: Evidence, scale: Scale, checkpoints: int = 2) -> float:
    """The difference between checkpoints of a run that is taken for one.

    Half of what is relevant, and no less than the best of so many checkpoints is above the last by chance in
    5 % of flat courses (Bonferroni).
    """
    at_least = scale.relevant / 2
    sds = [rater.repeat_sd for rater in evidence.raters if rater.repeat_sd is not None]
    if evidence.criterion != SCORE:
        of_mean = EYE_SD if scale.of_100 else at_least / SURE / 2**0.5
    elif not sds:
        of_mean = EYE_SD / max(1, len(evidence.raters)) ** 0.5
    elif len(sds) == len(evidence.raters):
        of_mean = sum(sd * sd for sd in sds) ** 0.5 / len(sds)
    else:
        of_mean = max(sds)
    sure = normal_quantile(1 - 0.05 / max(1, checkpoints - 1))
    return max(at_least, sure * 2**0.5 * of_mean)


def _course(run: RunEvidence, scored: Sequence[CheckpointEvidence], limit: float, scale: Scale) -> Course:
    values = [item.score or 0.0 for item in scored]
    top = max(range(len(values)), key=values.__getitem__)
    best, last, before = scored[top], values[-1], values[-2]
    at = said("course_best_at", stage=stage(best.tag), score=number(values[top], scale))
    if values[top] - last > limit:
        call, text = OVER_TRAINED, said("course_over", best=at, last=number(last, scale))
    elif top == len(values) - 1 and last - before > limit:
        gain = points(last - before, scale)
        call, text = RISING, said("course_rising", gain=gain, stage=stage(scored[-2].tag))
    elif max(values) - min(values) <= limit:
        call, text = FLAT, said("course_flat", stage=stage(scored[0].tag), best=at)
    else:
        call, text = SETTLED, said("course_settled", best=at)
    drawn = tuple((item.tag, item.epoch, value) for item, value in zip(scored, values, strict=True))
    return Course(run.name, drawn, best.tag, call, text)


def number(value: float, scale: Scale) -> str:
    """A score in words."""
    return whole(value) if scale.of_100 else f"{value:.3g}"


_COSTS: dict[str, Callable[[Cost], float | None]] = {
    "minutes": lambda item: item.minutes,
    "memory": lambda item: item.memory_bytes,
    "size": lambda item: item.file_bytes,
}


def costs(evidence: Evidence) -> tuple[Cost, ...]:
    """What each scored run cost, best score first; `best_for` marks the Pareto front of each cost."""
    found = []
    for run in evidence.scored:
        item = run.checkpoint(run.chosen)
        found.append(
            Cost(
                run.name,
                run.score or 0.0,
                item.minutes if item and item.minutes else run.train_minutes,
                run.peak_memory_bytes,
                item.size_bytes if item and item.size_bytes else run.file_bytes,
            )
        )
    fronts = {
        name: front([(cost(item), item.score) for item in found])
        for name, cost in _COSTS.items()
        if differs([cost(item) for item in found])
    }
    marked = [
        replace(item, best_for=tuple(name for name, on in fronts.items() if on[place]))
        for place, item in enumerate(found)
    ]
    return tuple(sorted(marked, key=lambda item: -item.score))


def usable_shares(evidence: Evidence) -> tuple[UsableShare, ...]:
    """The share of usable runs by level, of settings with a level that may be to blame.

    A setting of which every run that is not usable has the most usual level is not to blame.
    """
    ended = [run for run in evidence.own if run.usable is not None]
    keys = dict.fromkeys(key for run in ended for key in run.settings)
    found = []
    for key in keys:
        levels: dict[str, list[RunEvidence]] = defaultdict(list)
        for run in ended:
            if key in run.settings:
                levels[repr(run.settings[key])].append(run)
        usual = max(levels, key=lambda text: len(levels[text]))
        failing = [text for text, runs in levels.items() if not all(run.usable for run in runs)]
        if len(levels) > 1 and set(failing) - {usual}:
            found += [_share(key, runs[0].settings[key], runs) for runs in levels.values()]
    return tuple(found)


def _share(key: str, value: Any, runs: Sequence[RunEvidence]) -> UsableShare:
    good = sum(bool(run.usable) for run in runs)
    low, high = wilson(good, len(runs))
    reasons = dict.fromkeys(run.missing or said("shows_nothing") for run in runs if not run.usable)
    return UsableShare(key, value, good, len(runs), low, high, tuple(reasons))


def wilson(good: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share."""
    share, squared = good / of, SURE**2
    middle = (share + squared / (2 * of)) / (1 + squared / of)
    half = SURE / (1 + squared / of) * (share * (1 - share) / of + squared / (4 * of**2)) ** 0.5
    return (0.0 if good == 0 else middle - half), (1.0 if good == of else middle + half)
