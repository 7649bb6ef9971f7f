"""Training the runs of a pack: start, step, save, preview, let go; runs that fail fail alone."""

import math
from collections.abc import Sequence
from dataclasses import replace

from lora_lab.errors import LoraLabError
from lora_lab.lora_files.reading import read
from lora_lab.run import following
from lora_lab.run.adapter import naming
from lora_lab.run.checkpoints import save_lora_of
from lora_lab.run.endings import Endings
from lora_lab.run.failing import FailingAlone, ending_of
from lora_lab.run.hopeless import hopeless_ones, looked_at
from lora_lab.run.machine import describe_failure
from lora_lab.run.place import find_place
from lora_lab.run.previewer import Previewer, Saved
from lora_lab.run.rounds import next_round, round_end
from lora_lab.run.ruined import ruined
from lora_lab.run.task import Task, clock
from lora_lab.run.together import Company
from lora_lab.store import Checkpoint
from lora_lab.train import PackTrainer, Record, Runner

BEFORE_IT_BEGAN = "by hand before it began"


class Training:
    """Trains prepared runs, as many at once as the pack has slots; the others take their places."""

    def __init__(
        self,
        tasks: Sequence[Task],
        pack: tuple[PackTrainer, Company, Previewer],
        slots: int,
        endings: Endings,
        rounds: int = 1,
    ) -> None:
        self._tasks = tasks
        self._trainer, self._company, self._previewer = pack
        self._endings = endings
        self._events = endings.events
        self._interrupt = endings.interrupt
        self._by_name = {task.name: task for task in tasks}
        self._waiting: list[Task] = []
        self._free = list(range(slots))
        self._rounds = rounds
        self._round_ends: dict[str, int] = {}

    def run(self, todo: Sequence[Task]) -> None:
        """Train until every run has ended or the work is interrupted; longer runs begin first."""
        self._end_hopeless(todo)
        todo = [task for task in todo if task.is_open]
        alone = [task for task in todo if not task.leader]
        self._waiting = sorted(
            alone, key=lambda task: -task.save_schedule.total_updates if task.save_schedule else 0
        )
        self._round_ends = self._ends_of_round(todo)
        self._events.send("phase", phase="train")
        while (self._waiting and self._free) or self._trainer.active:
            while self._waiting and self._free:
                self._start(self._waiting.pop(0))
            if self._interrupt.reason:
                self._stop()
                return
            self._give_up_lost()
            try:
                records = self._trainer.step() if self._trainer.active else []
            except Exception as error:
                self._lose(error)
                return
            saved = self._save(records)
            self._after_saving(saved)
            self._let_go(records)
            self._end_early(saved)
            if saved and self._round_is_over() and self._set_aside():
                return

    def _ends_of_round(self, todo: Sequence[Task]) -> dict[str, int]:
        """Of each run the update that its next round ends with; nothing where the rest is trained at once."""
        known = [(task, task.save_schedule) for task in todo if task.save_schedule]
        places = [(schedule, task.update) for task, schedule in known]
        number = next_round(places, self._rounds)
        if number == self._rounds:
            return {}
        return {task.name: round_end(schedule, number, self._rounds) for task, schedule in known}

    def _round_is_over(self) -> bool:
        """Whether all runs that train, and those that follow them, have done the round."""
        training = [(task, task.runner.update) for task in self._training() if task.runner]
        followers = [(one, update) for task, update in training for one in self._followers(task)]
        return bool(self._round_ends and training and not self._waiting) and all(
            update >= self._round_ends.get(task.name, 0) for task, update in [*training, *followers]
        )

    def _set_aside(self) -> bool:
        """Save the pack's states and let go of it; False where a state cannot be saved: then it goes on."""
        active, failures = self._training(), list[Exception]()
        self._company.save(active, lambda _: FailingAlone(failures.append))
        if failures:
            self._round_ends = {}
            return False
        for task in active:
            task.runner = None
        for task in self._tasks:
            if task.is_open and not task.awaits_previews:
                self._endings.set_aside(task)
        return True

    def _start(self, task: Task) -> None:
        if task.folder.stop_request.exists():
            self._endings.end(task, "stopped", BEFORE_IT_BEGAN)
            return
        pack, slot = self._trainer.pack, self._free.pop(0)
        with self._endings.failing_alone(task):
            assert task.prepared
            task.runner = Runner(task.prepared.job, slot, pack, task.prepared.source)
            if task.start:
                task.runner.load_state(task.start.load())
            elif file := task.resolved.network.network_weights:
                with naming("network.network_weights", file):
                    pack.load(slot, read(file))
            self._trainer.add(task.runner)
            return
        pack.vacate(slot)
        self._free.insert(0, slot)

    def _save(self, records: Sequence[Record]) -> list[Saved]:
        """Log a step and save what is due after it: first LoRAs, then states, since who goes on from a state
        has to find all that was due before.
        """
        saved: list[Saved] = []
        for record in records:
            task = self._by_name[record.run]
            with self._failing_alone(task):
                assert task.runner
                saved += self._followed(task, task.runner.slot, record)
                checkpoint = self._take(task, self._validated(task, record))
                if checkpoint:
                    saved.append((task, checkpoint, task.runner.slot))
        self._company.after_step(self._training(), records, self._failing_alone)
        return [item for item in saved if item[0].prepared]

    def _after_saving(self, saved: Sequence[Saved]) -> None:
        if saved:
            self._previewer.render(saved)
            for task, _, _ in saved:
                with self._failing_alone(task):
                    task.write()
            self._events.send("phase", phase="train")

    def _let_go(self, records: Sequence[Record]) -> None:
        """Let runs leave that have ended; the states of their mates are on the disk by now."""
        for record in records:
            task = self._by_name[record.run]
            if task.runner and record.ended:
                self._leave(task, record.ended, record.reason)
            elif task.runner and task.runner.finished:
                self._leave(task, "done")
            for one in self._followers(task):
                if one.save_schedule and record.step >= one.save_schedule.total_updates and one.prepared:
                    self._endings.end(one, "done")

    def _end_early(self, saved: Sequence[Saved]) -> None:
        """End the runs that are to end at the checkpoint they have just saved; their mates stay in step.

        Their states are kept, too: a run that was stopped goes on when it is asked to.
        """
        still = [item for item in saved if item[0].record.status == "running" and not item[0].awaits_previews]
        ending = [(task, why) for task, checkpoint, _ in still if (why := _to_end(task, checkpoint))]
        ended = [task for task, _ in ending]
        looked = [task for task, _, _ in still if task not in ended and looked_at(task)]
        hopeless = self._hopeless(looked)
        ending += [(task, ("stopped", hopeless[task.name])) for task in looked if task.name in hopeless]
        if any(task.runner for task, _ in ending):
            self._company.save(self._training(), self._failing_alone)
        for task, (status, reason) in ending:
            with self._failing_alone(task):
                if task.runner:
                    self._leave(task, status, reason, by_looks=True)
                elif task.is_open:
                    self._endings.end(task, status, reason)

    def _hopeless(self, tasks: Sequence[Task]) -> dict[str, str]:
        """Those that are to end since they lie far behind the others, with the reason; the records say so.

        Where the others' scores cannot be read, that is a note, and all go on.
        """
        asked = [task for task in tasks if not self._followers(task)]
        try:
            found = hopeless_ones(asked)
        except LoraLabError as error:
            for task in asked:
                if (text := f"stop=hopeless ended nothing: {error}") not in task.record.notes:
                    task.record.notes.append(text)
            return {}
        for task in asked:
            if task.name in found:
                task.record.hopeless_at_steps.append(task.record.step)
        return found

    def _end_hopeless(self, todo: Sequence[Task]) -> None:
        """End the runs that have fallen behind since they were set aside: their states are on the disk."""
        begun = [task for task in todo if task.update]
        for name, why in self._hopeless(begun).items():
            self._endings.end(self._by_name[name], "stopped", why)

    def _followers(self, leader: Task) -> list[Task]:
        """The runs that still take their weights from another one."""
        open_ones = (task for task in self._tasks if task.is_open and not task.awaits_previews)
        return [task for task in open_ones if task.leader is leader]

    def _followed(self, leader: Task, slot: int, record: Record) -> list[Saved]:
        """Log an update of a run for those that are its beginning, and save what is due of them."""
        saved: list[Saved] = []
        for task in self._followers(leader):
            with self._endings.failing_alone(task):
                own = following.as_own(task, record)
                checkpoint = self._take(task, self._validated(task, own))
                if checkpoint:
                    saved.append((task, checkpoint, slot))
        return saved

    def _validated(self, task: Task, record: Record) -> Record:
        """The record with the validation loss, where it is due."""
        runner = task.trained_by.runner
        assert task.prepared and task.save_schedule and runner
        validation = task.prepared.validation
        if record.ended or validation is None or not task.save_schedule.validation_due(record.step):
            return record
        with clock([task], "metric"):
            found = self._trainer.validate(runner, validation)
        return replace(record, validation_loss=math.fsum(found.values()) / len(found), validation=found)

    def _take(self, task: Task, record: Record) -> Checkpoint | None:
        """Log an update and save what is due after it."""
        save_schedule = task.save_schedule
        assert save_schedule
        task.log(record)
        self._events.step(task.name, record.step, save_schedule.total_updates, record.loss)
        tag = "" if record.ended else save_schedule.tag(record.step)
        checkpoint = None
        with clock([task], "save"):
            if tag and not task.lock.lost():
                checkpoint = save_lora_of(task, tag, record)
                self._events.send("checkpoint", run=task.name, tag=tag)
        return checkpoint

    def _leave(self, task: Task, status: str, reason: str = "", *, by_looks: bool = False) -> None:
        """End a run of the pack; those that took its weights go on by themselves, unless these diverged.

        Args:
            by_looks: It ends since its previews show nothing. Others may have other prompts, or not mind.
        """
        runner = task.runner
        assert runner
        self._trainer.remove(runner)
        self._free.append(runner.slot)
        self._free.sort()
        task.runner = None
        self._endings.end(task, status, reason)
        for one in self._followers(task):
            if status == "diverged" and not by_looks:
                self._endings.end(one, status, reason)
            elif status != "done":
                # The leader's trouble may be its own, as a folder that cannot be written to.
                with self._endings.failing_alone(one):
                    one.leader, one.record.prefix_of = None, ""
                    find_place(one)
                    self._waiting.append(one)

    def _lose(self, error: Exception) -> None:
        """The pass over the whole pack broke.

        Out of memory and alone, a run has failed. Of several, one may be at fault: they are left as they are,
        and the engine tries them again in halves from their last states.

        Raises:
            Exception: The error itself, when the runs may do better apart.
        """
        reason, taking_part = describe_failure(error), self._training()
        if len(taking_part) > 1 and not reason.startswith("out of memory"):
            raise error
        for task in taking_part:
            task.runner = None
            for one in [task, *self._followers(task)]:
                self._endings.end(one, ending_of(error)[0], reason)

    def _stop(self) -> None:
        """Save where every run stands, so that the same command goes on from here."""
        active = self._training()
        if any(task.runner and task.runner.update for task in active):
            self._company.save(active, _noting)
        for task in active:
            runner = task.runner
            assert runner
            task.runner = None
            self._endings.end(task, "cancelled", f"{self._interrupt.reason} at step {runner.update}")
        for task in self._waiting:
            self._endings.end(task, "cancelled", self._interrupt.reason)

    def _give_up_lost(self) -> None:
        """Let go of runs that another worker has taken over, since this one was held up; nothing is saved."""
        for task in self._training():
            if task.lock.was_lost:
                self._leave(task, "cancelled", "another worker has taken it over")

    def _training(self) -> list[Task]:
        """The runs in the pack."""
        return [self._by_name[runner.job.name] for runner in self._trainer.active]

    def _failing_alone(self, task: Task) -> FailingAlone:
        """An exception within ends this run, and takes it out of the pack."""

        def fail(error: Exception) -> None:
            status, reason = ending_of(error)
            if task.runner:
                self._leave(task, status, reason)
            else:
                self._endings.end(task, status, reason)
            task.prepared = None

        return FailingAlone(fail)


def _to_end(task: Task, checkpoint: Checkpoint) -> tuple[str, str] | None:
    """The status and reason of a run that ends at a checkpoint before its last, if it is to."""
    if task.folder.stop_request.exists():
        return "stopped", f"by hand at epoch {checkpoint.epoch}"
    reason = ruined(task, checkpoint)
    return ("diverged", reason) if reason else None


def _noting(task: Task) -> FailingAlone:
    return FailingAlone(lambda error: task.record.notes.append(describe_failure(error)))
