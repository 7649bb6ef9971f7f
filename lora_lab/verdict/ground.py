"""What all parts of a verdict stand on: cells, matched pairs, the noise floor, what difference matters."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import stdev

from lora_lab.errors import ConfigError
from lora_lab.verdict.calls import RELEVANT, Scale
from lora_lab.verdict.cells import Cell, Edge, cells, edges, noise, reference
from lora_lab.verdict.evidence import SCORE, Evidence
from lora_lab.verdict.result import Noise

POINTS = (SCORE, "likeness")
"""Criteria that run from 0 to 100."""


@dataclass(frozen=True)
class Ground:
    """`base` is the cell that the others are compared with; None where nothing has a score."""

    evidence: Evidence
    cells: tuple[Cell, ...]
    edges: tuple[Edge, ...]
    base: Cell | None
    noise: Noise
    scale: Scale


def ground(evidence: Evidence, noise_floor: float | None = None, relevant: float | None = None) -> Ground:
    """Match the scored runs of a sweep.

    Args:
        noise_floor: Run-to-run standard deviation to assume where none can be measured.
        relevant: The difference that is worth knowing of; None is 10 points of 100, or half the standard
            deviation over runs of a metric with another scale.

    Raises:
        ConfigError: A number is not above 0.
    """
    for name, value in (("--noise-floor", noise_floor), ("--relevant", relevant)):
        if value is not None and value <= 0:
            raise ConfigError(f"{name} must be above 0, got {value:g}")
    members = cells(evidence.runs)
    found = edges(members)
    return Ground(
        evidence,
        tuple(members),
        tuple(found),
        reference(members, found),
        noise(members, noise_floor),
        _scale(evidence, members, relevant),
    )


def _scale(evidence: Evidence, members: list[Cell], relevant: float | None) -> Scale:
    of_100 = evidence.criterion in POINTS
    if relevant is None:
        spread = stdev(cell.mean for cell in members) if len(members) > 1 else 1.0
        relevant = RELEVANT if of_100 else spread / 2 or 1.0
    return Scale(relevant, of_100, " points" if of_100 else "")
