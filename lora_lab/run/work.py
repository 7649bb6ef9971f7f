"""Working through a pack of run folders: load, cache, train, save, preview, measure, record.

A run that fails is a record with its reason, and the others go on.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from lora_lab import contact_sheets
from lora_lab.errors import LoraLabError
from lora_lab.lora_files.reading import read
from lora_lab.models import BaseModel
from lora_lab.networks.pack import Pack
from lora_lab.run import following, previews
from lora_lab.run.checkpoints import save_lora_of
from lora_lab.run.events import Events
from lora_lab.run.failing import FailingAlone, ending_of
from lora_lab.run.interrupt import Interrupt
from lora_lab.run.machine import describe_failure, device_name, peak_memory, versions
from lora_lab.run.place import find_place, settled
from lora_lab.run.prepare import Caches, ToPrepare, load_base, pick_device, prepare
from lora_lab.run.previewer import Previewer, Saved, missing_of
from lora_lab.run.save_schedule import SaveSchedule
from lora_lab.run.task import Task, clock
from lora_lab.run.together import Company, choose_starts, drop_unasked
from lora_lab.store import Checkpoint
from lora_lab.train import PackTrainer, Record, Runner

BEFORE_IT_BEGAN = "by hand before it began"


class PackWork:
    """One worker's tasks on one base model. `slots` is how many train at once; others take their places."""

    def __init__(self, tasks: Sequence[Task], slots: int, events: Events, interrupt: Interrupt) -> None:
        self._tasks = list(tasks)
        self._slots = min(slots, sum(task.leader is None for task in self._tasks))
        self._events = events
        self._interrupt = interrupt
        self._by_name = {task.name: task for task in self._tasks}
        self._waiting: list[Task] = []

    def run(self) -> None:
        """Work until every run has ended or the work is interrupted.

        Raises:
            LoraLabError: What the runs share cannot be used, such as the base model; their records say so.
        """
        try:
            self._work()
        except LoraLabError as error:
            for task in self._open_tasks():
                self._end(task, *ending_of(error))
            raise
        if self._interrupt.reason:
            for task in self._open_tasks():
                self._end(task, "cancelled", self._interrupt.reason)

    def _work(self) -> None:
        names = [task.name for task in self._tasks]
        device = pick_device(self._tasks[0].config.device)
        for task in self._tasks:
            task.begin(device_name(device), versions(), [name for name in names if name != task.name])
        self._events.send("phase", phase="load")
        able = self._resolve(device.type)
        if not able:
            return
        with clock(able, "load"):
            base = load_base(able[0].resolved, device)
        self._prepare(base, able)
        ready = [task for task in self._tasks if task.prepared]
        if not ready or self._interrupt.reason:
            return
        choose_starts(ready, settled)
        company = Company(ready)
        pack = self._make_pack(base, ready, company)
        previewer = Previewer(base, pack, self._events, self._interrupt)
        previewer.anchors(ready)
        self._catch_up(pack, previewer, ready)
        if not self._interrupt.reason:
            self._finish_settled()
            todo = [task for task in ready if task.record.status == "running"]
            self._train(PackTrainer(base, pack), company, previewer, todo)

    def _open_tasks(self) -> list[Task]:
        return [task for task in self._tasks if task.record.status in ("running", "planned")]

    def _resolve(self, device_type: str) -> list[Task]:
        """Decide what each run does; those that cannot be done end here.

        Raises:
            LoraLabError: None of them can be done, for this reason.
        """
        error: LoraLabError | None = None
        for task in self._tasks:
            with self._failing_alone(task), clock([task], "load"):
                try:
                    task.resolve(device_type)
                except LoraLabError as found:
                    error = found
                    raise
        able = [task for task in self._tasks if task.training_data]
        if error and not able:
            raise error
        return able

    def _prepare(self, base: BaseModel, able: Sequence[Task]) -> None:
        self._events.send("phase", phase="cache")
        caches = Caches(base)
        for task in able:
            if self._interrupt.reason:
                return
            with self._failing_alone(task), clock([task], "cache"):
                assert task.training_data
                task.prepared = prepare(
                    ToPrepare(task.name, task.resolved, task.training_data, task.config.cache), caches
                )
                task.save_schedule = SaveSchedule.of(task.resolved)
                previews.copy_pictures(task.folder, task.training_data)

    def _make_pack(self, base: BaseModel, ready: Sequence[Task], company: Company) -> Pack:
        train = ready[0].resolved.train
        master = base.dtype if train.full_bf16 or train.full_fp16 else torch.float32
        specs = company.specs(base)
        pack = Pack(
            base.unet,
            base.text_encoders,
            base.family,
            specs,
            slots=self._slots,
            compute_dtype=base.dtype,
            master_dtype=master,
        )
        pack.attach()
        for task in ready:
            if task.prepared and task.prepared.texts:
                task.prepared.texts.pack = pack
        return pack

    # -- what an earlier worker left -----------------------------------------------------

    def _catch_up(self, pack: Pack, previewer: Previewer, ready: Sequence[Task]) -> None:
        """Find where each run stands, and render what is missing of the checkpoints that stay."""
        # Leaders stand before the runs that follow them.
        for task in ready:
            with self._failing_alone(task):
                find_place(task)
        missing = [(task, item) for task in ready if task.prepared for item in missing_of(task)]
        while missing and not self._interrupt.reason:
            batch, missing = missing[: self._slots], missing[self._slots :]
            saved = []
            for slot, (task, checkpoint) in enumerate(batch):
                with self._failing_alone(task):
                    saved.append(previewer.load(slot, task, checkpoint))
            previewer.render([item for item in saved if item[0].prepared])
            for task, _, slot in saved:
                pack.vacate(slot)
                if task.prepared:
                    with self._failing_alone(task):
                        task.write()

    # -- training ------------------------------------------------------------------------

    def _train(
        self, trainer: PackTrainer, company: Company, previewer: Previewer, todo: Sequence[Task]
    ) -> None:
        alone = [task for task in todo if not task.leader]
        self._waiting = sorted(
            alone, key=lambda task: -task.save_schedule.total_updates if task.save_schedule else 0
        )
        free = list(range(self._slots))
        self._events.send("phase", phase="train")
        while (self._waiting and free) or trainer.active:
            while self._waiting and free:
                self._start(self._waiting.pop(0), trainer, free)
            if self._interrupt.reason:
                self._stop(trainer, company, self._waiting)
                return
            self._give_up_lost(trainer, free)
            try:
                records = trainer.step() if trainer.active else []
            except Exception as error:
                self._lose(trainer, error)
                return
            saved = self._save(trainer, company, records, free)
            self._after_saving(previewer, trainer, saved, free)
            self._let_go(trainer, records, free)
            self._stop_by_hand(trainer, company, saved, free)

    def _start(self, task: Task, trainer: PackTrainer, free: list[int]) -> None:
        if task.folder.stop_request.exists():
            self._end(task, "stopped", BEFORE_IT_BEGAN)
            return
        pack, slot = trainer.pack, free.pop(0)
        with self._failing_alone(task):
            assert task.prepared
            task.runner = Runner(task.prepared.job, slot, pack, task.prepared.source)
            if task.start:
                task.runner.load_state(task.start.load())
            elif task.resolved.network.network_weights:
                pack.load(slot, read(task.resolved.network.network_weights))
            trainer.add(task.runner)
            return
        pack.vacate(slot)
        free.insert(0, slot)

    def _save(
        self, trainer: PackTrainer, company: Company, records: Sequence[Record], free: list[int]
    ) -> list[Saved]:
        """Log a step and save what is due after it: first LoRAs, then states, since who goes on from a state
        has to find all that was due before.
        """
        saved: list[Saved] = []
        for record in records:
            task = self._by_name[record.run]
            with self._failing_alone(task, trainer, free):
                assert task.runner
                saved += self._followed(task, task.runner.slot, trainer, record)
                checkpoint = self._take(task, self._validated(task, trainer, record))
                if checkpoint:
                    saved.append((task, checkpoint, task.runner.slot))
        company.after_step(
            self._tasks_of(trainer), records, lambda task: self._failing_alone(task, trainer, free)
        )
        return [item for item in saved if item[0].prepared]

    def _after_saving(
        self, previewer: Previewer, trainer: PackTrainer, saved: Sequence[Saved], free: list[int]
    ) -> None:
        if saved:
            previewer.render(saved)
            for task, _, _ in saved:
                with self._failing_alone(task, trainer, free):
                    task.write()
            self._events.send("phase", phase="train")

    def _let_go(self, trainer: PackTrainer, records: Sequence[Record], free: list[int]) -> None:
        """Let runs leave that have ended; the states of their mates are on the disk by now."""
        for record in records:
            task = self._by_name[record.run]
            if task.runner and record.ended:
                self._leave(task, trainer, free, record.ended, record.reason)
            elif task.runner and task.runner.finished:
                self._leave(task, trainer, free, "done")
            for one in self._followers(task):
                if one.save_schedule and record.step >= one.save_schedule.total_updates and one.prepared:
                    self._end(one, "done")

    def _stop_by_hand(
        self, trainer: PackTrainer, company: Company, saved: Sequence[Saved], free: list[int]
    ) -> None:
        """End the runs that are to end at the checkpoint they have just saved; their mates stay in step."""
        stopping = [
            (task, checkpoint)
            for task, checkpoint, _ in saved
            if task.record.status == "running" and task.folder.stop_request.exists()
        ]
        if any(task.runner for task, _ in stopping):
            company.save(self._tasks_of(trainer), lambda task: self._failing_alone(task, trainer, free))
        for task, checkpoint in stopping:
            reason = f"by hand at epoch {checkpoint.epoch}"
            with self._failing_alone(task, trainer, free):
                if task.runner:
                    self._leave(task, trainer, free, "stopped", reason)
                else:
                    self._end(task, "stopped", reason)

    def _followers(self, leader: Task) -> list[Task]:
        """The runs that still take their weights from another one."""
        return [task for task in self._open_tasks() if task.leader is leader]

    def _followed(self, leader: Task, slot: int, trainer: PackTrainer, record: Record) -> list[Saved]:
        """Log an update of a run for those that are its beginning, and save what is due of them."""
        saved: list[Saved] = []
        for task in self._followers(leader):
            with self._failing_alone(task):
                own = following.as_own(task, record)
                checkpoint = self._take(task, self._validated(task, trainer, own))
                if checkpoint:
                    saved.append((task, checkpoint, slot))
        return saved

    @staticmethod
    def _validated(task: Task, trainer: PackTrainer, record: Record) -> Record:
        """The record with the validation loss, where it is due."""
        runner = task.trained_by.runner
        assert task.prepared and task.save_schedule and runner
        validation = task.prepared.validation
        if record.ended or validation is None or not task.save_schedule.validation_due(record.step):
            return record
        with clock([task], "metric"):
            found = trainer.validate(runner, validation)
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

    def _leave(
        self, task: Task, trainer: PackTrainer, free: list[int], status: str, reason: str = ""
    ) -> None:
        runner = task.runner
        assert runner
        trainer.remove(runner)
        free.append(runner.slot)
        free.sort()
        task.runner = None
        self._end(task, status, reason)
        for one in self._followers(task):
            if status == "diverged":
                self._end(one, status, reason)
            elif status != "done":
                # The leader's trouble may be its own, as a folder that cannot be written to.
                with self._failing_alone(one):
                    one.leader, one.record.prefix_of = None, ""
                    find_place(one)
                    self._waiting.append(one)

    def _end(self, task: Task, status: str, reason: str = "") -> None:
        if task.lock.lost():
            task.record.status = "cancelled"
            task.lock.release()
            self._events.send("left_out", run=task.name)
            return
        if status == "done" and self._interrupt.reason and missing_of(task):
            status, reason = "cancelled", f"{self._interrupt.reason} among the last previews"
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
        self._events.send("end", run=task.name, status=status, reason=reason)

    def _finish_settled(self) -> None:
        for task in self._tasks:
            if task.record.status == "running" and settled(task) and task.prepared:
                self._end(task, "done")

    # -- when things go wrong ------------------------------------------------------------

    def _failing_alone(
        self, task: Task, trainer: PackTrainer | None = None, free: list[int] | None = None
    ) -> FailingAlone:
        def fail(error: Exception) -> None:
            status, reason = ending_of(error)
            if trainer is not None and free is not None and task.runner:
                self._leave(task, trainer, free, status, reason)
            else:
                task.runner = None
                self._end(task, status, reason)
            task.prepared = None

        return FailingAlone(fail)

    def _lose(self, trainer: PackTrainer, error: Exception) -> None:
        """The pass over the whole pack broke.

        Out of memory and alone, a run has failed. Of several, one may be at fault: they are left as they are,
        and the engine tries them again in halves from their last states.

        Raises:
            Exception: The error itself, when the runs may do better apart.
        """
        reason, taking_part = describe_failure(error), self._tasks_of(trainer)
        if len(taking_part) > 1 and not reason.startswith("out of memory"):
            raise error
        for task in taking_part:
            task.runner = None
            for one in [task, *self._followers(task)]:
                self._end(one, ending_of(error)[0], reason)

    def _stop(self, trainer: PackTrainer, company: Company, waiting: Sequence[Task]) -> None:
        """Save where every run stands, so that the same command goes on from here."""
        active = self._tasks_of(trainer)
        if any(task.runner and task.runner.update for task in active):
            company.save(active, _noting)
        for task in active:
            runner = task.runner
            assert runner
            task.runner = None
            self._end(task, "cancelled", f"{self._interrupt.reason} at step {runner.update}")
        for task in waiting:
            self._end(task, "cancelled", self._interrupt.reason)

    def _give_up_lost(self, trainer: PackTrainer, free: list[int]) -> None:
        """Let go of runs that another worker has taken over, since this one was held up; nothing is saved."""
        for task in self._tasks_of(trainer):
            if task.lock.was_lost:
                self._leave(task, trainer, free, "cancelled", "another worker has taken it over")

    def _tasks_of(self, trainer: PackTrainer) -> list[Task]:
        return [self._by_name[runner.job.name] for runner in trainer.active]


def _noting(task: Task) -> FailingAlone:
    return FailingAlone(lambda error: task.record.notes.append(describe_failure(error)))
