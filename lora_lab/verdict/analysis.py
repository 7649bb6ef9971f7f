"""What all parts of a verdict stand on: cells, matched pairs, the noise floor, what difference matters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import stdev
from typing import Any

from lora_lab.errors import ConfigError
from lora_lab.metrics.registry import OF_100
from lora_lab.verdict.calls import RELEVANT, Scale
from lora_lab.verdict.cells import Cell, Edge, cells, edges, reference
from lora_lab.verdict.evidence import Evidence
from lora_lab.verdict.noise import eye, noise
from lora_lab.verdict.prior import BY_CRITERION, Prior
from lora_lab.verdict.result import Noise
from lora_lab.words import said


@dataclass(frozen=True)
class Analysis:
    """`base` is the cell that the others are compared with; None where nothing has a score."""

    evidence: Evidence
    cells: tuple[Cell, ...]
    edges: tuple[Edge, ...]
    base: Cell | None
    noise: Noise
    scale: Scale
    looks: Mapping[str, int] = field(default_factory=dict)

    def look(self, key: str, under: tuple[str, Any] | None, levels: tuple[Any, Any]) -> int:
        """The how-many-th verdict this is on a change of a setting."""
        return self.looks.get(change_key(key, under, levels), 0) + 1


def change_key(key: str, under: tuple[str, Any] | None, levels: tuple[Any, Any]) -> str:
    """A change of a setting as the log of verdicts names it."""
    return " ".join([key, *(map(repr, under) if under else ()), *map(repr, levels)])


def analyse(
    evidence: Evidence,
    noise_floor: float | None = None,
    relevant: float | None = None,
    prior: Prior | None = None,
    looks: Mapping[str, int] | None = None,
) -> Analysis:
    """Match the scored runs of a sweep.

    Args:
        noise_floor: Run-to-run standard deviation to assume where none can be measured.
        relevant: The difference that is worth knowing of; None is 10 points of 100, or half the standard
            deviation over runs of a metric with another scale.
        prior: What the user's earlier sweeps say of the noise; None is what is shipped, for scores of 100.
        looks: How many verdicts on other scores were taken before, by `change_key`.

    Raises:
        ConfigError: A number is not above 0, or no number of points of 100.
    """
    of_100 = evidence.criterion in OF_100
    for name, value in (("--noise-floor", noise_floor), ("--relevant", relevant)):
        if value is not None and (math.isnan(value) or value <= 0):
            raise ConfigError(f"{name} must be above 0, got {value:g}")
        if value is not None and (math.isinf(value) or (of_100 and value > 100)):
            raise ConfigError(f"{name} must be at most 100 points, got {value:g}")
    members = cells(evidence.runs)
    found = edges(members)
    return Analysis(
        evidence,
        tuple(members),
        tuple(found),
        reference(members, found),
        noise(
            members,
            noise_floor,
            prior or BY_CRITERION.get(evidence.criterion),
            eye(evidence, members),
        ),
        _scale(evidence, members, relevant),
        looks or {},
    )


def _scale(evidence: Evidence, members: list[Cell], relevant: float | None) -> Scale:
    of_100 = evidence.criterion in OF_100
    if relevant is None:
        spread = stdev(cell.mean for cell in members) if len(members) > 1 else 1.0
        relevant = RELEVANT if of_100 else spread / 2 or 1.0
    return Scale(relevant, of_100, said("unit") if of_100 else "")
