"""Which checkpoints to look at again: a second session for the leaders, chosen by top-two Thompson sampling.

Looking again at everything spends most looks on what is out of the running. Top-two Thompson sampling
(Russo 2020, "Simple Bayesian algorithms for best-arm identification") draws what the true scores may be,
looks at the best of the draw or, as often, at the best of another draw that has another best.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, variance

import numpy as np

from lora_lab.store.scores import Place

DECOYS = 2
"""Places that are shown beside the leaders, so that a session does not consist of good ones alone."""
TRIES = 200
"""Draws in search of another best; without one the leader stands alone. Also tries to order a session."""
APART = 5
"""Items between two showings of one place, at least: sooner it would be recognised."""
EYE_SD, EYE_DF = 6.0, 4.0
"""Standard deviation of one score before anything is measured, and the repeats that it counts for."""
PLACE_SD, PLACE_DF = 10.0, 4.0
"""Standard deviation of what places deserve before anything is seen, and the places that it counts for: few
scores that lie close together by luck do not say that nothing differs."""
NEAR = 3.0
"""Points below the best that make no difference to anybody."""
SURE = 0.9
"""The chance to find a place that near to the best which a second session is meant to have."""
COUNTS = (8, 12, 16, 20, 26, 32)
"""Looks that a second session may have; more would be asked of nobody at once."""
DRAWS = 400
"""Truths that are drawn to see what a session would find."""


def eye(repeat_sd: float | None, repeats: int) -> float:
    """The standard deviation of one score: what a rater's repeats say, drawn towards what is usual."""
    if repeat_sd is None:
        return EYE_SD
    return math.sqrt((EYE_DF * EYE_SD**2 + repeats * repeat_sd**2) / (EYE_DF + repeats))


def posterior(given: Mapping[Place, Sequence[float]], eye_sd: float) -> dict[Place, tuple[float, float]]:
    """Mean and variance of what each place really deserves, drawn towards the mean of all.

    Args:
        given: Scores by place.
        eye_sd: Standard deviation of one score.
    """
    means = {place: mean(values) for place, values in given.items()}
    middle = mean(means.values())
    noise = mean(eye_sd**2 / len(values) for values in given.values())
    seen = variance(means.values()) - noise if len(means) > 1 else 0.0
    between = (PLACE_DF * PLACE_SD**2 + (len(means) - 1) * seen) / (PLACE_DF + len(means) - 1)
    between = max(between, 1.0)
    found = {}
    for place, values in given.items():
        precision = 1 / between + len(values) / eye_sd**2
        centre = (middle / between + sum(values) / eye_sd**2) / precision
        found[place] = (centre, 1 / precision)
    return found


def looks_again(
    given: Mapping[Place, Sequence[float]], eye_sd: float, count: int, seed: int = 0
) -> Counter[Place]:
    """How often to show each place in a second session of `count` looks, decoys included.

    The looks are chosen before any is scored, as a session is shuffled; a look that is chosen counts as if it
    came out as expected. No place is shown so often that `APART` items would not fit between.
    """
    if len(given) < 2 or count < 1:
        return Counter()
    draw = np.random.default_rng(seed)
    known = posterior(given, eye_sd)
    places = list(known)
    centres = np.array([known[place][0] for place in places])
    variances = np.array([known[place][1] for place in places])
    chosen: Counter[Place] = Counter()
    most = max(1, count // (APART + 1)) if len(places) > APART else 1
    decoys = min(DECOYS, max(0, count - 2), max(0, len(places) - 2))
    for _ in range(min(count, most * len(places)) - decoys):
        free = np.array([chosen[place] < most for place in places])
        at = _top_two(draw, np.where(free, centres, -np.inf), np.sqrt(variances))
        chosen[places[at]] += 1
        variances[at] = 1 / (1 / variances[at] + 1 / eye_sd**2)
    others = [place for place in places if not chosen[place]]
    for number in draw.permutation(len(others))[:decoys]:
        chosen[others[number]] += 1
    return chosen


def _top_two(draw: np.random.Generator, centres: np.ndarray, sds: np.ndarray) -> int:
    leader = int(np.argmax(centres + sds * draw.standard_normal(len(centres))))
    if draw.random() < 0.5:
        return leader
    for _ in range(TRIES):
        other = int(np.argmax(centres + sds * draw.standard_normal(len(centres))))
        if other != leader:
            return other
    return leader


def in_order(chosen: Mapping[Place, int], seed: int) -> list[tuple[str, str, bool]]:
    """The looks of a session in a random order, at least `APART` items between two of one place.

    Returns:
        Run, tag, and whether it was shown in the session before.
    """
    draw = random.Random(seed)
    best: list[Place] = []
    for _ in range(TRIES):
        made = _shuffled(dict(chosen), draw)
        if len(made) > len(best):
            best = made
        if len(best) == sum(chosen.values()):
            break
    seen: set[Place] = set()
    steps = []
    for place in best:
        steps.append((*place, place in seen))
        seen.add(place)
    return steps


def _shuffled(left: dict[Place, int], draw: random.Random) -> list[Place]:
    made: list[Place] = []
    while True:
        free = [place for place, count in left.items() if count and place not in made[-APART:]]
        if not free:
            return made
        # What is to be shown most often comes sooner, else it is left over in the end.
        place = draw.choices(free, [left[place] ** 2 for place in free])[0]
        left[place] -= 1
        made.append(place)


def planned(
    given: Mapping[Place, Sequence[float]], eye_sd: float, count: int, seed: int
) -> list[tuple[str, str, bool]]:
    """A second session of about `count` looks, in order; of few places fewer fit with `APART` between."""
    return in_order(looks_again(given, eye_sd, count, seed), seed)


@dataclass(frozen=True)
class SecondSession:
    """What a second session would bring.

    Attributes:
        count: What to plan it for; `looks` is about how many it then has.
        now: The chance that the best by the scores so far is within `NEAR` points of the truly best place.
        then: The chance after it.
    """

    count: int
    looks: int
    now: float
    then: float


def second_session(given: Mapping[Place, Sequence[float]], eye_sd: float) -> SecondSession | None:
    """The shortest second session that finds one of the best places; None where the first has found it.

    What the places deserve is drawn from the posterior, a session is simulated on every draw, and it counts
    how often the place with the highest posterior mean is near the best.
    """
    if len(given) < 3:
        return None
    draw = np.random.default_rng(0)
    known = posterior(given, eye_sd)
    centres, variances = (np.array([known[place][part] for place in known]) for part in (0, 1))
    truths = centres + np.sqrt(variances) * draw.standard_normal((DRAWS, len(centres)))

    def found(at: np.ndarray) -> float:
        return float(np.mean(truths[np.arange(DRAWS), at] >= truths.max(axis=1) - NEAR))

    now = found(np.full(DRAWS, int(np.argmax(centres))))
    if now >= SURE:
        return None
    made = None
    for count in COUNTS:
        looks = Counter((run, tag) for run, tag, _ in planned(given, eye_sd, count, 0))
        times = np.array([looks[place] for place in known])
        new = truths + eye_sd / np.sqrt(np.maximum(times, 1)) * draw.standard_normal(truths.shape)
        weight = times * variances / (times * variances + eye_sd**2)
        then = found(np.argmax(centres + weight * (new - centres), axis=1))
        if made is None or then > made.then:
            made = SecondSession(count, sum(looks.values()), now, then)
        if then >= SURE:
            break
    return made
