"""The ways to choose a round, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lora_lab.search.ask import Observation, Proposal, propose
from lora_lab.search.space import Space

SAMPLERS = ("gp", "tpe", "random")
"""gp: a Gaussian process in physical coordinates; tpe: Optuna's multivariate TPE; random."""


def next_round(
    sampler: str, space: Space, base: Mapping[str, Any], seen: Sequence[Observation], count: int, seed: int
) -> list[Proposal]:
    """The `count` settings to train next; the same arguments give the same answer.

    Args:
        sampler: One of `SAMPLERS`.
        base: Flat values of the settings that are not searched.
        seen: Every scored run.
        seed: Decides what chance decides; rounds differ by the number of runs seen.

    Raises:
        ConfigError: The space has fewer combinations than are asked for.
    """
    rng = np.random.default_rng([seed, len(seen)])
    if sampler == "tpe":
        from lora_lab.search.journal import tpe  # Optuna takes a third of a second to import

        return tpe(space, seen, count, int(rng.integers(2**31)))
    if sampler == "random":
        return [Proposal(space.draw(rng)) for _ in range(count)]
    return propose(space, base, seen, count, rng)
