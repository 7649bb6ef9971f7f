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
from lora_lab.verdict.effects import DECIDED
from lora_lab.verdict.model import Model, fit
from lora_lab.verdict.result import HELPS, HURTS, SEEMS_TO_HELP, SEEMS_TO_HURT, Verdict

OF_ONE_SWEEP = (f"{SEED}=", "name=", "sweep=", "results=")
"""Overrides that say which run of which sweep it is."""
COMBINE, REPEAT = "combine", "repeat"
WORTH = 0.25
"""A combination is proposed where it is expected to gain this share of what is relevant, or more."""
MOST_AT_ONCE = 3
"""Changes that are combined; what more of them do together, nobody saw."""
FIRST_REPEATS = 2
"""Repeats of one run that are proposed where nothing measures how far chance moves a score."""


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
    """What to run next; without rows and without anything open, what was asked is decided.

    Attributes:
        base: What the reference run was composed from.
        best: What the recommended run is expected to score when it is trained again; None as in `Suggested`.
        open: The settings that the verdict does not decide, by key.
        tested: Whether the verdict tests anything: it needs a run that was repeated.
        model: What expectations rest on; None where there are too few runs.
    """

    base: tuple[str, ...]
    rows: tuple[Suggested, ...]
    best: float | None = None
    open: tuple[str, ...] = ()
    tested: bool = True
    model: Model | None = field(default=None, compare=False)


def suggest(analysis: Analysis, verdict: Verdict, count: int = 5) -> Next:
    """Propose at most `count` rows: combinations first, then the repeats that decide most settings."""
    base, tested = analysis.base, verdict.noise.tested
    undecided = tuple(dict.fromkeys(item.key for item in verdict.settings if item.call not in DECIDED))
    if base is None:
        return Next((), (), open=undecided, tested=tested)
    model = fit(analysis.cells, analysis.noise)
    best = _expected_best(analysis, verdict, model)
    combined = _combined(analysis, base, model, best, count)
    if model is None:
        combined = _guessed(analysis, verdict, base)
    # A combination that is not repeated settles nothing about the settings that are open.
    repeats = _repeats(analysis, verdict, base, model)
    if not tested and not repeats:
        repeats = _first_repeats(analysis, base, undecided)
    half = min(len(combined), max(count - len(repeats), (count + 1) // 2))
    rows = [*combined[:half], *repeats][:count]
    if model is not None and not model.predicts:
        rows, best = [replace(row, score=None, sd=None) for row in rows], None
    from_base = tuple(text for text in base.runs[0].overrides if not text.startswith(OF_ONE_SWEEP))
    return Next(from_base, tuple(rows), best, undecided, tested, model)


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
    made = _untried(analysis, [cell for cell in analysis.cells if cell is not base], base)
    if not made:
        return []
    means, sds = model.predict([settings for _, settings in made])
    rated = sorted(zip(made, means, sds, strict=True), key=lambda item: item[2] / 2 - item[1])
    worth = [
        (members, mean, sd)
        for (members, _), mean, sd in rated
        if mean - best >= WORTH * analysis.scale.relevant
    ]
    return [
        replace(_combination(members, base), score=float(mean), sd=float(sd))
        for members, mean, sd in worth[:count]
    ]


def _untried(
    analysis: Analysis, cells: Sequence[Cell], base: Cell
) -> list[tuple[tuple[Cell, ...], dict[str, Any]]]:
    """Changes of two or more cells put together that no run has, each with its settings."""
    tried = {repr(sorted(cell.settings.items())) for cell in analysis.cells}
    made: dict[str, tuple[tuple[Cell, ...], dict[str, Any]]] = {}
    for size in range(2, MOST_AT_ONCE + 1):
        for members in combinations(cells, size):
            settings = _together(members, base)
            key = repr(sorted(settings.items())) if settings else ""
            if settings and key not in tried:
                made.setdefault(key, (members, settings))
    return list(made.values())


def _combination(members: Sequence[Cell], base: Cell) -> Suggested:
    return Suggested(
        "-and-".join(cell.name for cell in members),
        COMBINE,
        tuple(cell.name for cell in members),
        tuple(text for cell in members for text in overrides(cell.runs[0], base.runs[0])),
    )


def _guessed(analysis: Analysis, verdict: Verdict, base: Cell) -> list[Suggested]:
    """Without a model: what helps, or seems to, when it is changed alone; together, largest gains first."""
    helping = [cell for cell in analysis.cells if cell is not base and _helps(cell, base, verdict)]
    made = [members for members, _ in _untried(analysis, helping, base)]
    made.sort(key=lambda members: -sum(cell.mean - base.mean for cell in members))
    return [_combination(members, base) for members in made]


def _helps(cell: Cell, base: Cell, verdict: Verdict) -> bool:
    changed = differing(base.settings, cell.settings)
    if len(changed) != 1:
        return False
    ((key, levels),) = changed.items()
    calls = {
        (item.reference, item.level): item.call
        for effect in verdict.settings
        if effect.key == key
        for item in effect.contrasts
    }
    return calls.get((levels[0], levels[1])) in (HELPS, SEEMS_TO_HELP) or (
        calls.get((levels[1], levels[0])) in (HURTS, SEEMS_TO_HURT)
    )


def _first_repeats(analysis: Analysis, base: Cell, decides: tuple[str, ...]) -> list[Suggested]:
    """Repeats that measure how far chance moves a score: of the reference run, else of the best one that can.

    At an end of the scale what repeats differ by cannot be seen.
    """
    able = [cell for cell in analysis.cells if not cell.at_the_end]
    if not able:
        return []
    cell = base if base in able else max(able, key=lambda cell: cell.mean)
    rows = [_again(analysis, cell, base, number, decides) for number in range(FIRST_REPEATS)]
    return [replace(row, name=f"{cell.name}-again{cell.n + 1 + n}") for n, row in enumerate(rows)]


def _again(analysis: Analysis, cell: Cell, base: Cell, number: int, decides: tuple[str, ...]) -> Suggested:
    """A repeat of a cell; `number`, its place among all proposed repeats, gives it a seed of its own."""
    seed = max((run.seed or 0 for own in analysis.cells for run in own.runs), default=0) + 1 + number
    return Suggested(
        f"{cell.name}-again{cell.n + 1}",
        REPEAT,
        (cell.name,),
        (*overrides(cell.runs[0], base.runs[0]), f"{SEED}={seed}"),
        decides=decides,
    )


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
        decides = tuple(dict.fromkeys(key for key, _ in wanted[name]))
        row = _again(analysis, cell, base, len(found), decides)
        if model:
            expected, sd = model.predict([cell.settings])
            row = replace(row, score=float(expected[0]), sd=float(sd[0]))
        found.append(row)
    return found
