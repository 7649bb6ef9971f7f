"""Working through a pack of run folders: load, cache, train, save, preview, measure, record.

A run that fails is a record with its reason, and the others go on.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from lora_lab import contact_sheets
from lora_lab.errors import DivergedError, LoraLabError, RunFolderError
from lora_lab.lora_files.reading import read
from lora_lab.models import BaseModel
from lora_lab.networks.pack import Pack
from lora_lab.run import previews
from lora_lab.run.checkpoints import oldest_kept_state, save_lora_of
from lora_lab.run.events import Events
from lora_lab.run.interrupt import Interrupt
from lora_lab.run.machine import describe_failure, device_name, peak_memory, versions
from lora_lab.run.prepare import Caches, ToPrepare, load_base, pick_device, prepare
from lora_lab.run.previewer import Previewer, missing_of
from lora_lab.run.save_schedule import SaveSchedule
from lora_lab.run.state import drop_old_states, drop_states, load_newest_state, save_state
from lora_lab.run.task import Task, clock
from lora_lab.store import Checkpoint
from lora_lab.store.steps import truncate_steps
from lora_lab.train import PackTrainer, Record, Runner


class PackWork:
    """One worker's tasks on one base model. `slots` is how many train at once; others take their places."""

    def __init__(self, tasks: Sequence[Task], slots: int, events: Events, interrupt: Interrupt) -> None:
        self._tasks = list(tasks)
        self._slots = min(slots, len(self._tasks))
        self._events = events
        self._interrupt = interrupt
        self._by_name = {task.name: task for task in self._tasks}

    def run(self) -> None:
        """Work until every run has ended or the work is interrupted.

        Raises:
            LoraLabError: What the runs share cannot be used, such as the base model; their records say so.
        """
        try:
            self._work()
        except LoraLabError as error:
            for task in self._open_tasks():
                self._end(task, *_ending_of(error))
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
        pack = self._make_pack(base, ready)
        previewer = Previewer(base, pack, self._events, self._interrupt)
        previewer.anchors(ready)
        self._catch_up(pack, previewer, ready)
        if not self._interrupt.reason:
            self._finish_settled()
            self._train(base, pack, previewer, [task for task in ready if task.record.status == "running"])

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

    def _make_pack(self, base: BaseModel, ready: Sequence[Task]) -> Pack:
        train = ready[0].resolved.train
        master = base.dtype if train.full_bf16 or train.full_fp16 else torch.float32
        specs = [task.prepared.job.adapter for task in ready if task.prepared]
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
        for task in ready:
            with self._failing_alone(task):
                self._forget_after_state(task)
                previews.forget_stale(task.folder, task.record, task.resolved.preview_fingerprint)
                task.write()
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

    def _forget_after_state(self, task: Task) -> None:
        """Drop logs and checkpoints later than the state that the run goes on from."""
        if self._settled(task):
            return
        state = load_newest_state(task.folder, task.record.fingerprint)
        update = int(state["update"]) if state else 0
        kept = [item for item in task.record.checkpoints if item.step <= update]
        kept = [item for item in kept if (task.folder.path / item.file).is_file()]
        if not update:
            task.record.seconds = {key: value for key, value in task.record.seconds.items() if key != "train"}
        task.record.checkpoints = kept
        truncate_steps(task.folder, update)
        if update:
            task.record.resumed_at_steps.append(update)

    @staticmethod
    def _settled(task: Task) -> bool:
        """Whether all checkpoints of the run are there."""
        if task.prepared is None or task.save_schedule is None:
            return True
        have = {
            item.tag
            for item in task.record.checkpoints
            if item.discarded or (task.folder.path / item.file).is_file()
        }
        return task.record.step >= task.save_schedule.total_updates and have >= set(task.save_schedule.tags())

    # -- training ------------------------------------------------------------------------

    def _train(self, base: BaseModel, pack: Pack, previewer: Previewer, todo: Sequence[Task]) -> None:
        waiting = sorted(
            todo, key=lambda task: -task.save_schedule.total_updates if task.save_schedule else 0
        )
        trainer = PackTrainer(base, pack)
        free = list(range(self._slots))
        self._events.send("phase", phase="train")
        while (waiting and free) or trainer.active:
            while waiting and free:
                self._start(waiting.pop(0), trainer, pack, free)
            if self._interrupt.reason:
                self._stop(trainer, waiting)
                return
            try:
                records = trainer.step() if trainer.active else []
            except Exception as error:
                self._lose(trainer, error)
                return
            self._after_step(previewer, trainer, records, free)

    def _start(self, task: Task, trainer: PackTrainer, pack: Pack, free: list[int]) -> None:
        slot = free.pop(0)
        with self._failing_alone(task):
            assert task.prepared
            task.runner = Runner(task.prepared.job, slot, pack, task.prepared.source)
            state = load_newest_state(task.folder, task.record.fingerprint)
            if state:
                task.runner.load_state(state)
            elif task.resolved.network.network_weights:
                pack.load(slot, read(task.resolved.network.network_weights))
            trainer.add(task.runner)
            return
        pack.vacate(slot)
        free.insert(0, slot)

    def _after_step(
        self, previewer: Previewer, trainer: PackTrainer, records: Sequence[Record], free: list[int]
    ) -> None:
        saved = []
        for record in records:
            task = self._by_name[record.run]
            with self._failing_alone(task, trainer, free):
                checkpoint = self._take(task, self._validated(task, trainer, record))
                if checkpoint:
                    assert task.runner
                    saved.append((task, checkpoint, task.runner.slot))
        if saved:
            previewer.render(saved)
            for task, _, _ in saved:
                with self._failing_alone(task, trainer, free):
                    task.write()
            self._events.send("phase", phase="train")
        for record in records:
            task = self._by_name[record.run]
            if task.runner and record.ended:
                self._leave(task, trainer, free, record.ended, record.reason)
            elif task.runner and task.runner.finished:
                self._leave(task, trainer, free, "done")

    @staticmethod
    def _validated(task: Task, trainer: PackTrainer, record: Record) -> Record:
        """The record with the validation loss, where it is due."""
        assert task.prepared and task.save_schedule and task.runner
        validation = task.prepared.validation
        if record.ended or validation is None or not task.save_schedule.validation_due(record.step):
            return record
        with clock([task], "metric"):
            found = trainer.validate(task.runner, validation)
        return replace(record, validation_loss=math.fsum(found.values()) / len(found), validation=found)

    def _take(self, task: Task, record: Record) -> Checkpoint | None:
        """Log an update and save what is due after it."""
        runner, save_schedule = task.runner, task.save_schedule
        assert runner and save_schedule
        task.log(record)
        self._events.step(task.name, record.step, save_schedule.total_updates, record.loss)
        tag = "" if record.ended else save_schedule.tag(record.step)
        checkpoint = None
        with clock([task], "save"):
            if tag:
                checkpoint = save_lora_of(task, tag, record)
                self._events.send("checkpoint", run=task.name, tag=tag)
            if not record.ended and save_schedule.state_due(record.step):
                self._save_state(task)
        return checkpoint

    @staticmethod
    def _save_state(task: Task) -> None:
        runner = task.runner
        assert runner
        save_state(task.folder, runner.update, runner.state(), task.record.fingerprint)
        drop_old_states(
            task.folder, oldest_kept_state(task.resolved.train, runner.update, runner.job.updates_per_epoch)
        )
        task.write()

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

    def _end(self, task: Task, status: str, reason: str = "") -> None:
        if status == "done" and self._interrupt.reason and missing_of(task):
            status, reason = "cancelled", f"{self._interrupt.reason} among the last previews"
        task.record.peak_memory_bytes = max(task.record.peak_memory_bytes, peak_memory())
        if status == "done" and not task.resolved.train.keep_state:
            drop_states(task.folder)
        try:
            contact_sheets.run_sheet(task.folder, task.record)
        except Exception as error:
            task.record.notes.append(f"the contact sheet could not be drawn: {describe_failure(error)}")
        try:
            task.end(status, reason)
        except LoraLabError as error:
            reason = reason or str(error)
            task.lock.release()
        self._events.send("end", run=task.name, status=status, reason=reason)

    def _finish_settled(self) -> None:
        for task in self._tasks:
            if task.record.status == "running" and self._settled(task) and task.prepared:
                self._end(task, "done")

    # -- when things go wrong ------------------------------------------------------------

    def _failing_alone(
        self, task: Task, trainer: PackTrainer | None = None, free: list[int] | None = None
    ) -> "_FailingAlone":
        def fail(error: Exception) -> None:
            status, reason = _ending_of(error)
            if trainer is not None and free is not None and task.runner:
                self._leave(task, trainer, free, status, reason)
            else:
                task.runner = None
                self._end(task, status, reason)
            task.prepared = None

        return _FailingAlone(fail)

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
            self._end(task, _ending_of(error)[0], reason)

    def _stop(self, trainer: PackTrainer, waiting: Sequence[Task]) -> None:
        """Save where every run stands, so that the same command goes on from here."""
        for task in self._tasks_of(trainer):
            runner = task.runner
            assert runner
            try:
                if task.resolved.train.save_state and runner.update:
                    self._save_state(task)
            except LoraLabError as error:
                task.record.notes.append(str(error))
            task.runner = None
            self._end(task, "cancelled", f"{self._interrupt.reason} at step {runner.update}")
        for task in waiting:
            self._end(task, "cancelled", self._interrupt.reason)

    def _tasks_of(self, trainer: PackTrainer) -> list[Task]:
        return [self._by_name[runner.job.name] for runner in trainer.active]


class _FailingAlone:
    """Turns an exception of one run into that run's failure."""

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        self._fail = fail

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self._fail(error)
        return True


def _ending_of(error: Exception) -> tuple[str, str]:
    """The status and reason of a run that an error ended.

    What keeps a folder from being written is no fault of the run: the same command goes on with it.
    """
    if isinstance(error, DivergedError):
        return "diverged", describe_failure(error)
    return "cancelled" if isinstance(error, RunFolderError) else "failed", describe_failure(error)
