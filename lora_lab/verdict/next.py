"""What to run next: combinations that are expected to be best, and repeats that decide most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from lora_lab.effective import differing
from lora_lab.verdict.acting import SEED
from lora_lab.verdict.advice import overrides
from lora_lab.verdict.analysis import Analysis
from lora_lab.verdict.cells import Cell, owner
from lora_lab.verdict.model import Model, fit
from lora_lab.verdict.result import Verdict

OF_ONE_SWEEP = (f"{SEED}=", "name=", "sweep=", "results=")
"""Overrides that say which run of which sweep it is."""
COMBINE, REPEAT = "combine", "repeat"
WORTH = 0.25
"""A combination is proposed where it is expected to gain this share of what is relevant, or more."""
MOST_AT_ONCE = 3
"""Changes that are combined; what more of them do together, nobody saw."""


@dataclass(frozen=True)
class Suggested:
    """One row to run.

    Attributes:
        kind: `COMBINE` or `REPEAT`.
        of: The runs that are combined, or the one that is repeated.
        overrides: In what it differs from the reference run.
        score: What it is expected to score, `sd` how far the truth may be from that; None where the model
            does not predict (`Model.predicts`), and a combination is then a guess.
        decides: The settings that it helps to decide, by key.
    """

    name: str
    kind: str
    of: tuple[str, ...]
    overrides: tuple[str, ...]
    score: float | None = None
    sd: float | None = None
    decides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Next:
    """What to run next; without rows, what was asked is decided.

    Attributes:
        base: What the reference run was composed from.
        best: What the recommended run is expected to score when it is trained again; None as in `Suggested`.
        model: What expectations rest on; None where there are too few runs.
    """

    base: tuple[str, ...]
    rows: tuple[Suggested, ...]
    best: float | None = None
    model: Model | None = field(default=None, compare=False)


def suggest(analysis: Analysis, verdict: Verdict, count: int = 5) -> Next:
    """Propose at most `count` rows: combinations first, then the repeats that decide most settings."""
    base = analysis.base
    if base is None:
        return Next((), ())
    model = fit(analysis.cells, analysis.noise)
    best = _expected_best(analysis, verdict, model)
    combined = _combined(analysis, base, model, best, count)
    # A combination that is not repeated settles nothing about the settings that are open.
    repeats = _repeats(analysis, verdict, base, model)
    half = min(len(combined), max(count - len(repeats), (count + 1) // 2))
    rows = [*combined[:half], *repeats][:count]
    if model is not None and not model.predicts:
        rows, best = [replace(row, score=None, sd=None) for row in rows], None
    from_base = tuple(text for text in base.runs[0].overrides if not text.startswith(OF_ONE_SWEEP))
    return Next(from_base, tuple(rows), best, model)


def _expected_best(analysis: Analysis, verdict: Verdict, model: Model | None) -> float | None:
    if model is None or verdict.recommendation is None:
        return None
    chosen = next(cell for cell in analysis.cells if verdict.recommendation.run in _names(cell))
    return float(model.predict([chosen.settings])[0][0])


def _names(cell: Cell) -> set[str]:
    return {run.name for run in cell.runs}


def _combined(
    analysis: Analysis, base: Cell, model: Model | None, best: float | None, count: int
) -> list[Suggested]:
    """Changes of tested runs, put together, that are expected to beat the recommended run."""
    if model is None or best is None:
        return []
    tried = {repr(sorted(cell.settings.items())) for cell in analysis.cells}
    made: dict[str, tuple[tuple[Cell, ...], dict[str, Any]]] = {}
    for size in range(2, MOST_AT_ONCE + 1):
        for members in combinations([cell for cell in analysis.cells if cell is not base], size):
            settings = _together(members, base)
            key = repr(sorted(settings.items())) if settings else ""
            if settings and key not in tried:
                made.setdefault(key, (members, settings))
    if not made:
        return []
    means, sds = model.predict([settings for _, settings in made.values()])
    rated = sorted(zip(made.values(), means, sds, strict=True), key=lambda item: item[2] / 2 - item[1])
    worth = [
        (members, mean, sd)
        for (members, _), mean, sd in rated
        if mean - best >= WORTH * analysis.scale.relevant
    ]
    return [
        Suggested(
            "-and-".join(cell.name for cell in members),
            COMBINE,
            tuple(cell.name for cell in members),
            tuple(text for cell in members for text in overrides(cell.runs[0], base.runs[0])),
            float(mean),
            float(sd),
        )
        for members, mean, sd in worth[:count]
    ]


def _together(members: Sequence[Cell], base: Cell) -> dict[str, Any] | None:
    """The base with the changes of several cells; None where two of them change one thing."""
    changes = [differing(base.settings, cell.settings) for cell in members]
    keys = [key for own in changes for key in own]
    if not all(changes) or len(keys) != len(set(keys)) or any(owner(key) in keys for key in keys):
        return None
    return {**base.settings, **{key: values[1] for own in changes for key, values in own.items()}}


def _repeats(analysis: Analysis, verdict: Verdict, base: Cell, model: Model | None) -> list[Suggested]:
    """Repeats that open settings need, those first that decide most of them with fewest runs."""
    wanted: dict[str, list[tuple[str, float]]] = {}
    for effect in verdict.settings:
        total = sum(effect.repeat.values())
        for name, runs in effect.repeat.items():
            # What a setting needs most of, and what few more runs decide, comes first.
            wanted.setdefault(name, []).append((effect.key, runs / total**2))
    cells = {run.name: cell for cell in analysis.cells for run in cell.runs}
    order = sorted(wanted, key=lambda name: -sum(weight for _, weight in wanted[name]))
    found: list[Suggested] = []
    for name in order:
        cell = cells.get(name)
        if cell is None:
            continue
        seed = max((run.seed or 0 for own in analysis.cells for run in own.runs), default=0) + 1 + len(found)
        expected = model.predict([cell.settings]) if model else None
        found.append(
            Suggested(
                f"{name}-again{cell.n + 1}",
                REPEAT,
                (name,),
                (*overrides(cell.runs[0], base.runs[0]), f"{SEED}={seed}"),
                float(expected[0][0]) if expected else None,
                float(expected[1][0]) if expected else None,
                tuple(dict.fromkeys(key for key, _ in wanted[name])),
            )
        )
    return found
