"""One run as the worker sees it: its folder, config and record, and the writing of them."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from lora_lab.config import RunConfig, load
from lora_lab.effective import examine
from lora_lab.errors import ConfigError
from lora_lab.resolved import Resolved
from lora_lab.run.lock import FolderLock
from lora_lab.run.prepare import Prepared
from lora_lab.run.save_schedule import SaveSchedule
from lora_lab.run.state import Saved
from lora_lab.store import PHASES, RunFolder, RunRecord, now, read_record, write_record
from lora_lab.store.steps import append_step
from lora_lab.train import Record, Runner
from lora_lab.training_data import TrainingData

WRITE_INTERVAL_SECONDS = 5.0
"""`run.json` of a run under way is brought up to date no oftener than this between checkpoints."""

UNLOGGED = ("run", "reg_samples")
"""What of an update is not in the step log."""


@dataclass
class Task:
    """A run folder being worked on.

    `config` names its places (cache, device); all that it does is in `resolved`, which is there once the
    images were looked at, as `prepared` and `runner` are once the run has got so far. A run with a `leader`
    is the beginning of that longer run, and takes its weights on the way. `start` is the state that it goes
    on from, `update` what it goes on after; `unmeasured` are the tags of checkpoints whose previews were kept
    of an earlier worker and wait for numbers.
    """

    folder: RunFolder
    config: RunConfig
    record: RunRecord
    lock: FolderLock
    resolved: Resolved = field(default_factory=lambda: Resolved({}, {}))
    training_data: TrainingData | None = None
    prepared: Prepared | None = None
    runner: Runner | None = None
    save_schedule: SaveSchedule | None = None
    start: Saved | None = None
    leader: "Task | None" = None
    update: int = 0
    unmeasured: set[str] = field(default_factory=set)
    set_aside: bool = False
    _written: float = 0.0

    @staticmethod
    def open(folder: RunFolder) -> "Task | None":
        """Load a run folder and lock it; None where another worker holds it.

        Raises:
            RunFolderError: The folder is not a run folder, or cannot be written to.
            ConfigError: Its config holds an unknown key or a wrong value.
        """
        config = load(folder.config_file)
        config.name = config.name or folder.name
        lock = FolderLock(folder.lock_file)
        if not lock.acquire():
            return None
        return Task(folder, config, read_record(folder), lock)

    @property
    def name(self) -> str:
        """The run's name."""
        return self.folder.name

    @property
    def is_open(self) -> bool:
        """Whether this worker still has to do with it."""
        return not self.set_aside and self.record.status in ("running", "planned")

    @property
    def trained_by(self) -> "Task":
        """The run whose training this one's weights are from: its leader, or itself."""
        return self.leader or self

    def resolve(self, device_type: str) -> None:
        """Look at the images and decide what the run does; the record keeps it.

        Raises:
            DataError: The images cannot be used.
            ModelError: There is no usable base model or LoRA file where the config says.
            ConfigError: What the run asks for is refused.
        """
        found = examine(self.config, device_type)
        if found.resolved.refusals:
            raise ConfigError("\n".join(found.resolved.refusals))
        self.resolved, self.training_data = found.resolved, found.training_data
        record = self.record
        record.resolved = found.resolved.to_plain()
        record.fingerprint = record.fingerprint or found.resolved.fingerprint
        record.total_steps = found.resolved.total_steps
        record.updates_per_epoch = found.resolved.updates_per_epoch
        record.images = found.training_data.images
        record.notes += [text for text in found.resolved.fallbacks if text not in record.notes]
        for text in (*map(str, found.training_data.problems), *found.resolved.warnings):
            print(f"{self.name}: {text}", file=sys.stderr)  # into the run's log

    def write(self) -> None:
        """Bring `run.json` up to date, unless the run is another worker's by now."""
        if not self.lock.lost():
            write_record(self.folder, self.record)
        self._written = time.monotonic()

    def begin(self, device: str, versions: dict[str, str], pack: Sequence[str]) -> None:
        """Mark the run as running."""
        record = self.record
        record.status, record.reason = "running", ""
        record.started_at = record.started_at or now()
        record.finished_at = ""
        record.device, record.versions, record.pack = device, versions, list(pack)
        record.seconds = {phase: record.seconds.get(phase, 0.0) for phase in PHASES}
        self.write()

    def end(self, status: str, reason: str = "") -> None:
        """Mark the run as ended and let go of its folder."""
        self.record.status, self.record.reason = status, reason
        self.record.finished_at = now()
        self.write()
        self.lock.release()

    def log(self, step: Record) -> None:
        """Append an update to the run's step log and count it."""
        append_step(
            self.folder,
            {k: v for k, v in asdict(step).items() if k not in UNLOGGED and v not in ("", None)},
        )
        record = self.record
        record.step, record.samples, record.loss = step.step, step.samples, step.loss
        record.epoch, record.reg_samples = step.epoch, step.reg_samples
        if record.images:
            record.exposures_per_image = round((step.samples - step.reg_samples) / record.images, 3)
        record.add_seconds("train", step.seconds)
        if time.monotonic() - self._written > WRITE_INTERVAL_SECONDS:
            self.write()


@contextmanager
def clock(tasks: Sequence[Task], phase: str) -> Iterator[None]:
    """Add the time of the block to a phase, in equal shares."""
    started = time.perf_counter()
    try:
        yield
    finally:
        share = (time.perf_counter() - started) / max(len(tasks), 1)
        for task in tasks:
            task.record.add_seconds(phase, share)
            task.record.wall_seconds = sum(task.record.seconds.values())
