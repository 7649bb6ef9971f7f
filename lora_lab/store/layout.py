"""Where everything of a run and of a sweep lies; the only place that knows file names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from lora_lab.config.schema import RunConfig
from lora_lab.errors import RunFolderError

CONFIG, RECORD, STEPS = "config.yaml", "run.json", "steps.jsonl"
STATE = re.compile(r"([0-9]{8,})(?:\.([0-9]+))?(?:-([0-9]+))?")
"""A state's name: updates, micro-batches of the next one, and which of several it is (`RunFolder.state`)."""
NO_RUNS = ("anchors", "plots", "report", "exports", "copier", "lost+found")
"""What may lie in a sweep's folder beside its runs; `lost+found` is a disk's own."""
TAKEN = (
    *NO_RUNS, "sweep.yaml", "plan.json", "scores.jsonl", "verdicts.jsonl", "search.json", "search.journal",
    "table.csv", "sheet.png",
)  # fmt: skip
"""What no run can be called."""


JOB_KEYS = frozenset(item.name for item in fields(RunConfig))
"""The first level of a job's `config.yaml`."""


def preview_name(prompt: int, seed: int, strength: float) -> str:
    """File name of one preview: p0-s1234-w1.0.png."""
    return f"p{prompt}-s{seed}-w{strength:.2f}".rstrip("0").rstrip(".") + ".png"


def lora_name(run: str) -> str:
    """A run's name as that of a LoRA: in A1111's `<lora:NAME:1>` a name with = in it is an argument."""
    return run.replace("=", "-")


def epoch_tag(epoch: int) -> str:
    """Tag of a checkpoint at the end of an epoch, as sd-scripts numbers its files: 000010."""
    return f"{epoch:06d}"


def step_tag(step: int) -> str:
    """Tag of a checkpoint at a number of updates: step00000200."""
    return f"step{step:08d}"


def state_step(folder: Path) -> int:
    """Updates done in the training state of a folder, by its name."""
    match = STATE.fullmatch(folder.name)
    assert match, folder
    return int(match[1])


@dataclass(frozen=True)
class RunFolder:
    """One run's folder: `results/<sweep>/<run>`."""

    path: Path

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def config_file(self) -> Path:
        """The whole config: the job."""
        return self.path / CONFIG

    @property
    def run_file(self) -> Path:
        """Status, fingerprint, timings, checkpoints and their numbers."""
        return self.path / RECORD

    @property
    def steps_file(self) -> Path:
        """One JSON line per update."""
        return self.path / STEPS

    @property
    def log_file(self) -> Path:
        """What the worker printed."""
        return self.path / "log.txt"

    @property
    def lock_file(self) -> Path:
        """Held by the worker while it works on the run."""
        return self.path / ".lock"

    @property
    def stop_request(self) -> Path:
        """Its presence asks the worker to end the run at its next checkpoint."""
        return self.path / ".stop"

    @property
    def checkpoints(self) -> Path:
        """Folder of LoRA files."""
        return self.path / "checkpoints"

    @property
    def states(self) -> Path:
        """Folder of training states, one sub-folder per update count."""
        return self.path / "state"

    @property
    def sheet(self) -> Path:
        """Contact sheet: checkpoints x prompts."""
        return self.path / "sheet.png"

    def checkpoint(self, tag: str) -> Path:
        """LoRA file of a checkpoint tag (`epoch_tag` or `step_tag`)."""
        return self.checkpoints / f"{lora_name(self.name)}-{tag}.safetensors"

    def state(self, step: int, micro: int = 0, again: int = 0) -> Path:
        """Folder of a training state.

        Args:
            step: Updates done.
            micro: Micro-batches done of the update after them.
            again: Tells states of the same place apart; none is ever written over another.
        """
        return self.states / (f"{step:08d}" + f".{micro}" * bool(micro) + f"-{again}" * bool(again))

    def previews(self, tag: str) -> Path:
        """Folder of the previews of a checkpoint."""
        return self.path / "previews" / tag

    def is_there(self) -> bool:
        """Whether it holds a run, be it only a planned one."""
        return self.config_file.is_file() or self.run_file.is_file()

    def saved_states(self) -> list[int]:
        """Update counts of the complete training states, ascending."""
        return sorted({state_step(item) for item in self.state_folders()})

    def state_folders(self) -> list[Path]:
        """Folders of the complete training states, oldest first."""
        try:
            found = [(match, name) for name in os.listdir(self.states) if (match := STATE.fullmatch(name))]
        except OSError:
            return []
        ordered = sorted(found, key=lambda pair: [int(part or 0) for part in pair[0].groups()])
        return [self.states / name for _, name in ordered]

    def look_inside(self) -> None:
        """See whether the folder can be read.

        Raises:
            RunFolderError: It is a link to what is not there, or may not be read.
        """
        try:
            with os.scandir(self.path):
                return
        except OSError as error:
            lost = f"is a link to {os.readlink(self.path)}, which" if self.path.is_symlink() else "it"
            raise RunFolderError(f"{self.path}: {lost} cannot be read: {error.strerror or error}") from error


@dataclass(frozen=True)
class SweepFolder:
    """One sweep's folder: `results/<sweep>`."""

    path: Path

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.path.name

    @property
    def sweep_file(self) -> Path:
        """The sweep as launched."""
        return self.path / "sweep.yaml"

    @property
    def plan_file(self) -> Path:
        """What was decided: duplicates, packs, order."""
        return self.path / "plan.json"

    @property
    def scores_file(self) -> Path:
        """Append-only log of human scores."""
        return self.path / "scores.jsonl"

    @property
    def verdicts_file(self) -> Path:
        """Append-only log of the verdicts that were taken."""
        return self.path / "verdicts.jsonl"

    @property
    def search_file(self) -> Path:
        """What a search has proposed, round by round."""
        return self.path / "search.json"

    @property
    def search_journal(self) -> Path:
        """The scored runs as an Optuna study; derived, and can be thrown away."""
        return self.path / "search.journal"

    @property
    def anchors(self) -> Path:
        """Previews of the bare base models and thumbnails of training images."""
        return self.path / "anchors"

    @property
    def sheet(self) -> Path:
        """Contact sheet: runs x prompts at the last checkpoint."""
        return self.path / "sheet.png"

    @property
    def plots(self) -> Path:
        """Folder of plots, where the user names no other."""
        return self.path / "plots"

    @property
    def report(self) -> Path:
        """Folder of the report, where the user names no other."""
        return self.path / "report"

    @property
    def exports(self) -> Path:
        """Folder of LoRAs to pass on, where the user names no other."""
        return self.path / "exports"

    def run(self, name: str) -> RunFolder:
        """The folder of one run."""
        return RunFolder(self.path / name)

    def runs(self) -> Iterator[RunFolder]:
        """The run folders that exist, by name; one that cannot be looked into is among them.

        Raises:
            RunFolderError: The sweep's own folder cannot be read.
        """
        try:
            names = sorted(os.listdir(self.path))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be read: {error.strerror or error}") from error
        for name in names:
            if not name.startswith(".") and _is_run(self.path / name) is not False:
                yield RunFolder(self.path / name)

    def is_sweep(self) -> bool:
        """Whether it can be read, and holds runs; of a sweep as launched, all of them may be out of reach."""
        try:
            names = os.listdir(self.path)
        except OSError:
            return False
        kinds = [_is_run(self.path / name) for name in names]
        return any(kinds) or (None in kinds and self.sweep_file.name in names)


def _is_run(path: Path) -> bool | None:
    """Whether a folder is a run's; None where it cannot be looked into, as a link whose disk is away.

    Any program may have a `config.yaml`: one that holds keys which no job has is not a run's, unless a run's
    step log lies beside it.
    """
    try:
        names = os.listdir(path)
    except NotADirectoryError:
        return False
    except OSError:
        return False if path.name in NO_RUNS else None
    if RECORD in names or (CONFIG in names and STEPS in names):
        return True
    return CONFIG in names and not _is_foreign(path / CONFIG)


_TOP_KEY = re.compile(r"^(?:- )?[\"']?([\w./-]+)[\"']?\s*:", re.MULTILINE)


def _is_foreign(config_file: Path) -> bool:
    """Whether a `config.yaml` is another program's; one that is damaged or cannot be read counts as ours."""
    try:
        text = config_file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(key not in JOB_KEYS for key in _TOP_KEY.findall(text))
