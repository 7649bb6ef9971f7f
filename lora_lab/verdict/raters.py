"""Scores of several people on one scale, and how steady each of them is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev

from lora_lab.store import Score
from lora_lab.store.comparable import by_checkpoint, comparable_scores
from lora_lab.store.scales import Given, Scales, by_unit, connected, fit
from lora_lab.store.scores import Place, ScoreLog
from lora_lab.verdict.distributions import chi2_quantile
from lora_lab.words import Said, said

FEWEST_REPEATS = 3
"""Repeated judgements below which nothing is said of a rater's drift."""


@dataclass(frozen=True)
class RaterEvidence:
    """One person.

    Attributes:
        level: How much higher this person scores the same checkpoints than the raters' mean.
        spread: Standard deviation of this person's scores.
        repeats: Judgements of a checkpoint that this person had judged before.
        repeat_sd: Standard deviation of one judgement, from those, drift left out; None without. Its 95 %
            interval is from `repeat_low` to `repeat_high`.
        session_sd: How far apart the levels of this person's sessions are, where there are several.
        drift: Points that scores move per ten judgements, from repeats of a session; None with too few.
    """

    name: str
    judgements: int
    level: float
    spread: float
    repeats: int = 0
    repeat_sd: float | None = None
    drift: float | None = None
    repeat_low: float | None = None
    repeat_high: float | None = None
    session_sd: float | None = None


@dataclass(frozen=True)
class Judged:
    """What people gave one checkpoint.

    Attributes:
        value: The mean over raters on one scale.
        raters: Each one's own mean, as given.
        scale: Who gave it, where they cannot be compared with those who scored most; else ''.
    """

    value: float
    count: int
    raters: dict[str, float]
    said: tuple[str, ...]
    scale: str = ""


@dataclass(frozen=True)
class Combined:
    """All scores by checkpoint, the raters, and what was done to put them on one scale."""

    places: dict[Place, Judged] = field(default_factory=dict)
    raters: tuple[RaterEvidence, ...] = ()
    notes: tuple[str, ...] = ()


def combine(log: ScoreLog, same_as: Mapping[str, str]) -> Combined:
    """Put all scores on one scale (`store.scales`) and average them by checkpoint; 0 to 100 it stays.

    Args:
        log: What counts of a sweep's scores.
        same_as: Runs that are another run's experiment: what they were given counts for that one.
    """
    scores, left_out = comparable_scores(log.scores)
    by_place = by_checkpoint(scores, same_as)
    given = by_unit(by_place)
    if not given:
        return Combined()
    scales = fit(given)
    places = {place: _given(items, scales) for place, items in by_place.items()}
    raters = tuple(_rater(name, scores, same_as, scales) for name in sorted({rater for rater, _ in given}))
    return Combined(places, raters, (*left_out, *_notes(given, scales)))


def _given(items: Sequence[Score], scales: Scales) -> Judged:
    names = sorted({item.rater for item in items})
    said = dict.fromkeys(text for item in items for text in (*item.tags, item.note) if text)
    group = next(number for number, members in enumerate(scales.groups) if names[0] in members)
    return Judged(
        scales.at(items),
        len(items),
        {name: mean(item.value for item in items if item.rater == name) for name in names},
        tuple(said),
        ", ".join(sorted(scales.groups[group])) if group else "",
    )


def _notes(given: Given, scales: Scales) -> list[Said]:
    """What was done to put scores on one scale, and what could not be."""
    notes = []
    raters = {rater for rater, _ in given}
    if len(raters) > 1:
        notes.append(said("note_raters"))
    notes += [said("note_group", raters=", ".join(sorted(group))) for group in scales.groups[1:]]
    for name in sorted(raters):
        own = [unit for unit in given if unit[0] == name]
        apart = len(connected({unit[1]: given[unit] for unit in own})) if len(own) > 1 else 1
        if apart > 1:
            notes.append(said("note_sessions_apart", rater=name, n=len(own)))
        elif len(own) > 1 and max(abs(scales.sessions[unit]) for unit in own) >= 1:
            notes.append(said("note_sessions_joined", rater=name, n=len(own)))
    return notes


def _rater(name: str, scores: Sequence[Score], same_as: Mapping[str, str], scales: Scales) -> RaterEvidence:
    own = [item for item in scores if item.rater == name]
    again = []
    before: dict[Place, Score] = {}
    for item in own:
        # Checkpoints of the very same pixels are one item.
        place = item.counts_for(same_as)[0]
        if place in before:
            again.append((before[place], item))
        before[place] = item
    within = [
        (second.value - first.value, second.position - first.position)
        for first, second in again
        if first.session == second.session
    ]
    squares = sum(gap * gap for _, gap in within)
    drift = sum(move * gap for move, gap in within) / squares if len(within) >= FEWEST_REPEATS else 0.0
    # Drift and the level of another session are no unsteadiness of single judgements.
    left = [move - drift * gap for move, gap in within]
    left += [
        second.value - first.value - scales.sessions[second.rater, second.session]
        + scales.sessions[first.rater, first.session]
        for first, second in again
        if first.session != second.session
    ]  # fmt: skip
    df = len(left) - bool(drift)
    # Two judgements differ by sqrt(2) of what one of them varies.
    sd = (sum(move * move for move in left) / 2 / df) ** 0.5 if df > 0 else None
    levels = [level for unit, level in scales.sessions.items() if unit[0] == name]
    low = high = None
    if sd is not None:
        high, low = (sd * (df / chi2_quantile(q, df)) ** 0.5 for q in (0.025, 0.975))
    return RaterEvidence(
        name,
        len(own),
        scales.levels[name],
        stdev(item.value for item in own) if len(own) > 1 else 0.0,
        len(again),
        sd,
        10 * drift if len(within) >= FEWEST_REPEATS else None,
        low,
        high,
        sum(level * level for level in levels) ** 0.5 / len(levels) ** 0.5 if len(levels) > 1 else None,
    )
