"""Keeping the runs of a pack in step: their states are saved at one moment, and taken up from one moment."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from uuid import uuid4

from lora_lab.errors import LoraLabError
from lora_lab.models import BaseModel
from lora_lab.networks.spec import AdapterSpec
from lora_lab.resolved import Resolved
from lora_lab.run.adapter import adapter_spec
from lora_lab.run.checkpoints import oldest_kept_state
from lora_lab.run.state import (
    Group,
    Saved,
    drop_later_states,
    drop_old_states,
    drop_states,
    in_step,
    save_state,
    saved_states,
)
from lora_lab.run.task import Task, clock
from lora_lab.store import FINISHED, RunFolder, read_or_failed
from lora_lab.train import Record

Guard = Callable[[Task], AbstractContextManager[object]]


def choose_starts(ready: Sequence[Task], settled: Callable[[Task], bool]) -> None:
    """Decide which state each run goes on from, as `Task.start`; states behind it are deleted.

    A run that has all its checkpoints needs none, unless its mates go back to a moment when it still trained:
    then it trains again what came after, beside them, to the same end.
    """
    states = {task.name: saved_states(task.folder, task.record.fingerprint) for task in ready}
    chosen = in_step(states)
    done = {task.name for task in ready if settled(task)}
    needed = {run for name, start in chosen.items() if start and name not in done for run in start.group.runs}
    for task in ready:
        start = chosen[task.name]
        task.start = start if task.name not in done or task.name in needed else None
        if task.start:
            drop_later_states(task.folder, task.start)


class Company:
    """The runs that a pack is built for: those at work, and mates that have ended since.

    The ended ones still decide how weights are padded, and with it the last bits of the others.
    """

    def __init__(self, ready: Sequence[Task]) -> None:
        self._tasks = {task.name: task for task in ready}
        earlier = {run for task in ready if task.start for run in task.start.group.pack}
        home = ready[0].folder.path.parent
        self._ended: dict[str, Resolved] = {}
        for name in earlier - self._tasks.keys():
            record = read_or_failed(RunFolder(home / name))
            if record.status in FINISHED and record.resolved:
                self._ended[name] = Resolved.from_plain(record.resolved)
        self.names = sorted([*self._tasks, *self._ended])
        self._going = 0
        self._groups = max((task.start.group.number for task in ready if task.start), default=0)

    def specs(self, base: BaseModel) -> list[AdapterSpec]:
        """The adapters of all of them, in an order that does not depend on who has ended."""
        found = [self._spec(name, base) for name in self.names]
        return [spec for spec in found if spec]

    def _spec(self, name: str, base: BaseModel) -> AdapterSpec | None:
        if name in self._ended:
            # A file that it took its layers from may be gone; the others can do without that run's padding.
            with suppress(LoraLabError):
                return adapter_spec(self._ended[name], base)
            return None
        prepared = self._tasks[name].prepared
        assert prepared
        return prepared.job.adapter

    def after_step(self, active: Sequence[Task], records: Sequence[Record], guard: Guard) -> None:
        """Save the states of all that go on, where one of them is due or a mate leaves.

        Args:
            active: The tasks that are training, those that leave now among them.
            records: What the step gave.
            guard: Makes an error of one task that task's own.
        """
        ended = {record.run for record in records if record.ended}
        going = [
            task for task in active if task.name not in ended and task.runner and not task.runner.finished
        ]
        names = {task.name for task in going}
        due = any(_state_due(self._tasks[item.run], item.step) for item in records if item.run in names)
        if due or len(going) < self._going:
            self.save(going, guard)
        self._going = len(going)

    def save(self, tasks: Sequence[Task], guard: Guard) -> None:
        """Save the states of tasks as one group; older ones go when all of it is on the disk."""
        # A run that another worker has taken over is that one's to save.
        keeping = [task for task in tasks if task.resolved.train.save_state and not task.lock.lost()]
        self._groups += 1
        group = Group(uuid4().hex[:12], self._groups, [task.name for task in keeping], self.names)
        saved: list[tuple[Task, Saved]] = []
        for task in keeping:
            with guard(task), clock([task], "save"):
                assert task.runner
                state = save_state(task.folder, task.runner.state(), task.record.fingerprint, group)
                saved.append((task, state))
        for task, state in saved:
            with guard(task):
                _drop_old(task, state)
                task.write()


def drop_unasked(task: Task) -> None:
    """Delete the states of a run that is done, but for those that its settings keep."""
    keep = task.resolved.train.keep_state
    drop_states(task.folder, (lambda step: _state_due(task, step)) if keep else lambda _: False)


def _state_due(task: Task, step: int) -> bool:
    return bool(task.save_schedule and task.save_schedule.state_due(step))


def _drop_old(task: Task, newest: Saved) -> None:
    train = task.resolved.train
    keep_from = oldest_kept_state(train, newest.step, task.resolved.updates_per_epoch)
    drop_old_states(task.folder, newest, keep_from, lambda step: _state_due(task, step))
