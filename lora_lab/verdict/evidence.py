"""What a verdict rests on: one row per training run with settings, checkpoints, scores, numbers and costs.

The unit of evidence is the training run. Everything is derived from the sweep's folder (`verdict.gather`) or
from a table that was scored elsewhere (`verdict.sheet`); nothing here is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lora_lab.errors import RunFolderError
from lora_lab.findings import Inert
from lora_lab.store import Pair
from lora_lab.store.normal_names import find_tag
from lora_lab.verdict.raters import RaterEvidence
from lora_lab.words import said

SCORE = "score"
"""The criterion that stands for what people gave; every other one is the name of an automatic metric."""

STEADY = ("constant", "constant_with_warmup")
"""Schedules that do not look at the length of the run."""
LENGTHS = ("train.max_train_epochs", "train.max_train_steps", "dataset.repeats")
"""Settings that say how long a run is; data order is a function of the samples seen, so that 15 repeats x
20 epochs are 5 x 60."""
SAVING = ("train.save_every_n_epochs", "train.save_every_n_steps")

UNSHOWABLE = ("black", "flat")
"""Flags of a checkpoint whose images show nothing."""


@dataclass(frozen=True)
class CheckpointEvidence:
    """One checkpoint.

    Attributes:
        exposures: How often each image was seen until then.
        score: What the verdict judges by: `human`, or the automatic metric that was asked for.
        human: Mean over raters, all on one scale, from 0 to 100.
        judgements: Judgements behind `human`, hidden repeats included.
        raters: Each rater's own mean, as given.
        metrics: Automatic numbers, means over the previews.
        minutes: Training time up to it.
        said: Notes and tags that people left.
        scale: Who scored it, where they share no checkpoint with those who scored most; else ''.
    """

    tag: str
    epoch: int | None = None
    step: int | None = None
    samples: int | None = None
    exposures: float | None = None
    score: float | None = None
    human: float | None = None
    judgements: int = 0
    raters: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    minutes: float | None = None
    size_bytes: int | None = None
    flags: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    file: str = ""
    scale: str = ""


@dataclass(frozen=True)
class RunEvidence:
    """One training run.

    Attributes:
        settings: The settings that act, as dotted keys, without the seed.
        unknown: Settings of which the table does not say what they were.
        known_as: The name it was trained under, where its folder was renamed since.
        unread: Why its settings or its record cannot be read, or ''; it is then no evidence of anything.
        inert: Settings that were set and cannot act, with the reason.
        overrides: What it was composed from; `changes` are the settings it changes of what all runs share,
            the seed left out; None where that is not known.
        same_as: The run that is the same experiment; this one is then no evidence of its own.
        group: Runs of one group differ in the seed alone; it is named after its first run.
        training: The run whose training this is, where it is a checkpoint of another run's; '' is its own.
        chosen: The checkpoint that stands for the run, or ''.
        score: That checkpoint's score; None with the reason in `missing`.
        usable: Whether it ended with images that show something; None while that is open.
        elsewhere: Who trained it, where that was another program: it is scored, its settings are not judged.
    """

    name: str
    status: str = "done"
    reason: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()
    known_as: str = ""
    unread: str = ""
    seed: int | None = None
    inert: tuple[Inert, ...] = ()
    overrides: tuple[str, ...] = ()
    changes: tuple[str, ...] | None = None
    same_as: str = ""
    group: str = ""
    training: str = ""
    checkpoints: tuple[CheckpointEvidence, ...] = ()
    chosen: str = ""
    score: float | None = None
    missing: str = ""
    usable: bool | None = None
    train_minutes: float | None = None
    peak_memory_bytes: int | None = None
    file_bytes: int | None = None
    elsewhere: str = ""

    def checkpoint(self, tag: str) -> CheckpointEvidence | None:
        """The checkpoint of a tag."""
        return next((item for item in self.checkpoints if item.tag == tag), None)

    @property
    def given(self) -> float | None:
        """What the checkpoint that stands for it was given, also where it is no evidence of any setting."""
        item = self.checkpoint(self.chosen)
        return item.score if item else None


@dataclass(frozen=True)
class Evidence:
    """Everything a verdict may use.

    Attributes:
        criterion: `SCORE`, or the name of the automatic metric that runs are judged by.
        rule: Which checkpoint stands for a run: last, best or a tag.
        runs: In the order of the plan, those that are another run's experiment included.
        comparisons: What people said of two checkpoints side by side; it is never mixed with scores.
        notes: What a reader of the numbers has to know.
        gaps: What the verdict lacks, and which runs it leaves out for that; to be said before all else.
        images: How much one image more or less moves an automatic metric: the standard deviation that is
            left of repeats when the run's and the image's own level are taken out, its degrees of freedom,
            and the images of each run; None where nothing was repeated, or people score.
        folder: The sweep's folder, where verdicts on it are kept; '' for scores that are not a sweep's own.
    """

    name: str
    question: str
    criterion: str
    rule: str
    runs: tuple[RunEvidence, ...]
    raters: tuple[RaterEvidence, ...] = ()
    comparisons: tuple[Pair, ...] = ()
    notes: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    images: tuple[float, int, int] | None = None
    folder: str = ""

    @property
    def own(self) -> tuple[RunEvidence, ...]:
        """The runs that are experiments of their own."""
        return tuple(run for run in self.runs if not run.same_as)

    @property
    def scored(self) -> tuple[RunEvidence, ...]:
        """The experiments that have a score."""
        return tuple(run for run in self.own if run.score is not None)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The automatic metrics that any checkpoint has a number of."""
        found = {
            name: None
            for run in self.runs
            for item in run.checkpoints
            for name, value in item.metrics.items()
            if value is not None
        }
        return tuple(found)

    def run(self, name: str) -> RunEvidence:
        """The run of a name."""
        return next(run for run in self.runs if run.name == name)


def grouped(runs: Sequence[RunEvidence]) -> tuple[RunEvidence, ...]:
    """The runs with their groups set: same acting settings, whatever the seed."""
    first: dict[str, str] = {}
    found = []
    for run in runs:
        key = repr((sorted(run.settings.items()), sorted(run.unknown)))
        found.append(replace(run, group=first.setdefault(key, run.same_as or run.name)))
    return tuple(found)


def judged(evidence: Evidence) -> Evidence:
    """The evidence with every run's checkpoint chosen and its score set, after `criterion` and `rule`.

    Raises:
        RunFolderError: No checkpoint has the metric, or no run has the checkpoint.
    """
    by = evidence.criterion
    if by != SCORE and by not in evidence.metrics:
        known = ", ".join(evidence.metrics) or "none"
        raise RunFolderError(f"no checkpoint of {evidence.name} has a metric {by!r}; there are: {known}")
    runs = tuple(_choose(_scored(run, by), evidence.rule) for run in evidence.runs)
    if evidence.rule not in ("last", "best") and not any(run.chosen for run in runs):
        tags = sorted({item.tag for run in runs for item in run.checkpoints})
        raise RunFolderError(
            f"no run of {evidence.name} has a checkpoint {evidence.rule!r}; "
            f"there are: {', '.join(tags) or 'none'}; or say last or best"
        )
    if evidence.rule in ("last", "best"):
        return replace(evidence, runs=runs)
    return replace(evidence, runs=grouped(tuple(map(_as_long_as_chosen, runs))))


def _as_long_as_chosen(run: RunEvidence) -> RunEvidence:
    """The run as if it had ended at its chosen checkpoint, where nothing in it depended on its length.

    Epoch 12 of a run of 36 epochs is a run of 12 epochs, if its learning rate does not follow a schedule.
    """
    item = run.checkpoint(run.chosen)
    if item is None or item.epoch is None or run.settings.get("lr_scheduler.name", STEADY[0]) not in STEADY:
        return run
    lengths = {"train.max_train_epochs": item.epoch, "train.max_train_steps": None}
    settings = {key: lengths.get(key, value) for key, value in run.settings.items()}
    changes = run.changes and tuple(key for key in run.changes if key not in (*lengths, *SAVING))
    return replace(run, settings=settings, changes=changes)


def _scored(run: RunEvidence, by: str) -> RunEvidence:
    if by == SCORE:
        items = [replace(item, score=item.human) for item in run.checkpoints]
    else:
        # An image that shows nothing has no likeness to measure.
        items = [
            replace(item, score=None if set(item.flags) & set(UNSHOWABLE) else item.metrics.get(by))
            for item in run.checkpoints
        ]
    return replace(run, checkpoints=tuple(items))


def _choose(run: RunEvidence, rule: str) -> RunEvidence:
    item = _chosen(run, rule)
    missing = _missing(run, item, rule)
    return replace(
        run,
        chosen=item.tag if item else "",
        score=item.score if item and not missing and not run.elsewhere else None,
        missing=missing,
    )


def _chosen(run: RunEvidence, rule: str) -> CheckpointEvidence | None:
    if rule == "last":
        return run.checkpoints[-1] if run.checkpoints else None
    if rule == "best":
        scored = [item for item in run.checkpoints if item.score is not None]
        return max(scored, key=lambda item: item.score or 0.0) if scored else None
    tag = find_tag(rule, [item.tag for item in run.checkpoints])
    return run.checkpoint(tag) if tag is not None else None


def _missing(run: RunEvidence, item: CheckpointEvidence | None, rule: str) -> str:
    """Why a run has no score, or ''."""
    if run.unread and not run.elsewhere:
        return run.unread
    if run.status != "done":
        return said("missing_status", status=run.status, reason=run.reason) if run.reason else run.status
    if item is None:
        return said("missing_best" if rule == "best" else "missing_checkpoint")
    if item.score is None:
        shown = [flag for flag in item.flags if flag in UNSHOWABLE]
        if shown:
            return said("missing_shown", flag=shown[0])
        own = "" if run.elsewhere else run.reason
        return own or said("missing_score", tag=item.tag)
    return ""
