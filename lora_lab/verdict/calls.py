"""What differences are called, and the sentence that says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lora_lab.verdict.cells import LEVEL
from lora_lab.verdict.contrasts import Tested
from lora_lab.verdict.power import More
from lora_lab.verdict.result import (
    DEPENDS,
    HELPS,
    HURTS,
    MIXED,
    NO_DIFFERENCE,
    NOT_DECIDED,
    SEEMS_MIXED,
    SEEMS_TO_HELP,
    SEEMS_TO_HURT,
    UNMEASURED,
    Contrast,
    MatchedPair,
    Noise,
)
from lora_lab.words import Said, change_of, joined, said

FEWEST_DF = 4
"""Degrees of freedom of the noise floor that "no difference" needs: a few replicates may be alike by luck."""
RELEVANT = 10.0
"""Points of 100 that are worth knowing of, unless the user says otherwise."""


@dataclass(frozen=True)
class Scale:
    """The numbers that runs are judged by: whether they are points of 100, and what difference matters."""

    relevant: float
    of_100: bool
    unit: str


@dataclass(frozen=True)
class Pairs:
    """What the matched pairs behind a difference say one by one.

    Attributes:
        values: Their differences; `errors` are the standard errors of these, none where nothing is known.
        inside: Whether each of them is shown to lie within what is relevant.
        conflict: How likely they disagree this much by chance.
        interacts: Whether a called interaction says that the setting acts in both directions.
    """

    values: tuple[float, ...] = ()
    errors: tuple[float, ...] = ()
    inside: bool = True
    conflict: float | None = None
    interacts: bool = False

    @property
    def both_ways(self) -> bool:
        """Whether some pair is better and some worse, each by more than its standard error."""
        if not self.errors:
            return len({value > 0 for value in self.values}) > 1
        signs = {
            value > 0 for value, error in zip(self.values, self.errors, strict=True) if abs(value) > error
        }
        return len(signs) > 1

    @property
    def conflicting(self) -> bool:
        """Whether they disagree beyond chance."""
        return self.interacts or (self.conflict is not None and self.conflict < LEVEL)


def call_of(tested: Tested, noise: Noise, scale: Scale, pairs: Pairs = Pairs()) -> str:  # noqa: B008
    """What one difference is called.

    Effects that cross are `DEPENDS` whether or not their mean is 0: it may be 0 because they cancel. "No
    difference" needs every pair inside the margin.
    """
    better = tested.value > 0
    if not noise.tested:
        disagree = any((value > 0) != better for value in pairs.values)
        if not tested.beyond or not tested.value or disagree:
            return NOT_DECIDED
        return SEEMS_TO_HELP if better else SEEMS_TO_HURT
    if pairs.conflicting and pairs.both_ways:
        return DEPENDS
    if tested.significant:
        return HELPS if better else HURTS
    if tested.low is None or tested.high is None or pairs.conflicting or not pairs.inside:
        return NOT_DECIDED
    narrow = max(-tested.low, tested.high) <= scale.relevant and tested.df >= FEWEST_DF
    return NO_DIFFERENCE if narrow else NOT_DECIDED


def call_of_all(calls: Sequence[str]) -> str:
    """What a setting is called for the calls of its levels; what is decided outweighs what is not."""
    if DEPENDS in calls:
        return DEPENDS
    up = {HELPS, SEEMS_TO_HELP} & set(calls)
    down = {HURTS, SEEMS_TO_HURT} & set(calls)
    if up and down:
        return MIXED if HELPS in up else SEEMS_MIXED
    if up or down:
        return (up or down).pop()
    return NO_DIFFERENCE if all(call == NO_DIFFERENCE for call in calls) else NOT_DECIDED


def points(value: float, scale: Scale, *, signed: bool = True) -> str:
    """A difference in words: -30, +2.5, 0.012."""
    sign = "+" if signed else ""
    if not scale.of_100:
        return f"{value:{sign}.3g}"
    text = f"{value:{sign}.1f}" if abs(value) < 9.95 else f"{value:{sign}.0f}"
    return text.removesuffix(".0")


def sentence(
    key: str, contrasts: Sequence[Contrast], call: str, noise: Noise, scale: Scale, more: More | None
) -> Said:
    """The call of a setting as a sentence."""
    if call == NO_DIFFERENCE:
        return said("no_larger", value=points(bound(contrasts), scale, signed=False), unit=scale.unit)
    if call == NOT_DECIDED:
        return _not_decided(contrasts, noise, scale, more)
    told = [item for item in contrasts if item.call not in (NO_DIFFERENCE, NOT_DECIDED)]
    text = joined((_told(key, item, scale) for item in told), "clauses")
    if noise.source != UNMEASURED:
        return text
    limit = points(min(item.holds_up_to for item in told), scale, signed=False)
    return said("holds_if", text=text, limit=limit, unit=scale.unit)


def bound(contrasts: Sequence[Contrast]) -> float:
    """The largest difference that the intervals allow."""
    return max(
        max(-item.low, item.high) for item in contrasts if item.low is not None and item.high is not None
    )


def _told(key: str, item: Contrast, scale: Scale) -> Said:
    change, pairs = change_of(key, item.reference, item.level), each_pair(item.pairs, scale)
    if item.call == DEPENDS:
        return said("call_depends_by", change=change, pairs=pairs)
    disagree = item.conflict is not None and item.conflict < LEVEL
    key = "call_by_pairs" if disagree else "call_by"
    moved = points(item.difference, scale)
    return said(key, change=change, call=said(f"call_{item.call}"), difference=moved, pairs=pairs)


def each_pair(pairs: Sequence[MatchedPair], scale: Scale) -> Said:
    """The difference of each matched pair, and where it stands."""
    return joined(
        said("pair_at", difference=points(pair.difference, scale), place=place(pair)) for pair in pairs
    )


def place(pair: MatchedPair) -> Said:
    """Where a matched pair stands."""
    return said("with_settings", settings=pair.where) if pair.where else said("with_reference")


def wanted(differences: Sequence[float], scale: Scale) -> float:
    """The difference that more runs should show: the one that was seen, or at least what is relevant."""
    return max(scale.relevant, *map(abs, differences))


def _not_decided(contrasts: Sequence[Contrast], noise: Noise, scale: Scale, more: More | None) -> Said:
    largest = max((item.difference for item in contrasts), key=abs)
    if all(item.same_training for item in contrasts):
        return said("undecided_one_training")
    if any(item.conflicting for item in contrasts):
        return said("undecided_conflict")
    if abs(largest) > scale.relevant:
        what = said("undecided_if", value=points(largest, scale), runs=total(more))
    else:
        relevant = points(scale.relevant, scale, signed=False)
        what = said("undecided_find", runs=total(more), value=relevant, unit=scale.unit)
    if noise.source != UNMEASURED:
        if more is None and any(item.low is not None for item in contrasts):
            largest_yet = points(bound(contrasts), scale, signed=False)
            what = said("undecided_bound", value=largest_yet, unit=scale.unit)
        return said("undecided", what=what)
    return said("undecided_unmeasured_more", what=what) if more else said("undecided_unmeasured")


def total(more: More | None) -> Said | str:
    """How many more runs, and of what; "" where that is not known."""
    if more is None:
        return ""
    if more.total == 1:
        return said("runs_one", run=next(iter(more.runs)))
    each = joined(said("runs_each", run=name, n=count) for name, count in more.runs.items())
    return said("runs_of", n=more.total, each=each)
