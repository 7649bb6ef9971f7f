"""Settings whose effects depend on each other: squares of four cells, two settings with two levels each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean
from typing import Any

from lora_lab.axes import axis, show
from lora_lab.effective import differing
from lora_lab.verdict.calls import Scale, call_of, points
from lora_lab.verdict.cells import Cell, Edge
from lora_lab.verdict.contrasts import Difference, Tested, together
from lora_lab.verdict.effects import setting_of
from lora_lab.verdict.ground import Ground
from lora_lab.verdict.result import (
    HELPS,
    HURTS,
    INTERACTS,
    NO_DIFFERENCE,
    NOT_DECIDED,
    SEEMS_TO_INTERACT,
    Interaction,
    Noise,
)


@dataclass(frozen=True)
class Square:
    """Four cells: reference, one setting changed, the other changed, both changed."""

    cells: tuple[Cell, Cell, Cell, Cell]
    one: tuple[str, Any, Any]
    other: tuple[str, Any, Any]
    assumed: frozenset[str]


def interactions(ground: Ground) -> tuple[Interaction, ...]:
    """Every pair of settings of which all four combinations were run, one line for each pair of levels."""
    if ground.base is None:
        return ()
    groups: dict[tuple[str, ...], list[Square]] = defaultdict(list)
    for square in squares(ground.edges, ground.base):
        groups[tuple(map(repr, (*square.one, *square.other)))].append(square)
    made = [_interaction(members, ground.noise, ground.scale) for members in groups.values()]
    return tuple(sorted(made, key=lambda item: (item.call == NOT_DECIDED, -abs(item.difference))))


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
            if square:
                made.setdefault(frozenset(cell.name for cell in square.cells), square)
    return list(made.values())


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


def _interaction(members: Sequence[Square], noise: Noise, scale: Scale) -> Interaction:
    weights: dict[str, tuple[Cell, float]] = {}
    for square in members:
        for cell, sign in zip(square.cells, (1.0, -1.0, -1.0, 1.0), strict=True):
            before = weights.get(cell.name, (cell, 0.0))[1]
            weights[cell.name] = (cell, before + sign / len(members))
    tested = together([Difference(tuple(weights.values()))], noise)[0]
    a, b, c, d = (mean(square.cells[place].mean for square in members) for place in range(4))
    call = call_of(tested, noise, scale)
    if noise.sd is None and call != NOT_DECIDED:
        call = SEEMS_TO_INTERACT
    elif call in (HELPS, HURTS):
        call = INTERACTS
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
        p=tested.p,
        holds_up_to=tested.holds_up_to,
        assumed=tuple(sorted(frozenset().union(*(square.assumed for square in members)))),
    )


def _sentence(
    one: tuple[str, Any, Any],
    other: tuple[str, Any, Any],
    moved: tuple[float, float],
    call: str,
    tested: Tested,
    scale: Scale,
) -> str:
    change = f"{axis(one[0]).label} {show(one[1])} -> {show(one[2])}"
    label = axis(other[0]).label
    text = (
        f"{change}: {points(moved[0], scale)} with {label} {show(other[1])}, "
        f"{points(moved[1], scale)} with {label} {show(other[2])}"
    )
    if call == NOT_DECIDED:
        return f"{text}: not decided whether they depend on each other"
    if call == NO_DIFFERENCE:
        return f"{text}: no difference"
    if tested.low is None:
        limit = points(tested.holds_up_to, scale, signed=False)
        return f"{text}; holds if repeating a run moves its score by less than {limit}{scale.unit} (sd)"
    return text
