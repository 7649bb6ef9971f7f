"""Working through a pack of run folders: load, cache, train, save, preview, measure, record.

A run that fails is a record with its reason, and the others go on.
"""

from collections.abc import Sequence

import torch

from lora_lab import models
from lora_lab.errors import LoraLabError
from lora_lab.models import BaseModel
from lora_lab.networks.pack import Pack
from lora_lab.resolved import Resolved
from lora_lab.run import previews
from lora_lab.run.endings import Endings
from lora_lab.run.events import Events
from lora_lab.run.failing import ending_of
from lora_lab.run.interrupt import Interrupt
from lora_lab.run.machine import describe_failure, device_name, versions
from lora_lab.run.place import find_place, settled
from lora_lab.run.prepare import Caches, ToPrepare, load_base, load_further, pick_device, prepare
from lora_lab.run.previewer import Previewer, missing_on, note
from lora_lab.run.save_schedule import SaveSchedule
from lora_lab.run.task import Task, clock
from lora_lab.run.together import Company, choose_starts
from lora_lab.run.training import Training
from lora_lab.train import PackTrainer


class PackWork:
    """One worker's tasks on one base model. `slots` is how many train at once; others take their places.

    With several `rounds` it ends with the next round that the pack has not done (`run.rounds`).
    """

    def __init__(
        self, tasks: Sequence[Task], slots: int, events: Events, interrupt: Interrupt, rounds: int = 1
    ) -> None:
        self._rounds = rounds
        self._tasks = list(tasks)
        self._slots = min(slots, sum(task.leader is None for task in self._tasks))
        self._events = events
        self._interrupt = interrupt
        self._endings = Endings(events, interrupt)

    def run(self) -> None:
        """Work until every run has ended or the work is interrupted.

        Raises:
            LoraLabError: What the runs share cannot be used, such as the base model; their records say so.
        """
        try:
            self._work()
        except LoraLabError as error:
            for task in self._open_tasks():
                self._endings.end(task, *ending_of(error))
            raise
        if self._interrupt.reason:
            for task in self._open_tasks():
                self._endings.end(task, "cancelled", self._interrupt.reason)

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
        self._catch_up(previewer, ready)
        if not self._interrupt.reason:
            self._finish_settled()
            todo = [task for task in ready if task.record.status == "running" and not task.awaits_previews]
            trained_by = (PackTrainer(base, pack), company, previewer)
            Training(self._tasks, trained_by, self._slots, self._endings, self._rounds).run(todo)
            self._on_further_bases(base, company)

    def _open_tasks(self) -> list[Task]:
        return [task for task in self._tasks if task.is_open]

    def _resolve(self, device_type: str) -> list[Task]:
        """Decide what each run does; those that cannot be done end here.

        Raises:
            LoraLabError: None of them can be done, for this reason.
        """
        error: LoraLabError | None = None
        for task in self._tasks:
            with self._endings.failing_alone(task), clock([task], "load"):
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
            with self._endings.failing_alone(task), clock([task], "cache"):
                assert task.training_data
                task.prepared = prepare(
                    ToPrepare(task.name, task.resolved, task.training_data, task.config.cache), caches
                )
                task.save_schedule = SaveSchedule.of(task.resolved)
                previews.copy_images(task.folder, task.training_data)

    def _make_pack(self, base: BaseModel, ready: Sequence[Task], company: Company) -> Pack:
        pack = self._pack_on(base, company, ready[0].resolved)
        for task in ready:
            if task.prepared and task.prepared.texts:
                task.prepared.texts.pack = pack
        return pack

    def _pack_on(self, base: BaseModel, company: Company, resolved: Resolved) -> Pack:
        train = resolved.train
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
        return pack

    # -- what an earlier worker left -----------------------------------------------------

    def _catch_up(self, previewer: Previewer, ready: Sequence[Task]) -> None:
        """Find where each run stands, and render what is missing of the checkpoints that stay."""
        # Leaders stand before the runs that follow them.
        for task in ready:
            with self._endings.failing_alone(task):
                find_place(task)
        previewer.fill(ready, self._slots, self._endings.failing_alone)

    # -- what is rendered after training -------------------------------------------------

    def _on_further_bases(self, own: BaseModel, company: Company) -> None:
        """Render what has ended on the base models of `preview.base_model`, one after another, and end it."""
        waiting, device = self._endings.awaiting_previews, own.device
        if waiting:
            models.to_cpu(own)  # a card that holds one model seldom holds two
        paths = [item.path for task in waiting for item in task.resolved.facts.preview_bases]
        for path in dict.fromkeys(paths):
            members = [task for task in waiting if missing_on(task, path)]
            if members and not self._interrupt.reason:
                self._on_further_base(path, members, company, device)
        self._endings.end_waiting()

    def _on_further_base(
        self, path: str, members: Sequence[Task], company: Company, device: torch.device
    ) -> None:
        """A model that cannot be loaded is a note of the runs, not their end."""
        self._events.send("phase", phase="load")
        try:
            with clock(members, "load"):
                base = load_further(members[0].resolved, path, device)
            pack = self._pack_on(base, company, members[0].resolved)
            previewer = Previewer(base, pack, self._events, self._interrupt, path)
            previewer.anchors(members)
        except Exception as error:
            note(members, f"preview.base_model={path}: {describe_failure(error)}")
            return
        previewer.fill(members, self._slots, self._endings.failing_alone)

    def _finish_settled(self) -> None:
        for task in self._tasks:
            if task.record.status == "running" and settled(task) and task.prepared:
                self._endings.end(task, "done")
