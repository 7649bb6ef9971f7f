"""The one reader of a sweep's folder: its runs in order, each with all that its files say.

Table, verdict, plots, report, gallery, contact sheets and export take a sweep from here, so that all of them
agree on what a run is, which run did the work of another, what its files are called, and what is wrong with
it. A run folder may be renamed, be a link to another disk, or be moved with its sweep; nothing but the run
folders and the log of scores is needed. What cannot be read is a run of its own with its reason.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

from lora_lab.config import RunConfig, flat, load
from lora_lab.errors import LoraLabError, RunFolderError
from lora_lab.store.acting import Acting, acting_of, comparable
from lora_lab.store.launched import read_plan, read_question
from lora_lab.store.layout import RunFolder, SweepFolder
from lora_lab.store.locks import is_locked
from lora_lab.store.record import Checkpoint, Preview, RunRecord, read_record
from lora_lab.store.scores import Place, Score, ScoreLog, read_scores
from lora_lab.store.steps import read_steps

GONE = "its worker is gone; the same command goes on from the last saved state"
EXTERNAL = "trained elsewhere"
"""Stands among the settings of a LoRA that was not trained here."""
LAST_PLACE = 2**31
"""Of runs that neither their record nor a plan gives a place."""

Signature = tuple[int, int, int] | None
Settings = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One run of a sweep as it is now.

    Attributes:
        record: Its own record, or an empty one with status `failed` and the reason where it cannot be read.
        config: Its job; None where that cannot be read.
        problem: What of it cannot be read, or ''.
        origin: The run that did the work where its record names another one; None is itself.
        known_as: The name it was trained under; another one than its folder's where that was renamed.
        prefix_of: The longer run whose weights on the way are this run's, by its present name, or ''.
    """

    folder: RunFolder
    record: RunRecord
    config: RunConfig | None = None
    problem: str = ""
    origin: Run | None = None
    known_as: str = ""
    prefix_of: str = ""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def worker(self) -> Run:
        """The run that did the work: itself, or its twin."""
        return self.origin or self

    @property
    def training(self) -> str:
        """The name of the run whose training its weights are from."""
        return self.worker.prefix_of or self.worker.name

    @property
    def same_as(self) -> str:
        """The name of the run that did the work in its place, or ''."""
        return self.origin.name if self.origin else ""

    @property
    def work(self) -> RunRecord:
        """The record of the run that did the work."""
        return self.worker.record

    @property
    def status(self) -> str:
        """One of `STATUSES`, of the run that did the work."""
        return self.work.status

    @property
    def reason(self) -> str:
        """Why it ended as it did."""
        return self.work.reason

    @cached_property
    def checkpoints(self) -> list[Checkpoint]:
        """Its checkpoints, or those of the run that did the work, up to its own length."""
        total = self.record.total_steps if self.origin else 0
        return [item for item in self.work.checkpoints if not total or item.step <= total]

    @cached_property
    def settings(self) -> Settings:
        """All settings as its config has them, by dotted key; none where it cannot be read.

        Of a LoRA that was trained elsewhere those that are known, the others None, and `EXTERNAL` beside.
        """
        own = settings_in(self.config) if self.config else {}
        if not self.record.external:
            return own
        known = self.record.external.get("settings") or {}
        return {EXTERNAL: self.record.external.get("trainer"), **{key: known.get(key) for key in own}}

    @cached_property
    def acting(self) -> Acting:
        """The settings that act in it."""
        return acting_of(self.record, self.config, self.problem)

    def file(self, item: Checkpoint | Preview) -> Path | None:
        """A LoRA file or a preview, as the record names it; None where that leads out of the run's folder."""
        path = PurePosixPath(item.file.replace("\\", "/"))
        if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            return None
        return self.worker.folder.path / path

    @cached_property
    def gone(self) -> tuple[str, ...]:
        """The tags of its checkpoints whose LoRA file is not there, though nobody gave it up."""
        return tuple(item.tag for item in self.checkpoints if self.lacks(item))

    def lacks(self, item: Checkpoint) -> bool:
        """Whether a checkpoint's LoRA file is gone in this way."""
        return not item.discarded and not ((file := self.file(item)) and file.is_file())

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The step log of the run that did the work."""
        return read_steps(self.worker.folder)


@dataclass(frozen=True)
class Sweep:
    """A sweep at one moment: its runs by name, in order; `version` changes whenever anything did."""

    folder: SweepFolder
    runs: Mapping[str, Run]
    question: str = ""
    version: str = ""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name

    def called(self, name: str) -> Run | None:
        """The run that was trained under a name, else the one whose folder is called so."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, Run]:
        return _names(list(self.runs.values()))

    def place(self, place: Place) -> Place:
        """A checkpoint that the log of scores names, under the present name of its run."""
        run = self.called(place[0])
        return (run.name if run else place[0]), place[1]

    def scores(self) -> ScoreLog:
        """What people have said by now, with runs under their present names.

        Raises:
            RunFolderError: The log cannot be read.
        """
        return renamed(read_scores(self.folder), self.place)

    @property
    def twins(self) -> dict[str, str]:
        """The runs whose work another one did, with its name."""
        return {run.name: run.same_as for run in self.runs.values() if run.same_as}

    @cached_property
    def training_images(self) -> list[Path]:
        """Copies of some of the images that were trained on."""
        return sorted(self.folder.anchors.glob("pictures-*/[!.]*.png"))


def renamed(log: ScoreLog, place: Callable[[Place], Place]) -> ScoreLog:
    """The log with every checkpoint put through `place`."""

    def judged(items: Sequence[Any]) -> list[Any]:
        return [replace(item, run=place((item.run, item.tag))[0]) for item in items]

    def scored(items: Sequence[Score]) -> list[Score]:
        return [replace(item, also=tuple(map(place, item.also))) for item in judged(items)]

    sessions = {
        key: replace(
            item,
            order=tuple((*place((run, tag)), again) for run, tag, again in item.order),
            places=tuple(map(place, item.places)),
            also={place(own): tuple(map(place, others)) for own, others in item.also.items()},
        )
        for key, item in log.sessions.items()
    }
    pairs = [replace(item, left=place(item.left), right=place(item.right)) for item in log.pairs]
    return replace(log, sessions=sessions, scores=scored(log.scores), skips=judged(log.skips), pairs=pairs)


def read_sweep_folder(path: Path) -> Sweep:
    """A sweep's folder as it is now.

    Raises:
        RunFolderError: It cannot be read, or holds no runs.
    """
    return Reader().read(SweepFolder(path))


@dataclass
class Reader:
    """Reads sweeps, a file again only where it changed; safe to use from several threads."""

    _files: dict[Path, tuple[Signature, Any]] = field(default_factory=dict)
    _sweeps: dict[Path, Sweep] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def read(self, folder: SweepFolder) -> Sweep:
        """The sweep as it is now; the very same object as before where nothing changed.

        Raises:
            RunFolderError: The folder cannot be read, or holds no runs.
        """
        with self._lock:
            runs = [self._run(run) for run in folder.runs()]
            if not runs:
                raise RunFolderError(
                    f"{folder.path} holds no runs: give a sweep's folder, such as results/demo, or its sweep "
                    "file"
                )
            version = _version(folder, runs)
            known = self._sweeps.get(folder.path)
            if known is None or known.version != version:
                known = Sweep(
                    folder, _linked(self._ordered(folder, runs)), self._question(folder, runs), version
                )
                self._sweeps[folder.path] = known
            return known

    def known(self, path: Path) -> Sweep | None:
        """The sweep of a folder as it was read last, without a look at the disk."""
        return self._sweeps.get(path)

    def _run(self, folder: RunFolder) -> Run:
        record, damage = self._cached(folder.run_file, lambda: _record(folder))
        config, trouble = self._cached(folder.config_file, lambda: _config(folder))
        record = as_of_now(folder, record)
        problem = damage or trouble
        if problem and record.status == "planned":
            # It will never come to it: there is nothing to start, or nobody knows what was done.
            record = replace(record, status="failed", reason=problem)
        known_as = (config.name if config else "") or folder.name
        return Run(folder, record, config, problem, None, known_as)

    def _ordered(self, folder: SweepFolder, runs: Sequence[Run]) -> list[Run]:
        earlier: list[str] = []
        if any(run.record.place is None for run in runs):
            earlier = self._cached(folder.plan_file, lambda: _planned_order(folder))
        places = {name: number for number, name in enumerate(earlier)}

        def place(run: Run) -> tuple[int, str]:
            own = run.record.place
            return (places.get(run.known_as, LAST_PLACE) if own is None else own), run.name

        return sorted(runs, key=place)

    def _question(self, folder: SweepFolder, runs: Sequence[Run]) -> str:
        kept = next((run.record.question for run in runs if run.record.question), "")
        if kept or all(run.record.place is not None for run in runs):
            return kept
        found: str = self._cached(folder.sweep_file, lambda: read_question(folder))
        return found

    def _cached(self, file: Path, read: Callable[[], Any]) -> Any:
        signature = _signature(file)
        known = self._files.get(file)
        if known is None or known[0] != signature:
            # The signature was taken first: a file that changes in between is read again the next time.
            known = self._files[file] = (signature, read())
        return known[1]


def _version(folder: SweepFolder, runs: Sequence[Run]) -> str:
    found = hashlib.blake2b(digest_size=8)
    for run in runs:
        signatures = _signature(run.folder.run_file), _signature(run.folder.config_file)
        found.update(repr((run.name, signatures, run.record.status)).encode())
    found.update(repr(sorted(map(str, folder.anchors.glob("*/[!.]*.png")))).encode())
    return found.hexdigest()


def _signature(file: Path) -> Signature:
    try:
        stat = os.stat(file)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _linked(runs: Sequence[Run]) -> dict[str, Run]:
    """The runs by name, with those that did the work of others in their place."""
    by_name = _names(runs)
    runs = [_with_longer(run, by_name) for run in runs]
    by_name = _names(runs)
    return {run.name: _with_origin(run, runs, by_name) for run in runs}


def _names(runs: Sequence[Run]) -> dict[str, Run]:
    """The runs by the names that others know them by: those they were trained under, else their folders'.

    Of copies of one folder, the one that kept the name is meant, else the first.
    """
    folders = {run.name: run for run in runs}
    trained: dict[str, Run] = {}
    for run in sorted(runs, key=lambda run: run.name != run.known_as):
        trained.setdefault(run.known_as, run)
    return {**folders, **trained}


def _with_longer(run: Run, by_name: Mapping[str, Run]) -> Run:
    """The run with the present name of the longer one that it is the beginning of."""
    if not run.record.prefix_of:
        return run
    longer = by_name.get(run.record.prefix_of)
    return replace(run, prefix_of=longer.name if longer else run.record.prefix_of)


def _with_origin(run: Run, runs: Sequence[Run], by_name: Mapping[str, Run]) -> Run:
    """The run with the one that did its work; what was trained itself did its own."""
    if run.record.checkpoints or not run.record.same_as:
        return run
    wanted, passed, origin = run.record.same_as, {run.name}, None
    while wanted:
        found = by_name.get(wanted) or _alike(run, runs)
        if found is None or found.name in passed:
            break
        passed.add(found.name)
        origin, wanted = found, "" if found.record.checkpoints else found.record.same_as
    if origin is None or wanted:
        text = f"it is the same experiment as {run.record.same_as}, which is not in this folder"
        return replace(run, record=replace(run.record, status="cancelled", reason=text))
    return replace(run, origin=origin)


def _alike(run: Run, runs: Sequence[Run]) -> Run | None:
    """Another run of the same experiment that was trained."""
    own = run.record.experiment
    return next(
        (one for one in runs if own and one.record.experiment == own and not one.record.same_as), None
    )


def as_of_now(run: RunFolder, record: RunRecord) -> RunRecord:
    """The record, where a run that says it is running and has no worker is a cancelled one."""
    if record.status == "running" and not is_locked(run):
        return replace(record, status="cancelled", reason=GONE)
    return record


def _record(run: RunFolder) -> tuple[RunRecord, str]:
    """The record, and what is wrong with it."""
    try:
        run.look_inside()
        return read_record(run), ""
    except RunFolderError as error:
        return RunRecord(status="failed", reason=str(error)), str(error)


def _config(run: RunFolder) -> tuple[RunConfig | None, str]:
    """The job, and why there is none."""
    try:
        return load(run.config_file, checked=False), ""
    except LoraLabError as error:
        return None, str(error)
    except (OverflowError, RecursionError) as error:
        return None, f"{run.config_file} is not a readable config: {error}"


def _planned_order(folder: SweepFolder) -> list[str]:
    """The names of rows in the order of a plan: versions that gave runs no place kept it there alone."""
    return [row["name"] for row in read_plan(folder)["rows"]]


def settings_in(made: RunConfig) -> Settings:
    """A config's settings; dictionaries such as `optimizer.args` have a key per argument."""
    found: Settings = {}
    for key, value in flat(made).items():
        if isinstance(value, dict):
            found.update({f"{key}.{name}": comparable(item) for name, item in value.items()})
        else:
            found[key] = comparable(value)
    return found
