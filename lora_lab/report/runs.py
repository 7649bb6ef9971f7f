"""A sweep as the report tells it: its runs with their records, and the one to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from lora_lab.effective import differing
from lora_lab.plots import Subject
from lora_lab.report.words import Words
from lora_lab.store import Checkpoint, RunRecord, SweepFolder
from lora_lab.store.reading import Run
from lora_lab.verdict.evidence import Evidence, RunEvidence
from lora_lab.verdict.result import Verdict
from lora_lab.verdict.taken import take
from lora_lab.words import stage


@dataclass(frozen=True)
class ReportData:
    """All that the report is made of."""

    subject: Subject
    verdict: Verdict
    words: Words

    @property
    def evidence(self) -> Evidence:
        """What the verdict rests on."""
        return self.subject.evidence

    @property
    def folder(self) -> SweepFolder:
        """The sweep's folder."""
        return self.subject.folder

    @property
    def records(self) -> list[RunRecord]:
        """What the runs recorded."""
        return [run.record for run in self.subject.sweep.runs.values()]

    @cached_property
    def reference(self) -> RunEvidence:
        """The run that the others are compared with: the verdict's, else the first one."""
        own = self.evidence.own
        return next((run for run in own if run.name == self.verdict.reference), own[0])

    def changes(self, run: RunEvidence) -> dict[str, Any]:
        """The acting settings in which a run differs from the reference, with its values."""
        return {key: values[1] for key, values in differing(self.reference.settings, run.settings).items()}

    def worker(self, run: RunEvidence) -> Run:
        """The run that did the work."""
        return self.subject.sweep.runs[run.same_as or run.name].worker

    def shown(self, run: RunEvidence) -> Checkpoint | None:
        """The checkpoint whose images stand for a run: the judged one, else the last with images."""
        record = self.worker(run).record
        chosen = record.checkpoint(run.chosen) if run.chosen else None
        if chosen and chosen.previews:
            return chosen
        return next((item for item in reversed(record.checkpoints) if item.previews), chosen)

    def mean(self, run: RunEvidence) -> str:
        """What is compared where a run was repeated with other seeds: the mean of all of them, in words."""
        own = [one for one in self.evidence.scored if one.group == run.group]
        if run.score is None or len(own) < 2:
            return ""
        return self.words.say(
            "mean_of", n=len(own), mean=self.words.number(fmean(one.score or 0.0 for one in own))
        )

    def trouble(self, run: RunEvidence) -> str:
        """What went wrong with a run, in its own words; '' where nothing did."""
        if run.status in ("failed", "diverged", "cancelled", "stopped"):
            return run.reason or self.words.say(f"status_{run.status}")
        return self.words.text(run.missing) if run.usable is False else ""

    def at(self, checkpoint: Checkpoint | None) -> str:
        """Where a checkpoint stands in the training."""
        return self.words.text(stage(checkpoint.tag)) if checkpoint else ""


def report_data(subject: Subject, language: str) -> ReportData:
    """Gather what a report tells."""
    return ReportData(
        subject, take(subject.folder, subject.evidence), Words(language, subject.evidence.criterion)
    )
