"""Scores of several people and sessions on one scale: a level and a slope for each rater, a level per
session.

    score = pivot_r + b_r (q_p + level_r + session_rs) + error

for rater r, session s and checkpoint p. All of it is solved exactly. Slopes come from the spread of two
raters on the checkpoints that both of them scored, drawn towards 1 as far as that is uncertain: a rater who
saw only good runs is not stretched. Levels are least squares on common checkpoints; the level of a session
is drawn towards its rater's. Raters without a chain of common checkpoints between them are on no common
scale.

A session that shows again some of what its rater had seen, such as one for the leaders, is another matter:
leaders had luck and score less when they are shown again, which is no stricter session. There the checkpoints
are drawn towards their mean, too (`session_levels`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean, variance
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lora_lab.store.scores import Place, Score

SLOPE_SD = 0.25
"""Standard deviation of the logarithm of slopes before anything is seen: most people's are within 25 %."""
SESSION_RIDGE = (6 / 4) ** 2
"""One score varies by about 6 points, sessions of one rater by about 4: what a session's level is drawn
by."""
EYE_SD = 6.0
"""Standard deviation of one score before anything is measured."""
PLACE_SD, PLACE_DF = 10.0, 4.0
"""Standard deviation of what places deserve before anything is seen, and the places that it counts for: few
scores that lie close together by luck do not say that nothing differs."""
SESSION_SD = 4.0
"""Standard deviation of the levels of one rater's sessions."""
FEWEST_FOR_SLOPE = 4
"""Common checkpoints from which on the spread of two raters is compared."""

Unit = tuple[str, str]
"""A rater and one of their sessions."""
Given = Mapping[Unit, Mapping["Place", float]]


@dataclass(frozen=True)
class Scales:
    """How each rater's scores are put on one scale.

    Attributes:
        levels: How much higher a rater scores than those who can be compared, by all their scores; in points.
        sessions: How much higher a session is than its rater's others.
        slopes: How far apart a rater puts what is one point apart on the common scale.
        pivots: The score that stays where it is when a slope is taken out.
        groups: The raters that can be compared with each other; the largest group first.
    """

    levels: dict[str, float]
    sessions: dict[Unit, float]
    slopes: dict[str, float]
    pivots: dict[str, float]
    groups: tuple[frozenset[str], ...]

    def adjusted(self, unit: Unit, value: float) -> float:
        """A score of a rater's session on the common scale."""
        flat = self._flat(unit[0], value)
        return flat - self.levels[unit[0]] - self.sessions[unit]

    def at(self, items: Iterable[Score]) -> float:
        """What raters gave a checkpoint, on the common scale, from 0 to 100: each rater counts once, and each
        of their looks as much as their others."""
        by_rater: dict[str, list[float]] = defaultdict(list)
        for item in items:
            by_rater[item.rater].append(self.adjusted((item.rater, item.session), item.value))
        # A level may lead out of the scale that people score on.
        return min(100.0, max(0.0, mean(mean(values) for values in by_rater.values())))

    def _flat(self, rater: str, value: float) -> float:
        return self.pivots[rater] + (value - self.pivots[rater]) / self.slopes[rater]


def fit(given: Given) -> Scales:
    """Levels and slopes of all raters and sessions."""
    own = _by_rater(given)
    groups = connected(own)
    slopes = _slopes(own)
    pivots = {name: _pivot(name, own) for name in own}
    flat = {
        unit: {p: pivots[unit[0]] + (v - pivots[unit[0]]) / slopes[unit[0]] for p, v in values.items()}
        for unit, values in given.items()
    }
    again = _of_second_looks(flat)
    level = {unit: {p: v - again.get(unit, 0.0) for p, v in values.items()} for unit, values in flat.items()}
    levels, sessions = _levels(level, groups, {unit[0] for unit in again})
    return Scales(levels, {**sessions, **again}, slopes, pivots, groups)


def between(given: Mapping[Place, Sequence[float]], eye_sd: float) -> float:
    """The variance of what places deserve.

    Args:
        given: Scores by place.
        eye_sd: Standard deviation of one score.
    """
    means = [mean(values) for values in given.values()]
    noise = mean(eye_sd**2 / len(values) for values in given.values())
    seen = variance(means) - noise if len(means) > 1 else 0.0
    found = (PLACE_DF * PLACE_SD**2 + (len(means) - 1) * seen) / (PLACE_DF + len(means) - 1)
    return max(found, 1.0)


def session_levels(
    sessions: Mapping[str, Mapping[Place, Sequence[float]]], eye_sd: float
) -> dict[str, float]:
    """The level of each of one rater's sessions, where later ones show places that earlier ones chose.

    Best linear unbiased prediction (Henderson 1975) of levels and of what places deserve: what was chosen for
    its scores is expected to score less, and only what is below that says that a session is stricter.

    Args:
        sessions: Scores by place, by session.
        eye_sd: Standard deviation of one score.
    """
    everything: dict[Place, list[float]] = defaultdict(list)
    for own in sessions.values():
        for place, values in own.items():
            everything[place] += values
    names, places = list(sessions), list(everything)
    looks = [(name, place, one) for name in names for place, own in sessions[name].items() for one in own]
    rows = np.zeros((len(looks) + len(names) + len(places), 1 + len(names) + len(places)))
    target = np.zeros(len(rows))
    for number, (name, place, value) in enumerate(looks):
        rows[number, [0, 1 + names.index(name), 1 + len(names) + places.index(place)]] = 1 / eye_sd
        target[number] = value / eye_sd
    widths = [SESSION_SD] * len(names) + [math.sqrt(between(everything, eye_sd))] * len(places)
    rows[len(looks) :, 1:] = np.diag(1 / np.array(widths))
    found = np.linalg.lstsq(rows, target, rcond=None)[0].round(9)
    return {name: float(found[1 + number]) for number, name in enumerate(names)}


def _of_second_looks(flat: Given) -> dict[Unit, float]:
    """The levels of the sessions of raters all of whose others show again what their first one had."""
    by_rater: dict[str, dict[str, Mapping[Place, float]]] = defaultdict(dict)
    for (rater, session), values in flat.items():
        by_rater[rater][session] = values
    found: dict[Unit, float] = {}
    for rater, own in by_rater.items():
        first = max(own.values(), key=len)
        if len(own) < 2 or any(set(values) - set(first) for values in own.values()):
            continue
        looks = {name: {place: [v] for place, v in values.items()} for name, values in own.items()}
        found |= {(rater, name): level for name, level in session_levels(looks, EYE_SD).items()}
    return found


def by_unit(by_place: Mapping[Place, Sequence[Score]]) -> Given:
    """The mean of what each rater gave each checkpoint in each session."""
    given: dict[Unit, dict[Place, float]] = defaultdict(dict)
    for place, items in by_place.items():
        for unit in dict.fromkeys((item.rater, item.session) for item in items):
            given[unit][place] = mean(item.value for item in items if (item.rater, item.session) == unit)
    return given


def _by_rater(given: Given) -> dict[str, dict[Place, float]]:
    found: dict[str, dict[Place, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (rater, _), values in given.items():
        for place, value in values.items():
            found[rater][place].append(value)
    return {name: {p: mean(values) for p, values in places.items()} for name, places in found.items()}


def connected(own: Mapping[str, Iterable[Place]]) -> tuple[frozenset[str], ...]:
    """Raters that a chain of common checkpoints joins; the group with most checkpoints first."""
    left = {name: set(places) for name, places in own.items()}
    found = []
    while left:
        name, places = next(iter(left.items()))
        members = {name}
        del left[name]
        while joined := [other for other, its in left.items() if its & places]:
            for other in joined:
                members.add(other)
                places = places | left.pop(other)
        found.append((len(places), frozenset(members)))
    return tuple(members for _, members in sorted(found, key=lambda item: -item[0]))


def _pivot(name: str, own: Mapping[str, Mapping[Place, float]]) -> float:
    others = {place for other, values in own.items() if other != name for place in values}
    shared = [value for place, value in own[name].items() if place in others]
    return mean(shared or own[name].values())


def _slopes(own: Mapping[str, Mapping[Place, float]]) -> dict[str, float]:
    """Logarithms of slopes by ridge least squares on the ratios of spread of all pairs of raters."""
    names = list(own)
    matrix, target = np.eye(len(names)) / SLOPE_SD**2, np.zeros(len(names))
    for (i, one), (j, other) in combinations(enumerate(names), 2):
        found = _ratio(own[one], own[other])
        if found is None:
            continue
        ratio, weight = found
        matrix[np.ix_([i, j], [i, j])] += weight * np.array([[1, -1], [-1, 1]])
        target[[i, j]] += weight * ratio * np.array([1, -1])
    logs = np.linalg.solve(matrix, target)
    return {name: math.exp(float(value)) for name, value in zip(names, logs, strict=True)}


def _ratio(one: Mapping[Place, float], other: Mapping[Place, float]) -> tuple[float, float] | None:
    """The logarithm of the ratio of two raters' spread on common checkpoints, and one over its variance.

    The variance of the logarithm of a ratio of paired standard deviations is (1 - r^2) / (n - 2), about
    (Pitman 1939, Morgan 1939).
    """
    shared = sorted(set(one) & set(other))
    if len(shared) < FEWEST_FOR_SLOPE:
        return None
    a, b = (np.array([values[place] for place in shared]) for values in (one, other))
    if not a.std() or not b.std():
        return None
    r = float(np.corrcoef(a, b)[0, 1])
    if r <= 0:
        return None
    return math.log(a.std() / b.std()), (len(shared) - 2) / max(1 - r * r, 0.02)


def _levels(
    flat: Given, groups: tuple[frozenset[str], ...], known: Iterable[str]
) -> tuple[dict[str, float], dict[Unit, float]]:
    """Least squares of flat score = checkpoint + rater + session, with the sessions drawn towards 0.

    Args:
        known: Raters the levels of whose sessions have been taken out.
    """
    units, raters = list(flat), list(dict.fromkeys(rater for rater, _ in flat))
    places = list(dict.fromkeys(place for values in flat.values() for place in values))
    at = {place: number for number, place in enumerate(places)}
    first, second = len(places), len(places) + len(raters)
    rows, target = [], []
    for number, unit in enumerate(units):
        for place, value in flat[unit].items():
            row = np.zeros(second + len(units))
            row[[at[place], first + raters.index(unit[0])]] = 1
            row[second + number] = unit[0] not in known
            rows.append(row)
            target.append(value)
    for number in range(len(units)):
        row = np.zeros(second + len(units))
        row[second + number] = math.sqrt(SESSION_RIDGE)
        rows.append(row)
        target.append(0.0)
    # Rounded, as levels are below, so that a rater who is alone is taken as given.
    found = np.linalg.lstsq(np.array(rows), np.array(target), rcond=None)[0].round(9)
    raw = {name: float(found[first + number]) for number, name in enumerate(raters)}
    middles = {name: _middle(raw, group, flat) for group in groups for name in group}
    levels = {name: round(raw[name] - middles[name], 9) for name in raters}
    return levels, {unit: float(found[second + number]) for number, unit in enumerate(units)}


def _middle(raw: Mapping[str, float], group: Iterable[str], flat: Given) -> float:
    """The level that a group's scale has: the mean of its raters', by how much each has scored, so that one
    score of somebody does not move all of another's."""
    amounts = {name: sum(len(values) for unit, values in flat.items() if unit[0] == name) for name in group}
    return sum(raw[name] * amount for name, amount in amounts.items()) / sum(amounts.values())
