"""What differences are called, and the sentence that says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lora_lab.axes import show
from lora_lab.verdict.cells import LEVEL
from lora_lab.verdict.contrasts import Tested
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

CAUTIOUS_SD = 8.0
"""Run-to-run standard deviation, in points of 100, that is reckoned with where none was measured.

It is a guess on the safe side. A difference that would be called even then is said to "seem" to be there.
"""
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

    @property
    def cautious_sd(self) -> float | None:
        """The run-to-run variation to reckon with where none was measured; None where nothing is known."""
        return CAUTIOUS_SD if self.of_100 else None


def call_of(
    tested: Tested, noise: Noise, scale: Scale, pairs: Sequence[float] = (), conflict: float | None = None
) -> str:
    """What one difference is called.

    Args:
        pairs: The differences of the matched pairs that it is the mean of.
        conflict: How likely they disagree this much by chance. If they do, and some say better and some
            worse, a call that is made anyway is `DEPENDS`.
    """
    better = tested.value > 0
    if noise.sd is None:
        cautious = scale.cautious_sd
        disagree = any((value > 0) != better for value in pairs)
        if cautious is None or tested.holds_up_to < cautious or not tested.value or disagree:
            return NOT_DECIDED
        return SEEMS_TO_HELP if better else SEEMS_TO_HURT
    if tested.significant:
        both_ways = len({value > 0 for value in pairs}) > 1
        if both_ways and conflict is not None and conflict < LEVEL:
            return DEPENDS
        return HELPS if better else HURTS
    assert tested.low is not None and tested.high is not None
    narrow = max(-tested.low, tested.high) <= scale.relevant and noise.df >= FEWEST_DF
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


def sentence(call: str, contrasts: Sequence[Contrast], noise: Noise, scale: Scale, more: int | None) -> str:
    """The call of a setting in plain English."""
    if call == NO_DIFFERENCE:
        return f"no difference larger than {points(bound(contrasts), scale, signed=False)}{scale.unit}"
    if call == NOT_DECIDED:
        return _not_decided(contrasts, noise, scale, more)
    told = [item for item in contrasts if item.call not in (NO_DIFFERENCE, NOT_DECIDED)]
    text = "; ".join(_told(item, scale) for item in told)
    if noise.source != UNMEASURED:
        return text
    limit = points(min(item.holds_up_to for item in told), scale, signed=False)
    return f"{text}; holds if repeating a run moves its score by less than {limit}{scale.unit} (sd)"


def bound(contrasts: Sequence[Contrast]) -> float:
    """The largest difference that the intervals allow."""
    return max(
        max(-item.low, item.high) for item in contrasts if item.low is not None and item.high is not None
    )


def _told(item: Contrast, scale: Scale) -> str:
    change = f"{show(item.reference)} -> {show(item.level)}"
    text = "depends" if item.call == DEPENDS else f"{item.call} ({points(item.difference, scale)})"
    if item.call == DEPENDS or (item.conflict is not None and item.conflict < LEVEL):
        text += ": " + ", ".join(f"{points(pair.difference, scale)} {place(pair)}" for pair in item.pairs)
    return f"{change} {text}"


def place(pair: MatchedPair) -> str:
    """Where a matched pair stands, in words."""
    return f"with {pair.where}" if pair.where else "with the reference settings"


def wanted(differences: Sequence[float], scale: Scale) -> float:
    """The difference that more runs should show: the one that was seen, or at least what is relevant."""
    return max(scale.relevant, *map(abs, differences))


def _not_decided(contrasts: Sequence[Contrast], noise: Noise, scale: Scale, more: int | None) -> str:
    largest = max((item.difference for item in contrasts), key=abs)
    if abs(largest) > scale.relevant:
        what = f"if it really is {points(largest, scale)}, about {more} more runs would show it"
    else:
        what = f"about {more} more runs would find {points(scale.relevant, scale, signed=False)}{scale.unit}"
    if noise.source != UNMEASURED:
        return f"not decided: {what if more else 'runs differ too much by themselves'}"
    text = "not decided: run-to-run variation not measured"
    return f"{text}; {what}" if more else text
