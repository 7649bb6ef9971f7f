"""What `run.json` says of a run: its status, numbers and checkpoints."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from lora_lab.errors import RunFolderError
from lora_lab.files import write_json
from lora_lab.resolved import shown_label
from lora_lab.store.layout import RunFolder
from lora_lab.store.typed import built

STATUSES = ("planned", "running", "done", "diverged", "failed", "cancelled", "stopped")
FINISHED = ("done", "diverged", "failed")
ENDED = (*FINISHED, "stopped")
"""What no engine goes on with by itself; a run that was stopped can go on when it is asked to."""
PHASES = ("load", "cache", "train", "save", "preview", "metric")


@dataclass
class Preview:
    """One rendered image and what was measured on it.

    `drawn` is what drew it beside the weights (`effective.previews.drawn`), '' in early records. `base_model`
    is the name of the model that it was rendered on, '' where that is the run's own.
    """

    file: str
    prompt: int
    seed: int
    strength: float
    text: str = ""
    flags: list[str] = field(default_factory=list)
    metrics: dict[str, float | None] = field(default_factory=dict)
    drawn: str = ""
    base_model: str = ""

    @property
    def label(self) -> str:
        """Its words, and the base model where it is not the run's own."""
        return shown_label(self.text, self.base_model)


@dataclass
class Checkpoint:
    """One saved LoRA; `loss` is the mean since the checkpoint before, `seconds` the training time so far.

    `samples` counts all draws, `reg_samples` those of regularisation images among them. `validation` is the
    loss on held-back images by timestep, `validation_loss` its mean. `discarded`: its LoRA file was given
    up for room; previews and scores stay.
    """

    tag: str
    file: str
    epoch: int
    step: int
    samples: int
    loss: float | None = None
    seconds: float = 0.0
    size_bytes: int = 0
    flags: list[str] = field(default_factory=list)
    metrics: dict[str, float | None] = field(default_factory=dict)
    previews: list[Preview] = field(default_factory=list)
    reg_samples: int = 0
    validation_loss: float | None = None
    validation: dict[str, float | None] = field(default_factory=dict)
    discarded: bool = False


@dataclass
class RunRecord:
    """The content of `run.json`.

    `seconds` holds seconds per phase of `PHASES`. Time that a pack spends on all its runs at once is divided
    evenly among them, so that the rows of a sweep add up; `wall_seconds` is from start to end.

    What a reader of results needs to know of the run stands here, so that nobody needs a plan: `resolved` (a
    `lora_lab.resolved.Resolved` as plain values), `overrides` (what it changes of the base it was planned
    with), `composed` (all it was composed from), `place` (its number among the sweep's rows), the sweep's
    `question`, and `source`, the sweep file it came from ('' for the command line).

    `prefix_of` names the longer run whose training this run's checkpoints are from, as it was called then;
    `adopters` are the runs that a longer run saves for on its way.

    `hopeless_at_steps` are the updates after which it was ended as hopeless (`stop=hopeless`).

    `external` is empty for runs that are trained here. Of a LoRA that was trained elsewhere it holds its
    `source`, its `trainer`, and those of its `settings` that are known, by dotted key.
    """

    status: str = "planned"
    reason: str = ""
    overrides: list[str] = field(default_factory=list)
    fingerprint: str = ""
    preview_fingerprint: str = ""
    same_as: str = ""
    prefix_of: str = ""
    adopters: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    step: int = 0
    total_steps: int = 0
    epoch: float = 0.0
    samples: int = 0
    reg_samples: int = 0
    exposures_per_image: float = 0.0
    updates_per_epoch: int = 0
    images: int = 0
    loss: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    wall_seconds: float = 0.0
    started_at: str = ""
    finished_at: str = ""
    resumed_at_steps: list[int] = field(default_factory=list)
    hopeless_at_steps: list[int] = field(default_factory=list)
    device: str = ""
    peak_memory_bytes: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    pack: list[str] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    resolved: dict[str, Any] = field(default_factory=dict)
    composed: list[str] = field(default_factory=list)
    place: int | None = None
    question: str = ""
    source: str = ""
    external: dict[str, Any] = field(default_factory=dict)

    @property
    def experiment(self) -> str:
        """The experiment's fingerprint as it is called now; `fingerprint` stays what it was trained under."""
        return str(self.resolved.get("fingerprint") or "") or self.fingerprint

    def add_seconds(self, phase: str, seconds: float) -> None:
        """Add to one phase's time."""
        self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds

    def checkpoint(self, tag: str) -> Checkpoint | None:
        """The checkpoint of a tag, if it was saved."""
        return next((item for item in self.checkpoints if item.tag == tag), None)


def now() -> str:
    """The present time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_record(folder: RunFolder) -> RunRecord:
    """Read `run.json`; a missing one is a planned run.

    Raises:
        RunFolderError: The file is damaged.
    """
    try:
        text = folder.run_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return RunRecord()
    except (OSError, ValueError) as error:
        raise _damaged(folder, error) from error
    try:
        # NaN is no JSON; where a number may be missing, it is.
        record: RunRecord = built(RunRecord, json.loads(text, parse_constant=lambda _: None))
        if record.status not in STATUSES:
            raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {record.status!r}")
    except (ValueError, OverflowError, RecursionError) as error:
        raise _damaged(folder, error) from error
    return record


def read_or_failed(folder: RunFolder) -> RunRecord:
    """The record; one that cannot be read is that of a failed run, with the reason."""
    try:
        return read_record(folder)
    except RunFolderError as error:
        return RunRecord(status="failed", reason=str(error))


def _damaged(folder: RunFolder, error: Exception) -> RunFolderError:
    reason = error.strerror if isinstance(error, OSError) else error
    return RunFolderError(f"{folder.run_file} is damaged ({reason}): delete it to have the run done again")


def write_record(folder: RunFolder, record: RunRecord) -> None:
    """Write `run.json` atomically."""
    write_json(folder.run_file, asdict(record))
