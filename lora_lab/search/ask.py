"""The next round of settings, from what was scored so far; and the settings to recommend in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lora_lab.errors import ConfigError
from lora_lab.search.coordinates import Coordinates
from lora_lab.search.space import Settings, Space
from lora_lab.search.surrogate import NOISE_SD, Posterior, Surrogate

OPTIMISM = 1.5
"""A round takes what could score best: expected score plus this many standard deviations (GP-UCB, Srinivas
et al. 2010)."""
CAUTION = 0.5
"""A recommendation is of the best expected score less this many standard deviations."""
_WIDTH_OF_FIRST = 0.7
"""The first round covers this share of the main coordinate: its ends are rarely good."""


@dataclass(frozen=True)
class Observation:
    """A run of known score (0 to 100): its flat settings, the repeats it is the mean of, its name."""

    settings: Mapping[str, Any]
    score: float
    looks: float = 1.0
    run: str = ""


@dataclass(frozen=True)
class Proposal:
    """Settings to train; what they should score and how sure that is, both None where nothing is known."""

    settings: Settings
    expected: float | None = None
    sd: float | None = None


def propose(
    space: Space,
    base: Mapping[str, Any],
    seen: Sequence[Observation],
    count: int,
    rng: np.random.Generator,
    *,
    noise_sd: float = NOISE_SD,
) -> list[Proposal]:
    """The `count` settings to train next, at once, by a Gaussian process in physical coordinates.

    Args:
        base: Flat values of the settings that stay.
        seen: Every scored run that the space's settings say enough of, of earlier sweeps, too.

    Raises:
        ConfigError: The space has fewer combinations than are asked for.
    """
    candidates = _enough(space, count, rng)
    coordinates = Coordinates(space, base)
    x_CF = coordinates.of(candidates)
    if len(seen) < count:
        chosen = _first(x_CF, count, coordinates, rng)
        return [Proposal(candidates[number]) for number in chosen]
    model = _fitted(coordinates, seen, noise_sd)
    found: list[Proposal] = []
    taken: list[int] = []
    for _ in range(count):
        known = model.posterior(x_CF)
        hopes = known.mean + OPTIMISM * known.sd
        hopes[taken] = -np.inf
        number = int(np.argmax(hopes))
        taken.append(number)
        found.append(_proposal(candidates[number], known, number))
        model = model.believing(x_CF[number], float(known.mean[number]))
    return found


def best(
    space: Space,
    base: Mapping[str, Any],
    seen: Sequence[Observation],
    rng: np.random.Generator,
    *,
    noise_sd: float = NOISE_SD,
) -> Proposal:
    """The settings to recommend: by what all runs together say, not by the single best score, which is luck.

    Raises:
        ConfigError: Nothing has a score yet.
    """
    if not seen:
        raise ConfigError("no run has a score yet: there is nothing to recommend from")
    candidates = space.candidates(rng)
    coordinates = Coordinates(space, base)
    known = _fitted(coordinates, seen, noise_sd).posterior(coordinates.of(candidates))
    number = int(np.argmax(known.mean - CAUTION * known.sd))
    return _proposal(candidates[number], known, number)


def _enough(space: Space, count: int, rng: np.random.Generator) -> list[Settings]:
    candidates = space.candidates(rng)
    if len(candidates) < count:
        raise ConfigError(
            f"the search space has {len(candidates)} combinations, fewer than the {count} of a round: give "
            "settings more values, or make rounds smaller"
        )
    return candidates


def _proposal(settings: Settings, known: Posterior, number: int) -> Proposal:
    return Proposal(settings, float(known.mean[number]), float(known.sd[number]))


def _fitted(coordinates: Coordinates, seen: Sequence[Observation], noise_sd: float) -> Surrogate:
    model = Surrogate(coordinates.features, noise_sd)
    model.fit(
        coordinates.of([item.settings for item in seen]),
        np.array([item.score for item in seen], dtype=float),
        np.array([item.looks for item in seen], dtype=float),
    )
    return model


def _first(x_CF: np.ndarray, count: int, coordinates: Coordinates, rng: np.random.Generator) -> list[int]:
    """A first round: even steps along the first (the main) coordinate, a Latin hypercube along the others."""
    low_F, high_F = x_CF.min(0), x_CF.max(0)
    middles = (np.arange(count) + 0.5) / count
    places = np.column_stack([rng.permutation(middles) for _ in range(x_CF.shape[1])])
    places[:, 0] = 0.5 + (middles - 0.5) * _WIDTH_OF_FIRST
    lengths_F = np.array([item.length for item in coordinates.features])
    taken: list[int] = []
    for wanted_F in low_F + places * (high_F - low_F):
        distance_C = (((x_CF - wanted_F) / lengths_F) ** 2).sum(1)
        distance_C[taken] = np.inf
        taken.append(int(np.argmin(distance_C)))
    return taken
