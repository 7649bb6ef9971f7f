"""Which checkpoints to look at again: a second session for the leaders, chosen while it goes on.

Looking again at everything spends most looks on what is out of the running. A second session shows a few
places at a time, those that may still be best: highest by what is expected of them plus how unsure that is
(an upper confidence bound; Auer 2002). What was just said decides who is shown next. Simulated
(benchmarks/RESULTS.md), that finds the best more often than looks that are fixed before the session, and than
top-two Thompson sampling (Russo 2020), whose draws are spent on what a sum would do as well.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from statistics import mean

import numpy as np
import numpy.typing as npt

from lora_lab.store.scales import EYE_SD, between, session_levels
from lora_lab.store.scores import Place

Array = npt.NDArray[np.float64]

PART = 6
"""Looks that are chosen at once; each place at most once among them."""
APART = 5
"""Items between two showings of one place, at least: sooner it would be recognised."""
DECOYS = 2
"""Looks of a session at places that are no leaders, so that it does not consist of good ones alone."""
EYE_DF = 4.0
"""The repeats that `EYE_SD`, the standard deviation of one score before anything is measured, counts for."""
NEAR = 3.0
"""Points below the best that make no difference to anybody."""
SURE = 0.9
"""The chance to find a place that near to the best which a second session is meant to have."""
FEWEST, MOST = 8, 32
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
    middle = mean(mean(values) for values in given.values())
    apart = between(given, eye_sd)
    found = {}
    for place, values in given.items():
        precision = 1 / apart + len(values) / eye_sd**2
        centre = (middle / apart + sum(values) / eye_sd**2) / precision
        found[place] = (centre, 1 / precision)
    return found


def without_levels(
    sessions: Mapping[str, Mapping[Place, Sequence[float]]], eye_sd: float
) -> dict[Place, list[float]]:
    """The scores of several sessions of one rater with each session's level taken out
    (`store.scales.session_levels`).

    Args:
        sessions: Scores by place, by session.
        eye_sd: Standard deviation of one score.
    """
    level = session_levels(sessions, eye_sd) if len(sessions) > 1 else dict.fromkeys(sessions, 0.0)
    adjusted: dict[Place, list[float]] = defaultdict(list)
    for name, own in sessions.items():
        for place, values in own.items():
            adjusted[place] += [value - level[name] for value in values]
    return dict(adjusted)


def length(count: int, places: int) -> int:
    """How many looks a second session of about `count` has; of few places each is shown once."""
    return count if places > APART else places


def next_looks(
    given: Mapping[Place, Sequence[float]], eye_sd: float, shown: Sequence[Place], count: int, seed: int
) -> list[Place]:
    """The next part of a second session, in the order in which it is shown; none when it is over.

    Args:
        given: All scores so far, those of this session included.
        eye_sd: Standard deviation of one score.
        shown: What this session has shown, in order.
        count: How many looks the whole session has (`length`).
        seed: The session's own.
    """
    size = min(PART, count - len(shown))
    # A part that is shorter than `APART` cannot hold what was shown last.
    late = shown if len(given) <= APART else shown[max(0, len(shown) - max(0, APART + 1 - size)) :]
    free = [place for place in given if place not in late]
    if size < 1 or not free:
        return []
    known = posterior(given, eye_sd)
    free.sort(key=lambda place: -known[place][0] - math.sqrt(known[place][1]))
    draw = random.Random(f"{seed} {len(shown)}")
    chosen, others = free[:size], free[2 * PART :] or free[size:]
    if others and len(shown) // PART in _with_decoy(count, seed):
        chosen[-1] = draw.choice(others)
    orders = [list(order) for order in permutations(chosen)]
    draw.shuffle(orders)
    return next((order for order in orders if _apart([*shown[-APART:], *order])), [])


def _with_decoy(count: int, seed: int) -> set[int]:
    """The parts of a session that show one of the others, too."""
    parts = math.ceil(count / PART)
    return set(random.Random(seed).sample(range(parts), min(DECOYS, parts)))


def _apart(places: Sequence[Place]) -> bool:
    return all(place not in places[max(0, at - APART) : at] for at, place in enumerate(places))


@dataclass(frozen=True)
class SecondSession:
    """What a second session would bring.

    Attributes:
        looks: How many it has.
        now: The chance that the best by the scores so far is within `NEAR` points of the truly best place.
        then: The chance after it.
    """

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

    def found(expected: Array) -> float:
        chosen = truths[np.arange(DRAWS), np.argmax(expected, axis=1)]
        return float(np.mean(chosen >= truths.max(axis=1) - NEAR))

    expected, unsure = np.tile(centres, (DRAWS, 1)), np.tile(variances, (DRAWS, 1))
    now = found(expected)
    if now >= SURE:
        return None
    best: SecondSession | None = None
    for part in range(MOST // PART):
        leaders = PART - (part < DECOYS)
        expected, unsure = _looked(draw, truths, expected, unsure, (eye_sd, leaders))
        looks = PART * (part + 1)
        made = SecondSession(length(looks, len(known)), now, found(expected))
        if looks >= FEWEST and (best is None or made.then > best.then):
            best = made
        if best and (best.then >= SURE or best.looks < looks):
            break
    return best


def _looked(
    draw: np.random.Generator, truths: Array, expected: Array, unsure: Array, how: tuple[float, int]
) -> tuple[Array, Array]:
    """Expectations and variances after one more part of a session, by draw and place.

    Args:
        how: Standard deviation of one score, and how many leaders the part shows.
    """
    eye_sd, leaders = how
    ranks = np.argsort(np.argsort(-expected - np.sqrt(unsure), axis=1), axis=1)
    new = truths + eye_sd * draw.standard_normal(truths.shape)
    weight = np.where(ranks < leaders, unsure / (unsure + eye_sd**2), 0.0)
    return expected + weight * (new - expected), unsure * (1 - weight)
