"""Runs that are the beginning of a longer one: their weights are that run's, so they train nothing.

The longer run, their leader, names them in its record. Where both are at work in one worker, the shorter ones
are saved from the leader's slot of the pack; where the leader was trained before, from its files.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace

from lora_lab.errors import LoraLabError
from lora_lab.lora_files.disk import read_lora
from lora_lab.resolved import Resolved
from lora_lab.run.checkpoints import enter_lora
from lora_lab.run.task import Task
from lora_lab.store import Checkpoint, RunFolder, RunRecord, SweepFolder, read_or_failed
from lora_lab.store.steps import read_steps, write_steps
from lora_lab.train import Record


def open_followers(leaders: Sequence[Task]) -> list[Task]:
    """The runs that leaders save for, opened and locked; those that another worker holds are left out."""
    taken = {task.name for task in leaders}
    found = []
    for leader in leaders:
        sweep = SweepFolder(leader.folder.path.parent)
        for name in leader.record.adopters:
            folder = sweep.run(name)
            if name in taken or not folder.config_file.is_file():
                continue
            taken.add(name)
            try:
                task = None if read_or_failed(folder).status == "done" else Task.open(folder)
            except LoraLabError as error:
                print(f"{name} takes nothing from {leader.name}: {error}", file=sys.stderr)
                continue
            if task:
                task.leader = leader
                found.append(task)
    return found


def can_follow(task: Task) -> bool:
    """Whether the leader still has before it all checkpoints that the run lacks.

    The records of both are as of the update that the leader goes on from.
    """
    leader, save_schedule = task.leader, task.save_schedule
    if leader is None or save_schedule is None or not task.resolved.begins(leader.resolved):
        return False
    have = {item.step for item in task.record.checkpoints}
    return all(update > leader.update or update in have for update in save_schedule.updates())


def as_own(task: Task, record: Record) -> Record:
    """An update of the leader as one of the run itself, whose epochs may be shorter; it took it no time."""
    assert task.save_schedule
    epoch = -(-record.step // task.save_schedule.updates_per_epoch)
    return replace(record, run=task.name, epoch=epoch, seconds=0.0)


def adopt_files(task: Task) -> bool:
    """Take the checkpoints that a run lacks from the files of a longer run that was trained before.

    False where they are not all there. The run's own metadata and log are written with them.

    Raises:
        RunFolderError: The folder cannot be written to, or the disk is full.
    """
    save_schedule, source = task.save_schedule, RunFolder(task.folder.path.parent / task.record.prefix_of)
    if not task.record.prefix_of or save_schedule is None or not source.config_file.is_file():
        return False
    given = _given(task, source)
    have = {item.step for item in task.record.checkpoints}
    lacking = [update for update in save_schedule.updates() if update not in have]
    if given is None or any(update not in given for update in lacking):
        return False
    _copy_log(task, source)
    for update in lacking:
        theirs = given[update]
        try:
            tensors, _ = read_lora(source.path / theirs.file)
        except LoraLabError:
            return False
        checkpoint = enter_lora(task, save_schedule.tag(update), _record_of(task, theirs), tensors)
        checkpoint.seconds = theirs.seconds
    last = task.record.checkpoints[-1]
    task.record.step, task.record.samples, task.record.loss = last.step, last.samples, last.loss
    task.record.epoch, task.record.reg_samples = last.epoch, last.reg_samples
    if task.record.images:
        seen = last.samples - last.reg_samples
        task.record.exposures_per_image = round(seen / task.record.images, 3)
    task.write()
    return True


def _given(task: Task, source: RunFolder) -> dict[int, Checkpoint] | None:
    """The checkpoints of another run by update, if that is a longer one whose files are as this run's would
    be."""
    record: RunRecord = read_or_failed(source)
    try:
        longer = Resolved.from_plain(record.resolved)
    except LoraLabError:
        return None
    if not task.resolved.begins(longer) or task.resolved.saved_as != longer.saved_as:
        return None
    return {item.step: item for item in record.checkpoints if (source.path / item.file).is_file()}


def _copy_log(task: Task, source: RunFolder) -> None:
    """The longer run's log up to the run's own end; its epochs may be shorter, and it took it no time."""
    assert task.save_schedule
    each = task.save_schedule.updates_per_epoch
    rows = [row for row in read_steps(source) if row["step"] <= task.save_schedule.total_updates]
    write_steps(task.folder, [{**row, "epoch": -(-row["step"] // each), "seconds": 0.0} for row in rows])


def _record_of(task: Task, theirs: Checkpoint) -> Record:
    known = Record(task.name, theirs.step, 0, theirs.samples, 0.0, {}, 0.0, None, 0.0)
    measured = {int(timestep): loss for timestep, loss in theirs.validation.items() if loss is not None}
    return as_own(
        task,
        replace(
            known,
            reg_samples=theirs.reg_samples,
            validation_loss=theirs.validation_loss,
            validation=measured or None,
        ),
    )
