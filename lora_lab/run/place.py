"""Where a run stands when a worker takes it up: what stays of an earlier worker, and where it goes on."""

from lora_lab.run import following
from lora_lab.run.stale_previews import forget_stale
from lora_lab.run.task import Task
from lora_lab.store.steps import truncate_steps


def find_place(task: Task) -> None:
    """Find where a run goes on, and forget what is later or was made with other settings.

    A run that is the beginning of another one follows that where it can, takes its files where those are all
    there, and is trained by itself where neither can be.

    Raises:
        RunFolderError: Its folder cannot be written to, or the log of scores cannot be read.
    """
    begun = task.start is not None or not settled(task)
    _forget_after_state(task)
    if task.leader and (settled(task.leader) or not following.can_follow(task)):
        task.leader = None
    if not task.leader and task.record.prefix_of and not settled(task) and not following.adopt_files(task):
        task.record.prefix_of = ""
        _forget_after_state(task)
    if begun and task.update:
        task.record.resumed_at_steps.append(task.update)
    task.unmeasured = forget_stale(task.folder, task.record, task.resolved)
    task.write()


def _forget_after_state(task: Task) -> None:
    """Drop logs and checkpoints later than the state that the run, or its leader, goes on from."""
    if settled(task) and not task.start:
        return
    update = task.leader.update if task.leader else task.start.step if task.start else 0
    kept = [item for item in task.record.checkpoints if item.step <= update]
    kept = [item for item in kept if (task.folder.path / item.file).is_file()]
    if not update:
        task.record.seconds = {key: value for key, value in task.record.seconds.items() if key != "train"}
    task.update, task.record.checkpoints = update, kept
    truncate_steps(task.folder, update)


def settled(task: Task) -> bool:
    """Whether all checkpoints of the run are there, or it takes part no more."""
    if task.prepared is None or task.save_schedule is None:
        return True
    have = {
        item.tag
        for item in task.record.checkpoints
        if item.discarded or (task.folder.path / item.file).is_file()
    }
    return task.record.step >= task.save_schedule.total_updates and have >= set(task.save_schedule.tags())
