"""A sweep as the report tells it: its runs with their records, and the one to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lora_lab.effective import differing
from lora_lab.plots import Subject
from lora_lab.report.words import Words
from lora_lab.store import Checkpoint, RunFolder, RunRecord, SweepFolder
from lora_lab.store.table import state
from lora_lab.verdict.evidence import Evidence, RunEvidence
from lora_lab.verdict.judge import judge
from lora_lab.verdict.result import Verdict


@dataclass(frozen=True)
class Told:
    """All that the report is made of."""

    subject: Subject
    verdict: Verdict
    records: Mapping[str, RunRecord]
    words: Words

    @property
    def evidence(self) -> Evidence:
        """What the verdict rests on."""
        return self.subject.evidence

    @property
    def folder(self) -> SweepFolder:
        """The sweep's folder."""
        return self.subject.folder

    @cached_property
    def reference(self) -> RunEvidence:
        """The run that the others are compared with: the verdict's, else the first one."""
        own = self.evidence.own
        return next((run for run in own if run.name == self.verdict.reference), own[0])

    def changes(self, run: RunEvidence) -> dict[str, Any]:
        """The acting settings in which a run differs from the reference, with its values."""
        return {key: values[1] for key, values in differing(self.reference.settings, run.settings).items()}

    def origin(self, run: RunEvidence) -> RunFolder:
        """The folder of the run that did the work."""
        recorded = self.records[run.name].same_as
        return self.folder.run(recorded if recorded in self.records else run.same_as or run.name)

    def shown(self, run: RunEvidence) -> Checkpoint | None:
        """The checkpoint whose pictures stand for a run: the judged one, else the last with pictures."""
        record = self.records[self.origin(run).name]
        chosen = record.checkpoint(run.chosen) if run.chosen else None
        if chosen and chosen.previews:
            return chosen
        return next((item for item in reversed(record.checkpoints) if item.previews), chosen)

    def trouble(self, run: RunEvidence) -> str:
        """What went wrong with a run, in its own words; '' where nothing did."""
        if run.status in ("failed", "diverged", "cancelled"):
            return run.reason or self.words.say(f"status_{run.status}")
        return run.missing if run.usable is False else ""

    def at(self, checkpoint: Checkpoint | None) -> str:
        """Where a checkpoint stands in the training."""
        if checkpoint is None:
            return ""
        if checkpoint.tag.startswith("step"):
            return self.words.say("checkpoint_step", step=checkpoint.step)
        return self.words.say("checkpoint", epoch=checkpoint.epoch)


def tell(subject: Subject, language: str) -> Told:
    """Gather what a report tells."""
    records = {run.name: state(subject.folder.run(run.name)) for run in subject.evidence.runs}
    words = Words(language, subject.evidence.criterion)
    return Told(subject, judge(subject.evidence), records, words)
