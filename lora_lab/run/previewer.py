"""Rendering while a pack is at work: anchors, checkpoints just saved, and what an earlier worker left out."""

from collections.abc import Sequence

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


class Previewer:
    """Renders with the adapters of one pack; an interrupt is noticed between two pictures."""

    def __init__(self, base: BaseModel, pack: Pack, events: Events, interrupt: Interrupt) -> None:
        self._base = base
        self._pack = pack
        self._events = events
        self._interrupt = interrupt

    def anchors(self, tasks: Sequence[Task]) -> None:
        """Render the bare base model for the prompts of all runs.

        Raises:
            RunFolderError: A picture cannot be written.
        """
        self._events.send("phase", phase="preview")
        with clock(tasks, "preview"):
            for task in tasks:
                for _ in previews.make_anchors(self._base, self._pack, task.folder, task.resolved):
                    if self._interrupt.reason:
                        return

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
                self._note(tasks, describe_failure(error))
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
                    self._note([task], describe_failure(error), "metrics")

    @staticmethod
    def _note(tasks: Sequence[Task], reason: str, what: str = "previews") -> None:
        text = f"{what} failed: {reason}"
        for task in tasks:
            # Without a fingerprint of its previews, the same command renders what is missing.
            task.record.preview_fingerprint = ""
            if text not in task.record.notes:
                task.record.notes.append(text)
