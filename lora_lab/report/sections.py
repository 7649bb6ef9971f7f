"""The report section by section: what stands in its tables and lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lora_lab import config
from lora_lab.axes import show_setting
from lora_lab.plots.subject import varied
from lora_lab.report.images import Album, Tile
from lora_lab.report.runs import ReportData
from lora_lab.report.side_by_side import thumbnail
from lora_lab.verdict.evidence import SCORE, RunEvidence

ALWAYS_SHOWN = (
    "base_model.path",
    "dataset.path",
    "dataset.repeats",
    "dataset.resolution",
    "network.type",
    "network.network_dim",
    "network.network_alpha",
    "optimizer.name",
    "optimizer.learning_rate",
    "lr_scheduler.name",
    "train.max_train_epochs",
    "train.train_batch_size",
    "train.mixed_precision",
)
"""Settings that everybody asks for first."""


@dataclass(frozen=True)
class Setting:
    """A setting with its value, for a list."""

    label: str
    key: str
    value: str


def fixed(data: ReportData) -> tuple[list[Setting], list[Setting]]:
    """The settings that all runs share: those that say something, and all."""
    own = [run for run in data.evidence.own if run.settings]
    if not own:
        return [], []
    differ, defaults = set(varied(own)), config.settings()
    same = [key for key in own[0].settings if key not in differ and all(key in run.settings for run in own)]
    values = own[0].settings
    everything = [
        Setting(data.words.label(key), key, show_setting(key, values[key]))
        for key in sorted(same, key=_order)
    ]
    chosen = [
        item
        for item in everything
        if item.key in ALWAYS_SHOWN
        or (item.key in defaults and _telling(values[item.key], defaults[item.key].default))
    ]
    return chosen, everything


def _telling(value: Any, default: Any) -> bool:
    """Whether a value was chosen, and is not what everybody has."""
    return value not in (None, "", default) and not (value is False and default is None)


def _order(key: str) -> tuple[int, str]:
    usual = ALWAYS_SHOWN.index(key) if key in ALWAYS_SHOWN else len(ALWAYS_SHOWN)
    return usual, key


@dataclass(frozen=True)
class Pattern:
    """One row of the table of all runs."""

    run: str
    changes: str
    score: str
    raters: str
    mean: str
    status: str
    bad: bool
    epochs: str
    minutes: str
    note: str
    tile: Tile | None


def patterns(data: ReportData, album: Album) -> list[Pattern]:
    """All runs, those that are another one's experiment included."""
    return [_pattern(data, run, album) for run in data.evidence.runs]


def _pattern(data: ReportData, run: RunEvidence, album: Album) -> Pattern:
    words, checkpoint = data.words, run.checkpoint(run.chosen)
    raters = len(checkpoint.raters) if checkpoint else 0
    return Pattern(
        run.name,
        _changes(data, run),
        words.number(run.score),
        words.say("raters_of", n=raters) if raters else "",
        data.mean(run),
        words.say(f"status_{run.status}"),
        run.status in ("failed", "diverged"),
        str(checkpoint.epoch) if checkpoint and checkpoint.epoch is not None else "",
        f"{run.train_minutes:.1f}" if run.train_minutes and not run.same_as else "",
        _note(data, run),
        None if run.same_as else thumbnail(data, run, album),
    )


def _changes(data: ReportData, run: RunEvidence) -> str:
    if run.name == data.reference.name:
        return data.words.say("changes_none")
    changes = data.changes(run)
    if changes or run.same_as:
        return data.words.changed(changes)
    return data.words.say("seed_only")


def _note(data: ReportData, run: RunEvidence) -> str:
    words = data.words
    if run.same_as:
        reasons = "; ".join(dict.fromkeys(item.reason for item in run.inert))
        key = "same_as" if reasons else "same_as_plain"
        return words.say(key, run=run.same_as, reason=reasons)
    flags = {flag for item in run.checkpoints[-1:] for flag in item.flags}
    return words.listed(filter(None, [data.trouble(run), *sorted(flags)]))


@dataclass(frozen=True)
class Failure:
    """A run that did not end with usable images."""

    run: str
    status: str
    reason: str
    changes: str


def failures(data: ReportData) -> list[Failure]:
    """Runs that failed, diverged, were stopped, or show nothing."""
    return [
        Failure(run.name, data.words.say(f"status_{run.status}"), _note(data, run), _changes(data, run))
        for run in data.evidence.own
        if run.usable is False or run.status in ("cancelled", "stopped")
    ]


@dataclass(frozen=True)
class CourseRow:
    """How one run went on along its checkpoints."""

    run: str
    best: str
    score: str
    said: str


def courses(data: ReportData) -> list[CourseRow]:
    """One row per run with several scored checkpoints."""
    found = []
    for item in data.verdict.courses:
        record = data.worker(data.evidence.run(item.run)).record
        top = next((score for tag, _, score in item.points if tag == item.best), None)
        found.append(
            CourseRow(
                item.run,
                data.at(record.checkpoint(item.best)),
                data.words.number(top),
                data.words.say(f"course_{item.call}"),
            )
        )
    return found


@dataclass(frozen=True)
class RaterRow:
    """One rater in numbers."""

    name: str
    judgements: int
    level: str
    spread: str
    repeats: int
    repeat_sd: str
    drift: str


def raters(data: ReportData) -> list[RaterRow]:
    """Everybody who scored."""
    words = data.words
    return [
        RaterRow(
            item.name,
            item.judgements,
            words.number(item.level, signed=True),
            words.number(item.spread),
            item.repeats,
            words.number(item.repeat_sd) if item.repeats else words.number(None),
            words.number(item.drift, signed=True),
        )
        for item in data.evidence.raters
    ]


def judged(data: ReportData) -> list[str]:
    """How scores came about and what counts as a difference, in sentences."""
    words, found = data.words, []
    if data.evidence.criterion == SCORE:
        log = data.subject.sweep.scores()
        sessions = {item.session for item in log.scores if item.session in log.sessions}
        entered = sum(item.session not in log.sessions for item in log.scores)
        found += [words.say("judged_blind", n=len(sessions))] if sessions else []
        found += [words.say("judged_entered", n=entered)] if entered else []
    rule = data.evidence.rule
    key = f"rule_{rule}" if rule in ("last", "best") else "rule_tag"
    found.append(words.say(key, tag=rule))
    if data.verdict.comparisons:
        relevant = words.number(data.verdict.relevant)
        found.append(words.say("relevant", value=relevant, n=data.verdict.comparisons))
    return found


@dataclass(frozen=True)
class AgreementRow:
    """How well one automatic metric orders the runs as people do."""

    metric: str
    correlation: str
    range: str
    runs: int


def agreement(data: ReportData) -> list[AgreementRow]:
    """The metrics, the best first."""
    minus = "−"
    return [
        AgreementRow(
            item.metric,
            f"{item.rho:.2f}".replace("-", minus),
            data.words.say("interval", low=f"{item.low:.2f}", high=f"{item.high:.2f}").replace("-", minus),
            item.runs,
        )
        for item in data.verdict.agreement
    ]


def versions(data: ReportData) -> tuple[list[str], list[str]]:
    """Devices, and packages with their versions as the runs recorded them."""
    devices: Counter[str] = Counter()
    packages: dict[str, set[str]] = {}
    for record in data.records:
        devices.update([record.device] if record.device else [])
        for name, version in record.versions.items():
            packages.setdefault(name, set()).add(version)
    shown = [f"{name} {' / '.join(sorted(found))}" for name, found in sorted(packages.items())]
    return [name for name, _ in devices.most_common()], shown


def period(data: ReportData) -> tuple[str, str]:
    """The first and the last day of training, or two empty texts."""
    starts = sorted(record.started_at for record in data.records if record.started_at)
    ends = sorted(record.finished_at for record in data.records if record.finished_at)
    return (starts[0][:10] if starts else ""), (ends[-1][:10] if ends else "")


def total_minutes(runs: Sequence[RunEvidence]) -> float:
    """The training time of all experiments."""
    return sum(run.train_minutes or 0.0 for run in runs)
