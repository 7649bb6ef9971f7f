"""What a sweep will do, decided and explained before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from lora_lab.config import RunConfig, difference, flat
from lora_lab.data.plan import DataPlan
from lora_lab.data.summary import DataSummary, summary
from lora_lab.effective import (
    Comparisons,
    Examined,
    Inert,
    Resolved,
    compare,
    differences,
    examine,
)
from lora_lab.errors import ConfigError, LoraLabError
from lora_lab.run.save_schedule import SaveSchedule
from lora_lab.store import SweepFolder
from lora_lab.sweep.devices import device_type, not_here
from lora_lab.sweep.estimate import Device, Estimate, estimate, known_of, over_budget
from lora_lab.sweep.external import ExternalRow, shown_elsewhere
from lora_lab.sweep.file import SweepFile
from lora_lab.sweep.kept import refuse_another, refuse_names, refuse_other_cases
from lora_lab.sweep.packs import packs_of
from lora_lab.sweep.places import absolute, refuse_files
from lora_lab.sweep.prefixes import mark_prefixes, trained_apart
from lora_lab.sweep.rows import Composed, compose_rows, for_all, overruled
from lora_lab.sweep.same import alike, first_of_each, why_same
from lora_lab.sweep.status import TO_DO, Decision, decide, left_over
from lora_lab.sweep.stopping import refuse_judge, stopping

UNSEEN = ("name", "sweep")
"""Settings that every row has its own value of, and that are no change of anything."""


@dataclass
class PlannedRun:
    """One row of a plan.

    Attributes:
        overrides: All that the row was composed from.
        config: The job, to be written to the run's folder.
        changes: Settings that act and differ from the base's, as (base, row); also previews and saving.
        same_as: The row that is the same experiment and is trained in place of this one, or ''.
        prefix_of: The longer row whose weights on the way are this one's, or ''; with `follows` that one is
            trained now and saves for it.
        status: One of `status.STATUSES`; `same` for a row that another one stands for.
        reason: Why, in words.
        aside: The folder holds an earlier run that has to be moved aside (`status.set_aside`) before.
        data: Folders and buckets of its images.
        notes: Settings that cannot act, fallbacks and warnings, in words.
        checkpoints: Tags of the checkpoints the run ends up with.
        steps_done: Those that its last state holds, where it goes on from there.
        to_render: Previews that its checkpoints still lack.
    """

    name: str
    overrides: tuple[str, ...]
    config: RunConfig
    resolved: Resolved
    fingerprint: str
    preview_fingerprint: str
    images: int
    updates_per_epoch: int
    total_steps: int
    samples: int
    exposures_per_image: float
    checkpoints: list[str]
    data: DataSummary = field(default_factory=DataSummary)
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    same_as: str = ""
    prefix_of: str = ""
    follows: bool = False
    status: str = "planned"
    reason: str = ""
    aside: bool = False
    notes: list[str] = field(default_factory=list)
    pack: int | None = None
    steps_done: int = 0
    to_render: int = 0

    @property
    def steps_left(self) -> int:
        """Steps that are still to be trained."""
        return 0 if self.status == "previews" else self.total_steps - self.steps_done

    @property
    def inert(self) -> tuple[Inert, ...]:
        """Settings that were set and cannot act."""
        return self.resolved.inert

    @property
    def prompts(self) -> tuple[str, ...]:
        """What is rendered, the trigger word filled in, on every base model."""
        resolved = self.resolved
        return tuple(map(resolved.shown_label, resolved.shown_prompts)) if resolved.preview.seeds else ()

    @property
    def to_do(self) -> bool:
        """Whether a worker has to do something for this row."""
        return self.status in TO_DO

    def to_json(self) -> dict[str, Any]:
        """The row as plain values, without its config."""
        return {
            "name": self.name,
            "overrides": list(self.overrides),
            "status": self.status,
            "reason": self.reason,
            "same_as": self.same_as,
            "prefix_of": self.prefix_of,
            "aside": self.aside,
            "fingerprint": self.fingerprint,
            "preview_fingerprint": self.preview_fingerprint,
            "changes": {key: {"base": one, "row": other} for key, (one, other) in self.changes.items()},
            "inert": [{"key": item.key, "reason": item.reason} for item in self.inert],
            "notes": self.notes,
            "images": self.images,
            "updates_per_epoch": self.updates_per_epoch,
            "total_steps": self.total_steps,
            "samples": self.samples,
            "exposures_per_image": self.exposures_per_image,
            "checkpoints": self.checkpoints,
            "pack": self.pack,
            "effective": self.resolved.acting,
        }


@dataclass
class Plan:
    """A sweep's rows and what happens to each; `packs` name the rows that train together, longest first; rows
    that take the weights of a longer one are in none."""

    name: str
    folder: SweepFolder
    question: str
    rows: list[PlannedRun]
    packs: list[list[str]]
    comparisons: Comparisons
    warnings: list[str]
    device_type: str
    base: RunConfig
    config_dirs: tuple[str, ...] = ()
    estimate: Estimate = field(default_factory=Estimate)
    retry: bool = False
    external: list[ExternalRow] = field(default_factory=list)

    @property
    def over_budget(self) -> list[str]:
        """Why it may not start, by what it is expected to cost."""
        return over_budget(self.estimate, self.base.budget)

    def row(self, name: str) -> PlannedRun:
        """The row of a name."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, PlannedRun]:
        return {row.name: row for row in self.rows}

    @cached_property
    def _followers(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for row in self.rows:
            if row.follows:
                found.setdefault(row.prefix_of, []).append(row.name)
        return found

    def followers(self, leader: str = "") -> list[str]:
        """The rows that take their weights from a row that is trained now, or from any."""
        if leader:
            return self._followers.get(leader, [])
        return [row.name for row in self.rows if row.follows]

    @property
    def conflicts(self) -> list[PlannedRun]:
        """Rows that stop the sweep: their folders hold something else."""
        return [row for row in self.rows if row.status == "conflict"]

    def images(self) -> list[tuple[DataSummary, list[str]]]:
        """What rows train on, folders and buckets, each with the names of its rows."""
        return alike(self.rows, lambda row: row.data)

    def prompts(self) -> list[tuple[tuple[str, ...], list[str]]]:
        """The final preview prompts, each list with the names of its rows."""
        return [pair for pair in alike(self.rows, lambda row: row.prompts) if pair[0]]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values, for `plan.json` and `--json`."""
        compared = self.comparisons
        return {
            "name": self.name,
            "folder": str(self.folder.path),
            "question": self.question,
            "device": self.device_type,
            "rows": [row.to_json() for row in self.rows],
            "external": [vars(row) for row in self.external],
            "packs": self.packs,
            "estimate": self.estimate.to_json(),
            "images": [{**data.to_json(), "rows": names} for data, names in self.images()],
            "prompts": [{"prompts": list(texts), "rows": names} for texts, names in self.prompts()],
            "comparisons": [
                {"key": item.key, "values": list(item.values), "pairs": [list(pair) for pair in item.pairs]}
                for item in compared.settings
            ],
            "aliased": [list(group) for group in compared.aliased],
            "replicates": [list(pair) for pair in compared.replicates],
            "warnings": self.warnings,
        }


def plan(
    sweep: SweepFile,
    extra: Sequence[str] = (),
    conf_dirs: Sequence[str] = (),
    *,
    folder: SweepFolder | None = None,
    retry: bool = False,
    redo: bool = False,
) -> Plan:
    """Compose, check and examine all rows, and decide what happens to each. Starts nothing.

    Args:
        extra: Overrides for every row; they win.
        conf_dirs: Folders with further group files.
        folder: Where the runs lie; `results/<name of the sweep>` where it is not given.
        retry: Try failed and diverged runs again.
        redo: Move runs of other settings out of the way instead of refusing.

    Raises:
        ConfigError: Every mistake of every row at once: settings, images, models, optimizers; or the folder
            holds the runs of another sweep file.
    """
    dirs = tuple(dict.fromkeys(map(absolute, [*sweep.config_dirs, *conf_dirs])))
    refuse_names(sweep, folder)
    (base, composed), lost = compose_rows(sweep, extra, dirs), overruled(sweep, extra, dirs)
    refuse_files(base)
    folder = folder or SweepFolder(Path(base.results) / sweep.name)
    refuse_other_cases(sweep, folder)
    where, names = str(sweep.path or sweep.name), [row.name for row in composed]
    device = device_type(base.device)
    examined = for_all(composed, lambda row: _examined(row.config, base, device), where, names)
    rows = [_row(one, found) for one, found in zip(composed, examined, strict=True)]
    refuse_another(sweep, folder, {row.name: row.resolved for row in rows})
    base_resolved, flat_base = _base_resolved(base, device), flat(base)
    for row in rows:
        _decide(row, folder, retry=retry, redo=redo)
        row.changes = _changes(row, flat_base, base_resolved)
    _mark_same(rows)
    if base.engine.share_prefixes:
        mark_prefixes(rows, folder)
    elsewhere = shown_elsewhere(sweep, folder, rows, retry)
    images = {one.name: one.to_render for one in elsewhere if one.to_render}
    known = known_of(base, device) if images or any(row.to_do for row in rows) else Device()
    packs, ends_early = packs_of(rows, base, folder, known), stopping(rows, folder)
    own = [(row.name, row.resolved.acting) for row in rows if not row.same_as]
    return Plan(
        sweep.name,
        folder,
        sweep.question,
        rows,
        packs,
        compare(own),
        [*lost, *_shared_warnings(rows, examined, base), *_of_rows(rows), *ends_early],
        device,
        base,
        dirs,
        estimate(rows, packs, known, images),
        retry,
        elsewhere,
    )


def _examined(config: RunConfig, base: RunConfig, device: str) -> Examined:
    refuse_judge(config)
    # Asking the system takes a moment: it is asked once, unless a row asks for another device.
    found = examine(config, device if config.device == base.device else device_type(config.device))
    if found.resolved.refusals:
        raise ConfigError("\n".join(found.resolved.refusals))
    return found


def _base_resolved(base: RunConfig, device: str) -> Resolved | None:
    try:
        return examine(base, device).resolved
    except LoraLabError:
        return None  # a base that only its rows complete


def _row(composed: Composed, found: Examined) -> PlannedRun:
    resolved = found.resolved
    per_epoch = resolved.facts.draws_per_epoch
    samples = round(per_epoch * resolved.epochs)
    notes = [_cannot_act(item) for item in resolved.inert]
    return PlannedRun(
        name=composed.name,
        overrides=composed.overrides,
        config=composed.config,
        resolved=resolved,
        fingerprint=resolved.fingerprint,
        preview_fingerprint=resolved.preview_fingerprint,
        images=found.training_data.images,
        data=summary(found.training_data.plan),
        updates_per_epoch=resolved.updates_per_epoch,
        total_steps=resolved.total_steps,
        samples=samples,
        exposures_per_image=round(_draws_per_image(found.training_data.plan) * resolved.epochs, 3),
        checkpoints=SaveSchedule.of(resolved).tags(),
        notes=[*notes, *resolved.fallbacks, *resolved.warnings],
    )


@lru_cache(maxsize=64)
def _draws_per_image(images: DataPlan) -> float:
    """Mean draws of a training image in an epoch; regularisation images do not count."""
    own = [item.repeats for item in images.items if not item.is_reg]
    return sum(own) / max(1, len(own))


def _decide(row: PlannedRun, folder: SweepFolder, *, retry: bool, redo: bool) -> None:
    decision: Decision = decide(
        folder.run(row.name),
        row.resolved,
        row.checkpoints,
        retry=retry,
        redo=redo,
    )
    row.status, row.reason, row.aside = decision.status, decision.reason, decision.aside
    if row.to_do:
        row.steps_done, row.to_render = left_over(
            folder.run(row.name), row.resolved, row.checkpoints, decision
        )
    # A run of an earlier version goes on under the name that its states and files bear.
    row.fingerprint = decision.fingerprint or row.fingerprint


def _changes(
    row: PlannedRun, there: Mapping[str, Any], base_resolved: Resolved | None
) -> dict[str, tuple[Any, Any]]:
    """The settings in which a row differs from the base, as (base, row); `there` is the base, flat."""
    here = flat(row.config)
    plain = {key: (there[key], here[key]) for key in here if here[key] != there[key] and key not in UNSEEN}
    if base_resolved is None:
        return plain
    acting = differences(row.resolved, base_resolved)
    changes = {key: (other, one) for key, (one, other) in acting.items()}
    for key, both in plain.items():
        known = key in row.resolved.acting or key in row.resolved.no_effect or key.endswith(".args")
        if not known or (key in row.resolved.acting and key not in base_resolved.acting):
            changes.setdefault(key, both)
    return changes


def _mark_same(rows: Sequence[PlannedRun]) -> None:
    """Let one row stand for all of the same experiment; a row that was trained itself keeps its own run."""
    for row, first in first_of_each(rows):
        if row is not first and row.status not in ("done", "previews", "running", "conflict"):
            row.same_as, row.status, row.aside = first.name, "same", False
            row.reason = why_same(row, first)


def _cannot_act(item: Inert) -> str:
    return f"{item.key} has no effect: {item.reason}"


def _of_rows(rows: Sequence[PlannedRun]) -> list[str]:
    return [*trained_apart(rows), *not_here(rows)]


def _shared_warnings(rows: Sequence[PlannedRun], examined: Sequence[Examined], base: RunConfig) -> list[str]:
    """What is said once for the sweep, of images, models and the base; taken out of the rows' own notes."""
    shared = {str(problem): None for found in examined for problem in found.training_data.problems}
    shared |= {text: None for found in examined for text in found.model.problems}
    # Settings that a row sets and that cannot act stay with the row, even where all rows set them.
    own_mistakes = {_cannot_act(item) for row in rows for item in row.inert}
    common = set.intersection(*({*row.notes} - own_mistakes for row in rows)) if len(rows) > 1 else set()
    inherited: dict[str, list[str]] = {}
    for row in rows:
        own = difference(row.config, base) if row.inert else {}
        of_base = [_cannot_act(item) for item in row.inert if item.key.partition(".args.")[0] not in own]
        of_base += [text for text in row.notes if text in common]
        for text in dict.fromkeys(of_base):
            inherited.setdefault(text, []).append(row.name)
        row.notes = [text for text in row.notes if text not in of_base]
    for text, names in inherited.items():
        in_all = len(names) == len(rows)
        shared[text if in_all else f"rows {', '.join(names)}: {text}"] = None
    repeated = len(rows) - len({row.resolved.fingerprint for row in rows})
    if repeated:
        shared[f"{repeated} of {len(rows)} rows: the same experiment as another row, trained once"] = None
    return list(shared)
