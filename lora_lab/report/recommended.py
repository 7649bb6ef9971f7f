"""The settings to copy, as a command, as a sweep file and whole."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import yaml

from lora_lab import config
from lora_lab.report.findings import findings
from lora_lab.report.runs import ReportData
from lora_lab.store.table import PLACE
from lora_lab.verdict.evidence import RunEvidence
from lora_lab.verdict.result import HELPS, HURTS, SEEMS_TO_HELP, SEEMS_TO_HURT

OF_MACHINES = (*PLACE, "device")
"""Settings that say where a run was done, not what was done."""


@dataclass(frozen=True)
class Copied:
    """A run's settings in the forms in which they can be used again, and why these."""

    run: str
    lines: tuple[str, ...]
    reasons: tuple[str, ...]
    file: str
    export: str
    command: str
    sweep_file: str
    whole: str


def copied(data: ReportData) -> Copied | None:
    """The recommended run; None without a recommendation."""
    advice = data.verdict.recommendation
    if advice is None:
        return None
    run = data.evidence.run(advice.run)
    checkpoint = run.checkpoint(advice.tag)
    return Copied(
        run.name,
        tuple(_lines(data, run)),
        tuple(_reasons(data, run)),
        checkpoint.file if checkpoint else "",
        f"lora-lab export {data.folder.name} {run.name}:{advice.tag}",
        shlex.join(["lora-lab", "train", *run.overrides]),
        yaml.safe_dump({"base": list(run.overrides)}, allow_unicode=True, sort_keys=False, width=100),
        _whole(data, run),
    )


def _lines(data: ReportData, run: RunEvidence) -> list[str]:
    advice, words = data.verdict.recommendation, data.words
    assert advice is not None
    at = data.at(data.worker(run).record.checkpoint(advice.tag))
    lines = [words.say("recommended_text", run=run.name, checkpoint=at, score=words.number(advice.score))]
    changes = data.changes(run)
    differs = words.say(
        "recommended_differs", reference=data.reference.name, overrides=words.changed(changes)
    )
    lines.append(differs if changes else words.say("recommended_reference"))
    if advice.best != run.name:
        lines.append(words.say("recommended_cheaper", best=advice.best, run=run.name))
    if advice.rivals:
        lines.append(words.say("recommended_rivals", rivals=words.listed(advice.rivals)))
    return lines


def _reasons(data: ReportData, run: RunEvidence) -> list[str]:
    """The decided findings that speak for a setting of the run."""
    found = []
    for effect, finding in zip(data.verdict.settings, findings(data), strict=True):
        value = run.settings.get(effect.key)
        for item, change in zip(effect.contrasts, finding.changes, strict=True):
            better = item.level if item.call in (HELPS, SEEMS_TO_HELP) else item.reference
            decided = item.call in (HELPS, HURTS, SEEMS_TO_HELP, SEEMS_TO_HURT)
            if decided and value == better:
                found.append(
                    data.words.say(
                        "reason_for",
                        title=finding.title,
                        change=change.change,
                        difference=change.difference,
                        finding=change.finding,
                    )
                )
    return found


def _whole(data: ReportData, run: RunEvidence) -> str:
    own = data.subject.sweep.runs[run.name]
    if own.config is None:
        return own.problem
    values = config.as_dict(own.config)
    kept = {key: value for key, value in values.items() if key not in OF_MACHINES}
    return yaml.safe_dump(kept, allow_unicode=True, sort_keys=False, width=100)
