"""How a run ends: its last record, its contact sheet, its lock; and its failure alone, its mates' not."""

from contextlib import suppress

from lora_lab import contact_sheets
from lora_lab.errors import LoraLabError
from lora_lab.run.events import Events
from lora_lab.run.failing import FailingAlone, ending_of
from lora_lab.run.interrupt import Interrupt
from lora_lab.run.machine import describe_failure, peak_memory
from lora_lab.run.previewer import missing_of
from lora_lab.run.task import Task
from lora_lab.run.together import drop_unasked


class Endings:
    """Ends the runs of one worker."""

    def __init__(self, events: Events, interrupt: Interrupt) -> None:
        self.events = events
        self.interrupt = interrupt

    def end(self, task: Task, status: str, reason: str = "") -> None:
        """Write what a run ended as and let go of its folder; one that another worker took over is its."""
        if task.lock.lost():
            task.record.status = "cancelled"
            task.lock.release()
            self.events.send("left_out", run=task.name)
            return
        if status == "done" and self.interrupt.reason and missing_of(task):
            status, reason = "cancelled", f"{self.interrupt.reason} among the last previews"
        task.record.peak_memory_bytes = max(task.record.peak_memory_bytes, peak_memory())
        if status == "done":
            drop_unasked(task)
        try:
            contact_sheets.run_sheet(task.folder, task.record)
        except Exception as error:
            task.record.notes.append(f"the contact sheet could not be drawn: {describe_failure(error)}")
        if status != "cancelled":
            task.folder.stop_request.unlink(missing_ok=True)
        try:
            task.end(status, reason)
        except LoraLabError as error:
            reason = reason or str(error)
            task.lock.release()
        self.events.send("end", run=task.name, status=status, reason=reason)

    def set_aside(self, task: Task) -> None:
        """Let go of a run that waits for its next round; its states are on the disk."""
        if task.lock.lost():
            self.end(task, "cancelled")
            return
        task.set_aside = True
        try:
            contact_sheets.run_sheet(task.folder, task.record)
        except Exception as error:
            task.record.notes.append(f"the contact sheet could not be drawn: {describe_failure(error)}")
        task.record.status = "planned"
        task.record.reason = f"set aside at step {task.record.step}, until all packs have come as far"
        with suppress(LoraLabError):  # what is there of its record is enough to go on by
            task.write()
        task.lock.release()
        self.events.send("aside", run=task.name)

    def failing_alone(self, task: Task) -> FailingAlone:
        """An exception within ends this run, which is not in the pack, and no other."""

        def fail(error: Exception) -> None:
            task.runner = None
            self.end(task, *ending_of(error))
            task.prepared = None

        return FailingAlone(fail)
