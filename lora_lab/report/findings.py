"""What the verdict found, in the words of the report's language."""

from __future__ import annotations

from dataclasses import dataclass

from lora_lab.axes import show_apart, show_setting
from lora_lab.report.runs import ReportData
from lora_lab.verdict.lines import looked, noise_text, noise_warnings, scale_of
from lora_lab.verdict.result import (
    DEPENDS,
    NO_DIFFERENCE,
    NOT_DECIDED,
    UNMEASURED,
    Contrast,
    Interaction,
    SettingEffect,
)
from lora_lab.words import change_of, said


@dataclass(frozen=True)
class Change:
    """One value of a setting against the reference value."""

    change: str
    difference: str
    range: str
    compared: str
    finding: str
    call: str


@dataclass(frozen=True)
class Finding:
    """What is said of one setting: the call, why, and the changes it rests on."""

    key: str
    title: str
    call: str
    said: str
    support: str
    changes: tuple[Change, ...]


def findings(data: ReportData) -> list[Finding]:
    """One per setting, in the verdict's order."""
    return [_finding(data, effect) for effect in data.verdict.settings]


def _finding(data: ReportData, effect: SettingEffect) -> Finding:
    words = data.words
    title = words.label(effect.key)
    if effect.under:
        title = words.say("under_title", label=title, value=show_setting(*effect.under))
    return Finding(
        effect.key,
        title,
        effect.call,
        words.say(f"finding_{effect.call}"),
        words.listed(_support(data, effect)),
        tuple(_change(data, effect.key, item) for item in effect.contrasts),
    )


def _support(data: ReportData, effect: SettingEffect) -> list[str]:
    """The decided changes with their size, else what it would take; and how far it can be relied on."""
    words = data.words
    decided = [item for item in effect.contrasts if item.call not in (NO_DIFFERENCE, NOT_DECIDED)]
    found = [f"{_said(data, effect.key, item)}{_colon(data)}{_by_pair(data, item)}" for item in decided]
    if effect.call == NO_DIFFERENCE and effect.no_larger_than is not None:
        found.append(words.say("no_larger", value=words.number(effect.no_larger_than)))
    if effect.call == NOT_DECIDED:
        found += [
            f"{_said(data, effect.key, item)}{_colon(data)}{_by_pair(data, item)}"
            for item in effect.contrasts[:3]
        ]
        if effect.more_runs:
            found.append(words.say("more_runs", n=effect.more_runs))
    if data.verdict.noise.source == UNMEASURED and decided:
        limit = min(item.holds_up_to for item in decided)
        found.append(words.say("holds", value=words.number(limit)))
    return found


def _colon(data: ReportData) -> str:
    return "：" if data.words.language == "ja" else ": "


def _said(data: ReportData, key: str, item: Contrast) -> str:
    return data.words.text(change_of(key, item.reference, item.level))


def _by_pair(data: ReportData, item: Contrast) -> str:
    """The difference; where it depends on other settings, each pair's."""
    words = data.words
    if item.call != DEPENDS:
        return words.number(item.difference, signed=True)
    each = []
    for pair in item.pairs:
        run = data.evidence.run(pair.reference)
        others = {key: value for key, value in data.changes(run).items() if pair.where}
        where = words.say("with", settings=words.changed(others)) if others else words.say("as_reference")
        each.append(f"{words.number(pair.difference, signed=True)} {where}")
    return words.listed(each)


def _change(data: ReportData, key: str, item: Contrast) -> Change:
    words = data.words
    low, high = (words.number(end, signed=True) for end in (item.low, item.high))
    count = len(item.pairs)
    return Change(
        _said(data, key, item),
        words.number(item.difference, signed=True),
        words.say("unmeasured") if item.low is None else words.say("interval", low=low, high=high),
        words.say("pair") if count == 1 else words.say("pairs", n=count),
        words.say(f"finding_{item.call}"),
        item.call,
    )


def interaction(data: ReportData, item: Interaction) -> str:
    """One combination of two settings in a sentence."""
    words = data.words
    start, one, other, both = item.scores
    low, high = show_apart(item.other[0], item.other[1:])
    return words.say(
        "interaction",
        one=words.label(item.one[0]),
        change=change_of(*item.one),
        without=words.number(one - start, signed=True),
        other=words.label(item.other[0]),
        low=low,
        with_=words.number(both - other, signed=True),
        high=high,
    )


def noise(data: ReportData) -> list[str]:
    """How far chance moves a score, how that is known, and how often these scores were looked at."""
    verdict = data.verdict
    scale = scale_of(verdict)
    lines = [noise_text(verdict.noise, scale), *noise_warnings(verdict.noise, scale)]
    return [*map(data.words.text, [*lines, *(looked(verdict) or [said("look_first")])])]
