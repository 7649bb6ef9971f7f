"""Rendering while a pack is at work: anchors, checkpoints just saved, and what an earlier worker left out."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from lora_lab.lora_files.reading import read
from lora_lab.models import BaseModel
from lora_lab.networks.pack import Pack
from lora_lab.run import previews
from lora_lab.run.events import Events
from lora_lab.run.interrupt import Interrupt
from lora_lab.run.machine import describe_failure
from lora_lab.run.measured import measure_checkpoint
from lora_lab.run.task import Task, clock
from lora_lab.store import Checkpoint

Saved = tuple[Task, Checkpoint, int]
"""A checkpoint whose adapter lies in a slot of the pack."""


def missing_of(task: Task) -> list[Checkpoint]:
    """The checkpoints of a run that lack previews, or numbers of those that they have."""
    return [
        item
        for item in task.record.checkpoints
        if not item.discarded
        and (item.tag in task.unmeasured or previews.wanted_of(task.folder, task.resolved, item, 0))
    ]


def missing_on(task: Task, path: str) -> list[Checkpoint]:
    """The checkpoints of a run that lack previews on one base model, or numbers of those that they have.

    Args:
        path: Of a further base model; '' is the run's own.
    """
    return [
        item
        for item in missing_of(task)
        if (item.tag in task.unmeasured and not path)
        or previews.on_base(previews.wanted_of(task.folder, task.resolved, item, 0), path)
    ]


class Previewer:
    """Renders with the adapters of one pack on one base model; an interrupt is noticed between two images.

    `path` is that of the further base model, '' the runs' own.
    """

    def __init__(
        self, base: BaseModel, pack: Pack, events: Events, interrupt: Interrupt, path: str = ""
    ) -> None:
        self._path = path
        self._base = base
        self._pack = pack
        self._events = events
        self._interrupt = interrupt

    def anchors(self, tasks: Sequence[Task]) -> None:
        """Render the bare base model for the prompts of all runs.

        Raises:
            RunFolderError: An image cannot be written.
        """
        self._events.send("phase", phase="preview")
        with clock(tasks, "preview"):
            for task in tasks:
                for _ in previews.make_anchors(
                    self._base, self._pack, task.folder, task.resolved, self._path
                ):
                    if self._interrupt.reason:
                        return

    def fill(
        self, tasks: Sequence[Task], slots: int, guard: Callable[[Task], AbstractContextManager[object]]
    ) -> None:
        """Render what saved checkpoints lack, as many at once as the pack has slots, and write the records.

        Args:
            guard: What happens where one run's checkpoint cannot be loaded, or its record not be written.
        """
        missing = [(task, item) for task in tasks if task.prepared for item in missing_on(task, self._path)]
        while missing and not self._interrupt.reason:
            batch, missing = missing[:slots], missing[slots:]
            saved = []
            for slot, (task, checkpoint) in enumerate(batch):
                with guard(task):
                    saved.append(self.load(slot, task, checkpoint))
            self.render([item for item in saved if item[0].prepared])
            for task, _, slot in saved:
                self._pack.vacate(slot)
                if task.prepared:
                    with guard(task):
                        task.write()

    def load(self, slot: int, task: Task, checkpoint: Checkpoint) -> Saved:
        """Put a saved checkpoint into a free slot.

        Raises:
            ModelError: Its file is missing or damaged.
        """
        assert task.prepared
        file = read(task.folder.path / checkpoint.file)
        self._pack.occupy(slot, task.prepared.job.adapter)
        self._pack.load(slot, file)
        return task, checkpoint, slot

    def render(self, saved: Sequence[Saved]) -> None:
        """Make the previews that checkpoints lack; what goes wrong is a note of the runs, not their end.

        The records are not written here.
        """
        wanted = [
            item
            for task, checkpoint, slot in saved
            for item in previews.wanted_of(task.folder, task.resolved, checkpoint, slot)
        ]
        wanted = previews.on_base(wanted, self._path)
        tasks = list({task.name: task for task, _, _ in saved}.values())
        self._events.send("phase", phase="preview")
        runners = {task.trained_by.name: task.trained_by.runner for task in tasks}
        resting = [runner for runner in runners.values() if runner]
        with clock(tasks, "preview"):
            for runner in resting:
                runner.rest()
            try:
                self._make(tasks, wanted)
            except Exception as error:
                note(tasks, describe_failure(error))
            finally:
                for runner in resting:
                    runner.go_on()
        self._measure(saved, tasks)
        for task, checkpoint, _ in saved:
            previews.in_order(checkpoint, task.resolved)
            previews.summarise(checkpoint, task.resolved.preview.strengths)
            task.unmeasured.discard(checkpoint.tag)

    def _make(self, tasks: Sequence[Task], wanted: Sequence[previews.Wanted]) -> None:
        made = previews.make_previews(self._base, self._pack, wanted)
        for done, seconds in enumerate(made, start=1):
            self._events.send("preview", done=done, total=len(wanted))
            for task in tasks:
                # The clock outside counts all of it as rendering.
                task.record.add_seconds("metric", seconds / len(tasks))
                task.record.add_seconds("preview", -seconds / len(tasks))
            if self._interrupt.reason:
                return

    def _measure(self, saved: Sequence[Saved], tasks: Sequence[Task]) -> None:
        """Measure the checkpoints whose previews are all there; what goes wrong is a note of the runs."""
        with clock(tasks, "metric"):
            for task, checkpoint, _ in saved:
                if not task.prepared or previews.wanted_of(task.folder, task.resolved, checkpoint, 0):
                    continue
                training_data = task.prepared.training_data
                try:
                    measure_checkpoint(task, checkpoint, training_data, self._base.device)
                except Exception as error:
                    note([task], describe_failure(error), "metrics")


def note(tasks: Sequence[Task], reason: str, what: str = "previews") -> None:
    """Say in the records of runs that previews or metrics failed, and why."""
    text = f"{what} failed: {reason}"
    for task in tasks:
        # Without a fingerprint of its previews, the same command renders what is missing.
        task.record.preview_fingerprint = ""
        if text not in task.record.notes:
            task.record.notes.append(text)
