"""Which checkpoints to look at again: a second session for the leaders, chosen by top-two Thompson sampling.

Looking again at everything spends most looks on what is out of the running. Top-two Thompson sampling
(Russo 2020, "Simple Bayesian algorithms for best-arm identification") draws what the true scores may be,
looks at the best of the draw or, as often, at the best of another draw that has another best.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean, pvariance

import numpy as np

from lora_lab.store.scores import Place

DECOYS = 2
"""Places that are shown beside the leaders, so that a session does not consist of good ones alone."""
TRIES = 200
"""Draws in search of another best; without one the leader stands alone."""


def posterior(given: Mapping[Place, Sequence[float]], eye_sd: float) -> dict[Place, tuple[float, float]]:
    """Mean and variance of what each place really deserves, drawn towards the mean of all.

    Args:
        given: Scores by place.
        eye_sd: Standard deviation of one score.
    """
    means = {place: mean(values) for place, values in given.items()}
    middle = mean(means.values())
    noise = mean(eye_sd**2 / len(values) for values in given.values())
    between = max(pvariance(list(means.values())) - noise, 1.0)
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
    came out as expected.
    """
    if len(given) < 2 or count < 1:
        return Counter()
    draw = np.random.default_rng(seed)
    known = posterior(given, eye_sd)
    places = list(known)
    centres = np.array([known[place][0] for place in places])
    variances = np.array([known[place][1] for place in places])
    chosen: Counter[Place] = Counter()
    decoys = min(DECOYS, max(0, count - 2), max(0, len(places) - 2))
    for _ in range(count - decoys):
        at = _top_two(draw, centres, np.sqrt(variances))
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
