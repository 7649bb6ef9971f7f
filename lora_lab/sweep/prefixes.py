"""Rows that are the beginning of a longer one: the longer is trained, and the others take its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lora_lab.errors import RunFolderError
from lora_lab.run.save_schedule import SaveSchedule
from lora_lab.store import SweepFolder, read_record
from lora_lab.sweep.packs import pack_key

if TYPE_CHECKING:
    from lora_lab.sweep.plan import PlannedRun

_TRAINS = ("planned", "resume")
_TRAINED = ("done", "previews")


def mark_prefixes(rows: Sequence[PlannedRun], folder: SweepFolder) -> None:
    """Have every row that is the beginning of a longer one take its checkpoints from there, where it can.

    Rows that were begun by themselves go on so; training states are kept of rows that are trained alone.
    """
    groups: dict[tuple[str, str], list[PlannedRun]] = {}
    for row in rows:
        if row.resolved.training and not row.resolved.length_bound and not row.same_as:
            key = row.resolved.training, pack_key(row.config, row.resolved)
            groups.setdefault(key, []).append(row)
    for group in groups.values():
        leaders: list[PlannedRun] = []
        for row in sorted(group, key=lambda one: -one.total_steps):
            leader = _leader(row, leaders, folder)
            if leader is None:
                leaders.append(row)
                continue
            row.prefix_of, row.follows = leader.name, leader.status in _TRAINS
            row.reason = _why(row, leader)


def _leader(row: PlannedRun, leaders: Sequence[PlannedRun], folder: SweepFolder) -> PlannedRun | None:
    """The first longer row that still gives, or has saved, all that the row lacks."""
    if row.status != "planned" or row.resolved.train.keep_state:
        return None
    lacking = set(SaveSchedule.of(row.resolved).updates()) - _saved(row, folder, own=True)
    for leader in leaders:
        if not row.resolved.begins(leader.resolved):
            continue
        if leader.status in _TRAINS and all(step > _goes_on(leader, folder) for step in lacking):
            return leader
        alike = row.resolved.saved_as == leader.resolved.saved_as
        if leader.status in _TRAINED and alike and lacking <= _saved(leader, folder):
            return leader
    return None


def _goes_on(row: PlannedRun, folder: SweepFolder) -> int:
    """The step that a row's training goes on from."""
    return 0 if row.aside else (folder.run(row.name).saved_states() or [0])[-1]


def _saved(row: PlannedRun, folder: SweepFolder, *, own: bool = False) -> set[int]:
    """The steps of the checkpoints that are there of a row; of its `own`, those that were discarded, too."""
    run = folder.run(row.name)
    if row.aside:
        return set()
    try:
        record = read_record(run)
    except RunFolderError:
        return set()
    if record.fingerprint != row.fingerprint:
        return set()
    return {
        item.step
        for item in record.checkpoints
        if (own and item.discarded) or (run.path / item.file).is_file()
    }


def _why(row: PlannedRun, leader: PlannedRun) -> str:
    return f"prefix of {leader.name}: its weights after {row.total_steps} of {leader.total_steps} steps"


def trained_apart(rows: Sequence[PlannedRun]) -> list[str]:
    """Rows that differ in their length alone and share nothing, with the reason."""
    groups: dict[tuple[str, str], list[PlannedRun]] = {}
    for row in rows:
        if row.resolved.training and row.resolved.length_bound and not row.same_as:
            groups.setdefault((row.resolved.training, row.resolved.length_bound), []).append(row)
    return [
        f"rows {', '.join(row.name for row in group)} differ in length alone and are trained apart: {reason}"
        for (_, reason), group in groups.items()
        if len(group) > 1
    ]
