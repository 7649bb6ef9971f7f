"""What the run folders of a sweep hold, read again only where a file changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

from lora_lab.anchors import anchor_folder, anchor_name
from lora_lab.axes import axis, show
from lora_lab.config import RunConfig, load_plain, parse_resolution
from lora_lab.errors import LoraLabError, RunFolderError
from lora_lab.store import Checkpoint, Preview, RunFolder, RunRecord, SweepFolder, read_record
from lora_lab.store.reading import as_of_now, settings_in
from lora_lab.store.table import PLACE, differing

Signature = tuple[int, int, int]
Coordinates = tuple[str, int, int, float]
"""Where a preview stands within its run: checkpoint tag, prompt, seed, strength."""

UNKNOWN_SIZE = (512, 512)


def picture_id(*parts: object) -> str:
    """An opaque name of a picture; equal parts give equal names, whichever process asks."""
    return hashlib.blake2b("\n".join(map(str, parts)).encode(), digest_size=10).hexdigest()


@dataclass(frozen=True)
class Run:
    """One run of a sweep as it is now.

    `record` and `origin` are those of the run that did the work: another one where `same_as` names it.
    """

    name: str
    folder: RunFolder
    origin: RunFolder
    record: RunRecord
    config: RunConfig | None
    settings: dict[str, Any]
    overrides: tuple[str, ...] = ()
    same_as: str = ""
    without_effect: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """One of `store.STATUSES`, of the run that did the work."""
        return self.record.status

    @property
    def why(self) -> str:
        """Why it is no ordinary run: the reason of its end, or of what it is the same experiment."""
        return f"same experiment as {self.same_as}" if self.same_as else self.record.reason

    @cached_property
    def previews(self) -> dict[Coordinates, Preview]:
        """The previews by where they stand."""
        return {
            (item.tag, shot.prompt, shot.seed, shot.strength): shot
            for item in self.record.checkpoints
            for shot in item.previews
        }

    @cached_property
    def checkpoints(self) -> dict[str, Checkpoint]:
        """The checkpoints by tag, in the order they were saved."""
        return {item.tag: item for item in self.record.checkpoints}

    @cached_property
    def last_shown(self) -> str:
        """Tag of the last checkpoint that has previews, or ''."""
        return next((item.tag for item in reversed(self.record.checkpoints) if item.previews), "")

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the previews in pixels, by the settings."""
        if self.config is None:
            return UNKNOWN_SIZE
        try:
            return parse_resolution(self.config.preview.size or self.config.dataset.resolution)
        except (LoraLabError, ValueError):
            return UNKNOWN_SIZE

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        """What the run changes from the sweep's base: key, label and value as people write them."""
        keys = [text.lstrip("+~").partition("=")[0] for text in self.overrides]
        found = [key for key in keys if key in self.settings]
        # A duplicate's record names what has an effect; what else its author wrote is why it is there.
        found += [key for key in self.without_effect if key not in found]
        return [(key, axis(key).label, show(self.settings[key])) for key in found]

    def picture(self, tag: str, shot: Preview) -> str:
        """The opaque name of a preview; another one when it was rendered again with other settings."""
        seconds = self.checkpoints[tag].seconds
        return picture_id(self.origin.path, shot.file, self.record.preview_fingerprint, seconds)

    def base_pictures(self) -> Iterator[tuple[int, int, str, Path]]:
        """The bare base model's pictures of its prompts: prompt, seed, opaque name, file."""
        if self.config is None:
            return
        folder = anchor_folder(self.folder, self.config)
        for prompt in range(len(self.config.preview.prompts)):
            for seed in self.config.preview.seeds:
                file = folder / anchor_name(prompt, seed)
                yield prompt, seed, picture_id("base", file), file


def _inside(file: str) -> bool:
    """Whether a relative file name of a record stays within its run's folder, and is a picture's."""
    path = PurePosixPath(file.replace("\\", "/"))
    return not path.is_absolute() and ".." not in path.parts and path.suffix.lower() == ".png"


@dataclass(frozen=True)
class Sweep:
    """A sweep at one moment: its runs in the order of the plan. `version` changes whenever anything did."""

    folder: SweepFolder
    runs: dict[str, Run]
    version: str

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.folder.name

    @cached_property
    def varied(self) -> list[str]:
        """The settings that differ among the runs."""
        return differing(run.settings for run in self.runs.values())

    @property
    def live(self) -> bool:
        """Whether anything may still change."""
        return any(run.status in ("running", "planned") for run in self.runs.values())

    @cached_property
    def pictures(self) -> dict[str, Path]:
        """Every picture that the records name, by its opaque name; nothing else is ever served."""
        found: dict[str, Path] = {}
        bases: set[Path] = set()
        for run in self.runs.values():
            if not run.same_as:
                for (tag, *_), shot in run.previews.items():
                    if _inside(shot.file):
                        found[run.picture(tag, shot)] = run.origin.path / shot.file
            if run.config and (base := anchor_folder(run.folder, run.config)) not in bases:
                bases.add(base)
                found.update({name: file for _, _, name, file in run.base_pictures()})
        found.update({picture_id("training", file): file for file in self._training_files})
        return found

    def file(self, name: str) -> Path | None:
        """The file of an opaque name; None where there is none, or it leads out of the sweep's folder."""
        found = self.pictures.get(name)
        if found is None or not found.is_file():
            return None
        return found if found.resolve().is_relative_to(self.folder.path.resolve()) else None

    @cached_property
    def _training_files(self) -> list[Path]:
        return sorted(self.folder.anchors.glob("pictures-*/*.png"))

    @cached_property
    def training(self) -> list[str]:
        """Opaque names of training pictures, each picture once."""
        unique: dict[bytes, str] = {}
        for file in self._training_files:
            unique.setdefault(hashlib.sha256(file.read_bytes()).digest(), picture_id("training", file))
        return list(unique.values())


@dataclass
class Shelf:
    """The sweep folders that were read, and what was in them; safe to use from several threads."""

    _files: dict[Path, tuple[Signature | None, Any]] = field(default_factory=dict)
    _sweeps: dict[Path, Sweep] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def read(self, folder: SweepFolder) -> Sweep:
        """The sweep as it is now; the very same object as before where nothing changed.

        Raises:
            RunFolderError: The folder holds no runs.
        """
        with self._lock:
            runs = list(folder.runs())
            if not runs:
                raise RunFolderError(f"{folder.path} holds no runs")
            version = hashlib.blake2b(digest_size=8)
            records: dict[str, RunRecord] = {}
            for run in runs:
                records[run.name] = as_of_now(run, self._cached(run.run_file, lambda run=run: _record(run)))
                signatures = _signature(run.run_file), _signature(run.config_file)
                version.update(repr((run.name, signatures, records[run.name].status)).encode())
            version.update(repr(sorted(map(str, folder.anchors.glob("*/*.png")))).encode())
            known = self._sweeps.get(folder.path)
            if known and known.version == version.hexdigest():
                return known
            made = {run.name: self._run(folder, run, records) for run in runs}
            self._sweeps[folder.path] = Sweep(folder, made, version.hexdigest())
            return self._sweeps[folder.path]

    def known(self, path: Path) -> Sweep | None:
        """The sweep of a folder as it was read last, without a look at the disk."""
        return self._sweeps.get(path)

    def _run(self, folder: SweepFolder, run: RunFolder, records: dict[str, RunRecord]) -> Run:
        own = records[run.name]
        origin = own.same_as if own.same_as in records else run.name
        config, settings = self._settings(run)
        there = self._settings(folder.run(origin))[1]
        silent = [key for key, value in settings.items() if key not in PLACE and value != there.get(key)]
        return Run(
            run.name,
            run,
            folder.run(origin),
            records[origin],
            config,
            settings,
            tuple(own.overrides),
            own.same_as,
            tuple(silent),
        )

    def _settings(self, run: RunFolder) -> tuple[RunConfig | None, dict[str, Any]]:
        return self._cached(run.config_file, lambda: _settings(run))

    def _cached(self, file: Path, read: Any) -> Any:
        signature = _signature(file)
        known = self._files.get(file)
        if known is None or known[0] != signature:
            # The signature was taken first: a file that changes in between is read again the next time.
            known = self._files[file] = (signature, read())
        return known[1]


def _signature(file: Path) -> Signature | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _record(run: RunFolder) -> RunRecord:
    try:
        return read_record(run)
    except RunFolderError as error:
        return RunRecord(status="failed", reason=str(error))


def _settings(run: RunFolder) -> tuple[RunConfig | None, dict[str, Any]]:
    try:
        config = load_plain(run.config_file)
    except LoraLabError:
        return None, {}
    return config, settings_in(config)
