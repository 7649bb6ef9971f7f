"""The runs of a sweep as the gallery's pages show them: images by opaque names, what each run changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lora_lab.anchors import anchor_folder, anchor_name
from lora_lab.axes import axis, show_setting
from lora_lab.config import RunConfig, parse_resolution
from lora_lab.errors import LoraLabError
from lora_lab.metrics.registry import DESCRIBING, LESS_IS_BETTER
from lora_lab.store import Checkpoint, Preview, RunRecord, SweepFolder, reading
from lora_lab.store.reading import EXTERNAL
from lora_lab.store.table import PLACE, differing, means

Coordinates = tuple[str, int, int, float]
"""Where a preview stands within its run: checkpoint tag, prompt, seed, strength."""

UNKNOWN_SIZE = (512, 512)


def image_id(*parts: object) -> str:
    """An opaque name of an image; equal parts give equal names, whichever process asks."""
    return hashlib.blake2b("\n".join(map(str, parts)).encode(), digest_size=10).hexdigest()


@dataclass(frozen=True)
class Run:
    """One run of a sweep as pages show it; its numbers and images are those of the run that did the work.

    `without_effect` are settings of a twin's that differ from those of the run that did the work.
    """

    read: reading.Run
    without_effect: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.read.name

    @property
    def record(self) -> RunRecord:
        """The record of the run that did the work."""
        return self.read.work

    @property
    def config(self) -> RunConfig | None:
        """Its job; None where that cannot be read."""
        return self.read.config

    @property
    def settings(self) -> dict[str, Any]:
        """All its settings; none where its job cannot be read."""
        return self.read.settings

    @property
    def same_as(self) -> str:
        """The run that did the work in its place, or ''."""
        return self.read.same_as

    @property
    def status(self) -> str:
        """One of `store.STATUSES`, of the run that did the work."""
        return self.read.status

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

    @property
    def loss(self) -> float | None:
        """The mean loss up to its last checkpoint, since the one before."""
        return next((item.loss for item in reversed(self.record.checkpoints)), None)

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
        """What the run changes from the sweep's base: key, label and value as people write them.

        Of a LoRA that was trained elsewhere nobody knows all that differs: who trained it.
        """
        if trainer := self.read.record.external.get("trainer"):
            return [(EXTERNAL, EXTERNAL, str(trainer))]
        keys = [text.lstrip("+~").partition("=")[0] for text in self.read.record.overrides]
        found = [key for key in keys if key in self.settings]
        # A duplicate's record names what has an effect; what else its author wrote is why it is there.
        found += [key for key in self.without_effect if key not in found]
        return [(key, axis(key).label, show_setting(key, self.settings[key])) for key in found]

    def image(self, tag: str, shot: Preview) -> str:
        """The opaque name of a preview; another one when it was rendered again with other settings."""
        seconds = self.checkpoints[tag].seconds
        where = self.read.worker.folder.path
        return image_id(where, shot.file, self.record.preview_fingerprint, seconds)

    def base_images(self) -> Iterator[tuple[int, int, str, Path]]:
        """The bare base model's images of its prompts: prompt, seed, opaque name, file."""
        if self.config is None:
            return
        folder = anchor_folder(self.read.folder, self.config, self.read.worker.record)
        shown = self.config.preview
        for prompt in range(len(shown.prompts) * (1 + len(shown.base_model))):
            for seed in self.config.preview.seeds:
                file = folder / anchor_name(prompt, seed)
                yield prompt, seed, image_id("base", file), file


@dataclass(frozen=True)
class Sweep:
    """A sweep at one moment: its runs in order. `version` changes whenever anything did."""

    read: reading.Sweep
    runs: dict[str, Run]

    @property
    def folder(self) -> SweepFolder:
        """Its folder."""
        return self.read.folder

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.read.name

    @property
    def version(self) -> str:
        """A text for what is in its files now."""
        return self.read.version

    @cached_property
    def varied(self) -> list[str]:
        """The settings that differ among the runs."""
        return differing(run.settings for run in self.runs.values())

    @property
    def live(self) -> bool:
        """Whether anything may still change."""
        return any(run.status in ("running", "planned") for run in self.runs.values())

    @cached_property
    def judging_metrics(self) -> list[str]:
        """Automatic metrics that may stand for a score: more is better, and no effect is not the best."""
        items = [item for run in self.runs.values() for item in run.record.checkpoints]
        names = {name for item in items for name in means(item)}
        return sorted(names - set(LESS_IS_BETTER) - set(DESCRIBING))

    @cached_property
    def images(self) -> dict[str, Path]:
        """Every image that the records name, by its opaque name; nothing else is ever served."""
        found: dict[str, Path] = {}
        bases: set[Path] = set()
        for run in self.runs.values():
            if not run.same_as:
                for (tag, *_), shot in run.previews.items():
                    file = run.read.file(shot)
                    if file and file.suffix.lower() == ".png":
                        found[run.image(tag, shot)] = file
            if run.config is None:
                continue
            base = anchor_folder(run.read.folder, run.config, run.read.worker.record)
            if base not in bases:
                bases.add(base)
                found.update({name: file for _, _, name, file in run.base_images()})
        found.update({image_id("training", file): file for file in self.read.training_images})
        return found

    def file(self, name: str) -> Path | None:
        """The file of an opaque name; None where there is none, or it leads out of its run's folder.

        A run's folder may itself be a link to another disk.
        """
        found = self.images.get(name)
        if found is None or not found.is_file():
            return None
        own = self.folder.path / found.relative_to(self.folder.path).parts[0]
        return found if found.resolve().is_relative_to(own.resolve()) else None

    @cached_property
    def training(self) -> list[str]:
        """Opaque names of training images, each image once."""
        unique: dict[bytes, str] = {}
        for file in self.read.training_images:
            unique.setdefault(hashlib.sha256(file.read_bytes()).digest(), image_id("training", file))
        return list(unique.values())


@dataclass
class SweepCache:
    """The sweeps that were read, and what was in them; safe to use from several threads."""

    _reader: reading.Reader = field(default_factory=reading.Reader)
    _sweeps: dict[Path, Sweep] = field(default_factory=dict)

    def read(self, folder: SweepFolder) -> Sweep:
        """The sweep as it is now; the very same object as before where nothing changed.

        Raises:
            RunFolderError: The folder cannot be read, or holds no runs.
        """
        read, known = self._reader.read(folder), self._sweeps.get(folder.path)
        if known is None or known.read is not read:
            known = self._sweeps[folder.path] = Sweep(
                read, {name: _run(run) for name, run in read.runs.items()}
            )
        return known

    def known(self, path: Path) -> Sweep | None:
        """The sweep of a folder as it was read last, without a look at the disk."""
        return self._sweeps.get(path)


def _run(run: reading.Run) -> Run:
    there = run.worker.settings
    silent = [key for key, value in run.settings.items() if key not in PLACE and value != there.get(key)]
    return Run(run, tuple(silent))
