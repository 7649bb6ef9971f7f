"""What plots are made of: a sweep's evidence, judged by people's scores or, without them, by a metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lora_lab.effective import compare
from lora_lab.metrics.registry import LESS_IS_BETTER, stand_in
from lora_lab.store import SweepFolder
from lora_lab.store.reading import Sweep, read_sweep_folder
from lora_lab.verdict.evidence import SCORE, Evidence, RunEvidence
from lora_lab.verdict.gather import evidence


@dataclass(frozen=True)
class Subject:
    """A sweep as plots see it; `judged` tells whether any run has a number to be judged by."""

    sweep: Sweep
    evidence: Evidence

    @property
    def folder(self) -> SweepFolder:
        """The sweep's folder."""
        return self.sweep.folder

    @property
    def judged(self) -> bool:
        """Whether any checkpoint has a score, or the metric that stands for it."""
        return any(item.score is not None for run in self.evidence.own for item in run.checkpoints)

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that can be looked at: first those that some pair of runs differs in alone."""
        own = [run for run in self.evidence.own if run.settings]
        alone = [item.key for item in compare([(run.name, run.settings) for run in own]).settings]
        return tuple(dict.fromkeys([*alone, *varied(own)]))


def subject(sweep: SweepFolder, metric: str | None = None, raters: Sequence[str] | None = None) -> Subject:
    """Read a sweep.

    Args:
        sweep: Its folder.
        metric: `score`, or the automatic metric to look at; None is the score where anybody gave
            one, else the metric that stands for it.
        raters: Whose scores count; None is everybody's.

    Raises:
        RunFolderError: The folder holds no runs, no checkpoint has that metric, or nobody is called so.
    """
    read = read_sweep_folder(sweep.path)
    found = evidence(read, raters=raters, metric=None if metric == SCORE else metric)
    if metric is None and not found.scored and (instead := stand_in(found.metrics)):
        found = evidence(read, metric=instead)
    return Subject(read, found)


def varied(runs: list[RunEvidence]) -> list[str]:
    """The settings that are not the same in all runs; one that acts in some only differs, too."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    return [
        key for key in keys if len({repr(run.settings.get(key)) for run in runs if key in run.settings}) > 1
    ]


def higher_is_better(criterion: str) -> bool:
    """Which way is up."""
    return criterion not in LESS_IS_BETTER


def broken(run: RunEvidence) -> bool:
    """Whether a run failed or diverged."""
    return run.status in ("failed", "diverged")
