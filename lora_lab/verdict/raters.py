"""Scores of several people on one scale, and how steady each of them is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev

from lora_lab.store import Score
from lora_lab.store.scores import Place, ScoreLog

ENOUGH_SHARED = 8
"""Checkpoints that raters need in common before their spread is compared, too."""
ROUNDS = 200
"""Sweeps of the alternating means; they settle after a few."""
FEWEST_REPEATS = 3
"""Repeated judgements below which nothing is said of a rater's drift."""


@dataclass(frozen=True)
class RaterEvidence:
    """One person.

    Attributes:
        level: How much higher this person scores the same checkpoints than the raters' mean.
        spread: Standard deviation of this person's scores.
        repeats: Judgements of a checkpoint that this person had judged before.
        repeat_sd: Standard deviation of one judgement, from those; None without.
        drift: Points that scores move per ten judgements, from repeats of a session; None with too few.
    """

    name: str
    judgements: int
    level: float
    spread: float
    repeats: int = 0
    repeat_sd: float | None = None
    drift: float | None = None


@dataclass(frozen=True)
class Given:
    """What people gave one checkpoint: `value` is the mean over raters on one scale."""

    value: float
    count: int
    raters: dict[str, float]
    said: tuple[str, ...]


@dataclass(frozen=True)
class Combined:
    """All scores by checkpoint, the raters, and what was done to put them on one scale."""

    places: dict[Place, Given] = field(default_factory=dict)
    raters: tuple[RaterEvidence, ...] = ()
    notes: tuple[str, ...] = ()


def combine(log: ScoreLog, same_as: Mapping[str, str]) -> Combined:
    """Put all scores on one scale and average them by checkpoint.

    A rater's level is taken out by least squares over the checkpoints that raters share (score = checkpoint +
    rater), so that a strict rater who saw only the good runs does them no harm. Spread is made equal, too,
    where every rater shares enough.

    Args:
        log: What counts of a sweep's scores.
        same_as: Runs that are another run's experiment: what they were given counts for that one.
    """
    by_place: dict[Place, list[Score]] = defaultdict(list)
    for item in log.scores:
        by_place[same_as.get(item.run, item.run), item.tag].append(item)
    own: dict[str, dict[Place, float]] = defaultdict(dict)
    for place, items in by_place.items():
        for name in {item.rater for item in items}:
            own[name][place] = mean(item.value for item in items if item.rater == name)
    adjusted, levels, notes = on_one_scale(own)
    places = {}
    for place, items in by_place.items():
        names = sorted({item.rater for item in items})
        said = dict.fromkeys(text for item in items for text in (*item.tags, item.note) if text)
        places[place] = Given(
            mean(adjusted[name][place] for name in names),
            len(items),
            {name: own[name][place] for name in names},
            tuple(said),
        )
    raters = tuple(_rater(name, log.scores, same_as, levels[name]) for name in sorted(own))
    return Combined(places, raters, tuple(notes))


def on_one_scale(
    own: Mapping[str, Mapping[Place, float]],
) -> tuple[dict[str, dict[Place, float]], dict[str, float], list[str]]:
    """Each rater's scores without that rater's level (and spread), the levels, and what was done in words."""
    if len(own) < 2:
        return {name: dict(values) for name, values in own.items()}, dict.fromkeys(own, 0.0), []
    notes = []
    shared = {name: [p for p in values if _raters_of(p, own) > 1] for name, values in own.items()}
    current = {name: dict(values) for name, values in own.items()}
    spreads = (
        {name: stdev([own[name][p] for p in shared[name]] or [0.0, 0.0]) for name in own}
        if all(len(items) >= ENOUGH_SHARED for items in shared.values())
        else {}
    )
    if spreads and min(spreads.values()) > 0:
        usual = mean(spreads.values())
        for name, values in current.items():
            centre = mean(own[name][p] for p in shared[name])
            current[name] = {p: centre + (v - centre) * usual / spreads[name] for p, v in values.items()}
        notes.append("several raters: each one's level and spread were made equal before averaging")
    else:
        notes.append("several raters: each one's level was made equal before averaging")
    apart = [name for name in own if not shared[name]]
    if apart:
        notes.append(
            f"{', '.join(sorted(apart))} scored no checkpoint that somebody else scored, too: "
            "the level is taken from the mean of all that each one scored"
        )
    levels = _levels(current, apart)
    return (
        {name: {p: v - levels[name] for p, v in values.items()} for name, values in current.items()},
        levels,
        notes,
    )


def _raters_of(place: Place, own: Mapping[str, Mapping[Place, float]]) -> int:
    return sum(place in values for values in own.values())


def _levels(values: Mapping[str, Mapping[Place, float]], apart: Sequence[str]) -> dict[str, float]:
    """Least squares of score = checkpoint + rater, by alternating means; levels have mean 0."""
    levels = dict.fromkeys(values, 0.0)
    places = {place for items in values.values() for place in items}
    for _ in range(ROUNDS):
        items = {
            place: mean(own[place] - levels[name] for name, own in values.items() if place in own)
            for place in places
        }
        levels = {name: mean(v - items[p] for p, v in own.items()) for name, own in values.items()}
        middle = mean(levels.values())
        levels = {name: level - middle for name, level in levels.items()}
    overall = mean(v for own in values.values() for v in own.values())
    return levels | {name: mean(values[name].values()) - overall for name in apart}


def _rater(name: str, scores: Sequence[Score], same_as: Mapping[str, str], level: float) -> RaterEvidence:
    own = [item for item in scores if item.rater == name]
    again = []
    before: dict[Place, Score] = {}
    for item in own:
        place = (same_as.get(item.run, item.run), item.tag)
        if place in before:
            again.append((before[place], item))
        before[place] = item
    moved = [second.value - first.value for first, second in again]
    within = [
        (second.value - first.value, second.position - first.position)
        for first, second in again
        if first.session == second.session
    ]
    squares = sum(gap * gap for _, gap in within)
    drift = 10 * sum(move * gap for move, gap in within) / squares if squares else None
    return RaterEvidence(
        name,
        len(own),
        level,
        stdev(item.value for item in own) if len(own) > 1 else 0.0,
        len(again),
        # Two judgements differ by sqrt(2) of what one of them varies.
        (mean(move * move for move in moved) / 2) ** 0.5 if moved else None,
        drift if len(within) >= FEWEST_REPEATS else None,
    )
