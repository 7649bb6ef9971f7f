"""What each setting does: the mean over matched pairs, level by level, and what it may be called."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from lora_lab.axes import axis, show
from lora_lab.verdict.calls import Scale, bound, call_of, call_of_all, sentence, wanted
from lora_lab.verdict.cells import LEVEL, Cell, Edge, distance, owner, where
from lora_lab.verdict.contrasts import (
    Difference,
    Tested,
    conflict,
    mean_of_pairs,
    more_runs,
    planning_sd,
    together,
)
from lora_lab.verdict.ground import Ground
from lora_lab.verdict.result import (
    DEPENDS,
    HELPS,
    HURTS,
    MIXED,
    NO_DIFFERENCE,
    NOT_DECIDED,
    Contrast,
    Level,
    MatchedPair,
    Noise,
    SettingEffect,
)

Under = tuple[str, Any] | None
DECIDED = (HELPS, HURTS, MIXED, DEPENDS, NO_DIFFERENCE)


@dataclass(frozen=True)
class Setting:
    """A setting with the matched pairs that say something of it, by the level that is not the reference."""

    key: str
    under: Under
    reference: Any
    pairs: dict[str, list[Edge]]
    """By the level's text; in every edge `one` has the reference level of that contrast."""


def effects(ground: Ground) -> tuple[SettingEffect, ...]:
    """The effect of every setting that some pair of cells differs in alone; most pairs first."""
    if ground.base is None:
        return ()
    grouped: dict[tuple[str, str], list[Edge]] = defaultdict(list)
    for edge in ground.edges:
        grouped[edge.key, repr(_under(edge))].append(edge)
    known = [setting_of(key, members, ground.base) for (key, _), members in grouped.items()]
    made = [_effect(item, ground) for item in known]
    made.sort(key=lambda item: (-sum(len(one.pairs) for one in item.contrasts), item.key))
    return tuple(_surviving(made))


def _under(edge: Edge) -> Under:
    name = owner(edge.key)
    return (name, edge.one.settings[name]) if name and name in edge.one.settings else None


def setting_of(key: str, members: Sequence[Edge], base: Cell) -> Setting:
    """The pairs of one setting, turned so that the reference level comes first, each level of a place once.

    Where a choice has settings of its own, such as an optimizer its learning rate, several cells have the
    same level beside one and the same partner: the one that is nearest to the reference run is compared.
    """
    counts = Counter(repr(level) for edge in members for level in edge.levels)
    own = repr(base.settings.get(key))
    centre = max(counts, key=lambda level: (level == own, counts[level]))
    by_level: dict[str, list[Edge]] = defaultdict(list)
    for edge in members:
        if centre in map(repr, edge.levels):
            turned = _turned(edge, first=centre)
            by_level[repr(turned.levels[1])].append(turned)
    reached = {centre, *by_level}
    for edge in members:  # levels that never stand beside the reference level
        if not set(map(repr, edge.levels)) <= reached:
            left = next(repr(level) for level in edge.levels if repr(level) not in reached)
            by_level[left].append(_turned(edge, last=left))
    pairs = {level: _once(_same_reference(edges), base) for level, edges in by_level.items()}
    reference = next(level for edge in members for level in edge.levels if repr(level) == centre)
    return Setting(key, _under(members[0]), reference, pairs)


def _turned(edge: Edge, first: str = "", last: str = "") -> Edge:
    if repr(edge.levels[0]) == first or repr(edge.levels[1]) == last:
        return edge
    return replace(edge, one=edge.other, other=edge.one, levels=edge.levels[::-1])


def _same_reference(edges: Sequence[Edge]) -> list[Edge]:
    usual = Counter(repr(edge.levels[0]) for edge in edges).most_common(1)[0][0]
    return [edge for edge in edges if repr(edge.levels[0]) == usual]


def _once(edges: Sequence[Edge], base: Cell) -> list[Edge]:
    """Pairs that share no cell: nearest to the reference run first."""
    used: set[str] = set()
    kept = []
    near = sorted(edges, key=lambda edge: distance(edge.one, base) + distance(edge.other, base))
    for edge in near:
        if not {edge.one.name, edge.other.name} & used:
            used |= {edge.one.name, edge.other.name}
            kept.append(edge)
    return [edge for edge in edges if edge in kept]


def _effect(setting: Setting, ground: Ground) -> SettingEffect:
    noise, scale = ground.noise, ground.scale
    levels = sorted(setting.pairs, key=lambda level: _order(setting.pairs[level][0].levels[1]))
    cells = [[(edge.one, edge.other) for edge in setting.pairs[level]] for level in levels]
    differences = [mean_of_pairs(pairs) for pairs in cells]
    tested = together(differences, noise)
    contrasts = tuple(
        _contrast(setting.pairs[level], one, ground) for level, one in zip(levels, tested, strict=True)
    )
    call = call_of_all([item.call for item in contrasts])
    more = _more(call, differences, noise, scale)
    return SettingEffect(
        key=setting.key,
        label=axis(setting.key).label,
        under=setting.under,
        levels=_levels(setting),
        contrasts=contrasts,
        call=call,
        sentence=sentence(call, contrasts, noise, scale, more),
        no_larger_than=bound(contrasts) if call == NO_DIFFERENCE else None,
        more_runs=more,
        shape=_shape(setting, contrasts),
    )


def _more(call: str, differences: Sequence[Difference], noise: Noise, scale: Scale) -> int | None:
    """How many more runs would show the largest of the differences, if it really is so large."""
    sd = planning_sd(noise) if noise.sd is not None else scale.cautious_sd
    if call in DECIDED or not sd:
        return None
    return more_runs(differences, noise, sd, wanted([item.value for item in differences], scale))


def _contrast(edges: Sequence[Edge], tested: Tested, ground: Ground) -> Contrast:
    assert ground.base is not None
    pairs = tuple(
        MatchedPair(
            edge.one.name,
            edge.other.name,
            edge.one.mean,
            edge.other.mean,
            where(edge.one, ground.base, edge.key),
            edge.assumed,
        )
        for edge in edges
    )
    disagree = conflict([(edge.one, edge.other) for edge in edges], ground.noise)
    moved = [pair.difference for pair in pairs]
    return Contrast(
        reference=edges[0].levels[0],
        level=edges[0].levels[1],
        difference=tested.value,
        pairs=pairs,
        call=call_of(tested, ground.noise, ground.scale, moved, disagree),
        low=tested.low,
        high=tested.high,
        p=tested.p,
        conflict=disagree,
        holds_up_to=tested.holds_up_to,
    )


def _order(value: Any) -> tuple[int, float, str]:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return (0, float(value), "") if number else (1, 0.0, str(value))


def _levels(setting: Setting) -> tuple[Level, ...]:
    cells: dict[str, dict[str, Cell]] = defaultdict(dict)
    values: dict[str, Any] = {}
    for edges in setting.pairs.values():
        for edge in edges:
            for cell, value in zip((edge.one, edge.other), edge.levels, strict=True):
                cells[repr(value)][cell.name] = cell
                values[repr(value)] = value
    return tuple(
        Level(
            values[text],
            tuple(run.name for cell in cells[text].values() for run in cell.runs),
            mean(cell.mean for cell in cells[text].values()),
        )
        for text in sorted(values, key=lambda text: _order(values[text]))
    )


def _shape(setting: Setting, contrasts: Sequence[Contrast]) -> str:
    """How the score moves along a numeric setting, from the differences to the reference level."""
    same = all(repr(item.reference) == repr(setting.reference) for item in contrasts)
    height = {repr(setting.reference): 0.0, **{repr(item.level): item.difference for item in contrasts}}
    values = [setting.reference, *(item.level for item in contrasts)]
    if not same or len(values) < 3 or any(_order(value)[0] for value in values):
        return ""
    heights = [height[repr(value)] for value in sorted(values)]
    if heights == sorted(heights):
        return "rising"
    if heights == sorted(heights, reverse=True):
        return "falling"
    top = max(sorted(values), key=lambda value: height[repr(value)])
    return f"highest at {show(top)}"


def _surviving(made: Sequence[SettingEffect]) -> list[SettingEffect]:
    """Mark the calls that stand when all settings are one family (Holm's method)."""
    smallest = {
        number: min(item.p for item in one.contrasts if item.p is not None)
        for number, one in enumerate(made)
        if any(item.p is not None for item in one.contrasts)
    }
    alive: set[int] = set()
    for rank, number in enumerate(sorted(smallest, key=smallest.__getitem__)):
        if smallest[number] > LEVEL / (len(smallest) - rank):
            break
        alive.add(number)
    return [
        replace(one, survives_all=number in alive and one.call not in (NOT_DECIDED, NO_DIFFERENCE))
        for number, one in enumerate(made)
    ]
