"""Settings whose effects depend on each other: squares of four cells, two settings with two levels each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean
from typing import Any

from lora_lab.axes import show_apart
from lora_lab.effective import differing
from lora_lab.verdict.analysis import Analysis
from lora_lab.verdict.calls import FEWEST_DF, Scale, points
from lora_lab.verdict.cells import LEVEL, Cell, Edge
from lora_lab.verdict.contrasts import Difference, Tested, f_test, together
from lora_lab.verdict.effects import setting_of
from lora_lab.verdict.result import (
    INTERACTS,
    NO_DIFFERENCE,
    NOT_DECIDED,
    SEEMS_TO_INTERACT,
    Interaction,
)
from lora_lab.words import Label, Said, change_of, said


@dataclass(frozen=True)
class Square:
    """Four cells: reference, one setting changed, the other changed, both changed."""

    cells: tuple[Cell, Cell, Cell, Cell]
    one: tuple[str, Any, Any]
    other: tuple[str, Any, Any]
    assumed: frozenset[str]


@dataclass(frozen=True)
class _Line:
    """One combination of levels: its squares, their mean, and what the noise makes of it."""

    squares: tuple[Square, ...]
    difference: Difference
    tested: Tested


def interactions(analysis: Analysis) -> tuple[Interaction, ...]:
    """Every pair of settings of which all four combinations of two levels were run.

    There is one F test for each pair of settings, over all combinations of their levels with the reference
    levels, and these tests are a family of their own (Holm): a grid of many levels would otherwise find
    something in most cases. Of a pair that is called, each combination stands whose own interval leaves out
    0; of one that is not, the largest.
    """
    if analysis.base is None:
        return ()
    groups: dict[frozenset[str], dict[str, list[Square]]] = defaultdict(lambda: defaultdict(list))
    for square in squares(analysis.edges, analysis.base):
        levels = repr((*square.one, *square.other))
        groups[frozenset((square.one[0], square.other[0]))][levels].append(square)
    known = [_lines(members, analysis) for members in groups.values()]
    adjusted = _holm([f_test([line.difference for line in lines], analysis.noise) for lines in known])
    made = [item for lines, p in zip(known, adjusted, strict=True) for item in _called(lines, p, analysis)]
    return tuple(sorted(made, key=lambda item: (item.call == NOT_DECIDED, -abs(item.difference))))


def _lines(members: dict[str, list[Square]], analysis: Analysis) -> list[_Line]:
    differences = [_difference(own) for own in members.values()]
    tested = together(differences, analysis.noise)
    return [
        _Line(tuple(own), difference, one)
        for own, difference, one in zip(members.values(), differences, tested, strict=True)
    ]


def _difference(members: Sequence[Square]) -> Difference:
    weights: dict[str, tuple[Cell, float]] = {}
    for square in members:
        for cell, sign in zip(square.cells, (1.0, -1.0, -1.0, 1.0), strict=True):
            before = weights.get(cell.name, (cell, 0.0))[1]
            weights[cell.name] = (cell, before + sign / len(members))
    return Difference(tuple(weights.values()))


def _holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p values."""
    order = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    found: list[float | None] = [None] * len(ps)
    largest = 0.0
    for rank, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        found[place] = largest
    return found


def _called(lines: Sequence[_Line], p: float | None, analysis: Analysis) -> list[Interaction]:
    largest = max(lines, key=lambda line: abs(line.difference.value))
    look = analysis.looks.get(pair_key(largest.squares[0].one[0], largest.squares[0].other[0]), 0) + 1
    if p is None:
        calls = [(line, SEEMS_TO_INTERACT) for line in lines if line.tested.beyond]
    elif p < LEVEL / look**2:
        chosen = [line for line in lines if line.tested.significant] or [largest]
        calls = [(line, INTERACTS) for line in chosen]
    else:
        calls = []
    if not calls:
        narrow = p is not None and all(_narrow(line.tested, analysis.scale) for line in lines)
        calls = [(largest, NO_DIFFERENCE if narrow else NOT_DECIDED)]
    return [_interaction(line, call, p, analysis.scale, len(lines)) for line, call in calls]


def _narrow(tested: Tested, scale: Scale) -> bool:
    if tested.low is None or tested.high is None:
        return False
    return max(-tested.low, tested.high) <= scale.relevant and tested.df >= FEWEST_DF


def pair_key(one: str, other: str) -> str:
    """Two settings as the log of verdicts names them."""
    return " x ".join(sorted((one, other)))


def squares(found: Sequence[Edge], base: Cell) -> list[Square]:
    """All squares whose levels include the reference level of both settings."""
    by_key: dict[str, list[Edge]] = defaultdict(list)
    for edge in found:
        by_key[edge.key].append(edge)
    turned = {
        key: [edge for pairs in setting_of(key, members, base).pairs.values() for edge in pairs]
        for key, members in by_key.items()
    }
    made: dict[frozenset[str], Square] = {}
    for key, members in turned.items():
        for one, other in combinations(members, 2):
            square = _square(key, one, other, base)
            if square and not _one_training(square):
                made.setdefault(frozenset(cell.name for cell in square.cells), square)
    return list(made.values())


def _one_training(square: Square) -> bool:
    """Whether some of its cells share a training, and so their luck."""
    return any(one.trainings & other.trainings for one, other in combinations(square.cells, 2))


def _square(key: str, one: Edge, other: Edge, base: Cell) -> Square | None:
    """Two parallel edges of a setting, where they differ in one other setting alone."""
    if list(map(repr, one.levels)) != list(map(repr, other.levels)):
        return None
    first, second = _known_change(one.one, other.one), _known_change(one.other, other.other)
    if first is None or second is None or repr(first) != repr(second) or first[0] == key:
        return None
    name, low, high = first
    if repr(high) == repr(base.settings.get(name)):
        one, other, low, high = other, one, high, low
    assumed = frozenset({*one.assumed, *other.assumed} | (one.one.unknown ^ other.one.unknown))
    cells = (one.one, one.other, other.one, other.other)
    return Square(cells, (key, *one.levels), (name, low, high), assumed)


def _known_change(one: Cell, other: Cell) -> tuple[str, Any, Any] | None:
    """The one setting in which two cells are known to differ; what is not known of either is left open."""
    changed = differing(one.settings, other.settings)
    if len(changed) != 1:
        return None
    ((key, (low, high)),) = changed.items()
    return key, low, high


def _interaction(line: _Line, call: str, p: float | None, scale: Scale, levels: int) -> Interaction:
    members, tested = line.squares, line.tested
    a, b, c, d = (mean(square.cells[place].mean for square in members) for place in range(4))
    one, other = members[0].one, members[0].other
    return Interaction(
        one=one,
        other=other,
        scores=(a, b, c, d),
        difference=tested.value,
        squares=tuple(
            (cells[0].name, cells[1].name, cells[2].name, cells[3].name)
            for cells in (square.cells for square in members)
        ),
        call=call,
        sentence=_sentence(one, other, (b - a, d - c), call, tested, scale),
        low=tested.low,
        high=tested.high,
        p=p,
        holds_up_to=tested.holds_up_to,
        assumed=tuple(sorted(frozenset().union(*(square.assumed for square in members)))),
        levels=levels,
    )


def _sentence(
    one: tuple[str, Any, Any],
    other: tuple[str, Any, Any],
    moved: tuple[float, float],
    call: str,
    tested: Tested,
    scale: Scale,
) -> Said:
    low, high = show_apart(other[0], other[1:])
    text = said(
        "interaction",
        label=Label(one[0]),
        change=change_of(*one),
        other=Label(other[0]),
        low=low,
        one=points(moved[0], scale),
        high=high,
        two=points(moved[1], scale),
    )
    if call == NOT_DECIDED:
        return said("interaction_open", text=text)
    if call == NO_DIFFERENCE:
        return said("interaction_none", text=text)
    if tested.low is None:
        limit = points(tested.holds_up_to, scale, signed=False)
        return said("holds_if", text=text, limit=limit, unit=scale.unit)
    return text
