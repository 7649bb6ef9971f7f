"""What each setting does: the mean over matched pairs, level by level, and what it may be called."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from lora_lab.axes import show_setting
from lora_lab.verdict.analysis import Analysis
from lora_lab.verdict.calls import Pairs, bound, call_of, call_of_all, sentence, wanted
from lora_lab.verdict.cells import LEVEL, Cell, Edge, distance, owner, where
from lora_lab.verdict.contrasts import Tested, conflict, independent, mean_of_pairs, together
from lora_lab.verdict.power import more_runs
from lora_lab.verdict.result import (
    DEPENDS,
    HELPS,
    HURTS,
    INTERACTS,
    MIXED,
    NO_DIFFERENCE,
    NOT_DECIDED,
    Contrast,
    Interaction,
    Level,
    MatchedPair,
    Noise,
    SettingEffect,
)
from lora_lab.words import named

Under = tuple[str, Any] | None
Crossing = frozenset[tuple[str, str, str]]
"""Changes of a setting that a called interaction is about: key, reference level, other level."""
DECIDED = (HELPS, HURTS, MIXED, DEPENDS, NO_DIFFERENCE)


@dataclass(frozen=True)
class Setting:
    """A setting with the matched pairs that say something of it, by the level that is not the reference."""

    key: str
    under: Under
    reference: Any
    pairs: dict[str, list[Edge]]
    """By the level's text; in every edge `one` has the reference level of that contrast."""


def effects(analysis: Analysis, interactions: Sequence[Interaction] = ()) -> tuple[SettingEffect, ...]:
    """The effect of every setting that some pair of cells differs in alone; most pairs first.

    Args:
        interactions: Those that were found: a setting that acts both ways in a called one depends.
    """
    if analysis.base is None:
        return ()
    grouped: dict[tuple[str, str], list[Edge]] = defaultdict(list)
    for edge in analysis.edges:
        grouped[edge.key, repr(_under(edge))].append(edge)
    known = [setting_of(key, members, analysis.base) for (key, _), members in grouped.items()]
    crossing = _crossing(interactions)
    made = [_effect(item, analysis, crossing) for item in known]
    made.sort(key=lambda item: (-sum(len(one.pairs) for one in item.contrasts), item.key))
    return tuple(_surviving(made, analysis.noise))


def _crossing(interactions: Sequence[Interaction]) -> Crossing:
    return frozenset(
        (key, repr(low), repr(high))
        for item in interactions
        if item.call == INTERACTS
        for key, low, high in (item.one, item.other)
    )


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


def _effect(setting: Setting, analysis: Analysis, crossing: Crossing) -> SettingEffect:
    noise, scale = analysis.noise, analysis.scale
    levels = sorted(setting.pairs, key=lambda level: _order(setting.pairs[level][0].levels[1]))
    parted = {level: _independent(setting.pairs[level]) for level in levels}
    seen = [level for level in levels if parted[level]]
    looks = {
        level: analysis.look(setting.key, setting.under, setting.pairs[level][0].levels) for level in levels
    }
    differences = [mean_of_pairs(parted[level]) for level in seen]
    level_now = LEVEL / max((looks[level] for level in seen), default=1) ** 2
    tested = dict(zip(seen, together(differences, noise, level_now) if seen else [], strict=True))
    contrasts = tuple(
        _contrast(setting, level, parted[level], tested.get(level), (analysis, crossing, looks[level]))
        for level in levels
    )
    call = call_of_all([item.call for item in contrasts])
    more = None
    if call not in DECIDED and seen and noise.single and not any(item.conflicting for item in contrasts):
        more = more_runs(differences, noise, wanted([item.value for item in differences], scale), level_now)
    return SettingEffect(
        key=setting.key,
        label=named(setting.key),
        under=setting.under,
        levels=_levels(setting),
        contrasts=contrasts,
        call=call,
        sentence=sentence(setting.key, contrasts, call, noise, scale, more),
        no_larger_than=bound(contrasts) if call == NO_DIFFERENCE else None,
        more_runs=more.total if more else None,
        repeat=more.runs if more else {},
        shape=_shape(setting, contrasts),
    )


def _independent(edges: Sequence[Edge]) -> list[tuple[Cell, Cell]]:
    """The pairs with what does not share a training; those of which nothing is left are out."""
    found = (independent(edge.one, edge.other) for edge in edges)
    return [pair for pair in found if pair is not None]


def _contrast(
    setting: Setting,
    level: str,
    cells: Sequence[tuple[Cell, Cell]],
    tested: Tested | None,
    context: tuple[Analysis, Crossing, int],
) -> Contrast:
    analysis, crossing, look = context
    edges = setting.pairs[level]
    assert analysis.base is not None
    base = analysis.base
    pairs = tuple(
        MatchedPair(
            edge.one.name, edge.other.name, edge.one.mean, edge.other.mean,
            where(edge.one, base, edge.key), edge.assumed,
        )
        for edge in edges
    )  # fmt: skip
    reference, value = edges[0].levels
    if tested is None:
        shown = mean(pair.difference for pair in pairs)
        return Contrast(reference, value, shown, pairs, NOT_DECIDED, same_training=True, look=look)
    said = _pairs(cells, analysis, (setting.key, repr(reference), repr(value)) in crossing)
    call = call_of(tested, analysis.noise, analysis.scale, said)
    return Contrast(
        reference=reference,
        level=value,
        difference=tested.value,
        pairs=pairs,
        call=call,
        low=tested.low,
        high=tested.high,
        p=min(1.0, 2 * min(tested.p or 1.0, said.conflict or 1.0)) if call == DEPENDS else tested.p,
        conflict=said.conflict,
        holds_up_to=tested.holds_up_to,
        conflicting=said.conflicting,
        once=_once_only(cells, call),
        look=look,
    )


def _once_only(cells: Sequence[tuple[Cell, Cell]], call: str) -> bool:
    """Whether a side of the comparison was run once; of effects that cross, a side of any pair."""
    if call == DEPENDS:
        return any(cell.n < 2 for pair in cells for cell in pair)
    sides: list[tuple[Cell, ...]] = list(zip(*cells, strict=True))
    return min(sum(cell.n for cell in side) for side in sides) < 2


def _pairs(cells: Sequence[tuple[Cell, Cell]], analysis: Analysis, interacts: bool) -> Pairs:
    """What matched pairs say one by one, each with its own error."""
    noise, scale = analysis.noise, analysis.scale
    values = tuple(other.mean - one.mean for one, other in cells)
    each = [together([mean_of_pairs([pair])], noise, 2 * LEVEL)[0] for pair in cells]
    inside = all(
        item.low is not None and item.high is not None and max(-item.low, item.high) <= scale.relevant
        for item in each
    ) and not any(one.at_the_end and other.at_the_end for one, other in cells)
    errors = tuple(item.error for item in each if item.error is not None)
    return Pairs(
        values,
        errors if len(errors) == len(values) else (),
        inside or not noise.tested,
        conflict(cells, noise),
        interacts,
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
    return f"highest at {show_setting(setting.key, top)}"


def _surviving(made: Sequence[SettingEffect], noise: Noise) -> list[SettingEffect]:
    """Mark the calls that stand when all settings are one family (Holm's method).

    A level that was run once has no such mark, unless enough settings were repeated and vary alike: how much
    it varies itself is not known.
    """
    smallest = {
        number: min(item.p * item.look**2 for item in one.contrasts if item.p is not None)
        for number, one in enumerate(made)
        if any(item.p is not None for item in one.contrasts)
    }
    alive: dict[int, float] = {}
    for rank, number in enumerate(sorted(smallest, key=smallest.__getitem__)):
        limit = LEVEL / (len(smallest) - rank)
        if smallest[number] > limit:
            break
        alive[number] = limit
    return [_marked(one, alive.get(number), noise) for number, one in enumerate(made)]


def _marked(one: SettingEffect, limit: float | None, noise: Noise) -> SettingEffect:
    def star(item: Contrast) -> bool:
        if limit is None or item.p is None or item.call in (NOT_DECIDED, NO_DIFFERENCE):
            return False
        return item.p * item.look**2 <= LEVEL and (not item.once or noise.alike)

    contrasts = tuple(replace(item, star=star(item)) for item in one.contrasts)
    return replace(one, contrasts=contrasts, survives_all=any(item.star for item in contrasts))
