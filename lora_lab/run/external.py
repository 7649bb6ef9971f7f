"""Rendering LoRAs that were trained elsewhere: the job of a run folder whose record says `external`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import torch

from lora_lab import contact_sheets
from lora_lab.errors import LoraLabError, ModelError
from lora_lab.models import BaseModel
from lora_lab.resolved import Resolved
from lora_lab.run import previews
from lora_lab.run.events import Events
from lora_lab.run.interrupt import Interrupt
from lora_lab.run.machine import describe_failure, device_name, peak_memory, versions
from lora_lab.run.measured import measure_checkpoint
from lora_lab.run.prepare import load_base, load_further, pick_device
from lora_lab.run.previewer import missing_of
from lora_lab.run.stale_previews import forget_stale
from lora_lab.run.task import Task, clock
from lora_lab.store import Checkpoint


def render_external(tasks: Sequence[Task], events: Events, interrupt: Interrupt) -> None:
    """Render and measure every checkpoint of runs that are not trained here; a failure is its run's own."""
    for task in tasks:
        if interrupt.reason:
            _end(task, events, "cancelled", interrupt.reason)
            continue
        try:
            _render(task, events, interrupt)
        except Exception as error:
            _end(task, events, "failed", describe_failure(error))
            continue
        if interrupt.reason and missing_of(task):
            _end(task, events, "cancelled", interrupt.reason)
        else:
            _end(task, events, "done", f"trained elsewhere ({task.record.external.get('trainer')})")


def _render(task: Task, events: Events, interrupt: Interrupt) -> None:
    device = pick_device(task.config.device)
    identity = task.record.fingerprint
    task.begin(device_name(device), versions(), [])
    with clock([task], "load"):
        task.resolve(device.type)
    _disown(task, identity)
    assert task.training_data
    previews.copy_images(task.folder, task.training_data)
    events.send("phase", phase="preview")
    paths = ["", *(item.path for item in task.resolved.facts.preview_bases)]
    for path in paths:
        with clock([task], "load"):
            bare = _load(task.resolved, path, device)
        with clock([task], "preview"):
            for _ in previews.make_anchors(bare, None, task.folder, task.resolved, path):
                if interrupt.reason:
                    return
        del bare
    task.unmeasured = forget_stale(task.folder, task.record, task.resolved)
    missing = missing_of(task)
    for checkpoint in task.record.checkpoints:
        if not (checkpoint in missing or checkpoint.previews or checkpoint.discarded or interrupt.reason):
            # Nothing is to be rendered of it: whether it can be used at all is found out all the same.
            _merged(task, checkpoint, 1.0)
    for checkpoint in missing:
        for path, strength in product(paths, task.resolved.preview.strengths):
            _shots(task, checkpoint, strength, interrupt, path)
            if interrupt.reason:
                return
        with clock([task], "metric"):
            measure_checkpoint(task, checkpoint, task.training_data, device)
        previews.in_order(checkpoint, task.resolved)
        previews.summarise(checkpoint, task.resolved.preview.strengths)
        task.unmeasured.discard(checkpoint.tag)
        task.write()


def _load(resolved: Resolved, path: str, device: torch.device) -> BaseModel:
    return load_further(resolved, path, device) if path else load_base(resolved, device)


def _shots(task: Task, checkpoint: Checkpoint, strength: float, interrupt: Interrupt, path: str = "") -> None:
    """Render a checkpoint at one strength: on a base model of its own, with the file merged into it.

    Merging takes every form that a LoRA file can have, where a pack has those that are trained.
    """
    wanted = [
        item
        for item in previews.wanted_of(task.folder, task.resolved, checkpoint, -1)
        if item.strength == strength
    ]
    wanted = previews.on_base(wanted, path)
    if not wanted:
        return
    base = _merged(task, checkpoint, strength, path)
    with clock([task], "preview"):
        for _ in previews.make_previews(base, None, wanted):
            if interrupt.reason:
                return


def _merged(task: Task, checkpoint: Checkpoint, strength: float, path: str = "") -> BaseModel:
    """The base model with a checkpoint merged into it.

    Raises:
        ModelError: The file is damaged, holds what is no number, or does not fit.
    """
    try:
        with clock([task], "load"):
            return _load(_with_file(task, checkpoint, strength), path, pick_device(task.config.device))
    except ModelError as error:
        # It is no setting of anybody's that names the file.
        file = task.folder.path / checkpoint.file
        raise ModelError(str(error).replace(f"network.base_weights={file}", file.name)) from None


def _with_file(task: Task, checkpoint: Checkpoint, strength: float) -> Resolved:
    own = task.resolved.network
    merged = [*own.merged(), (str(task.folder.path / checkpoint.file), strength)]
    network = replace(
        own,
        base_weights=[file for file, _ in merged],
        base_weights_multiplier=[float(value) for _, value in merged],
    )
    return replace(task.resolved, network=network)


def _disown(task: Task, identity: str) -> None:
    """Keep out of the record what the job of another run says of training: it is not this LoRA's."""
    record = task.record
    record.resolved = {**record.resolved, "acting": {}, "inert": [], "fingerprint": identity, "key": {}}
    record.fingerprint, record.total_steps, record.updates_per_epoch, record.images = identity, 0, 0, 0


def _end(task: Task, events: Events, status: str, reason: str) -> None:
    task.record.peak_memory_bytes = max(task.record.peak_memory_bytes, peak_memory())
    try:
        contact_sheets.run_sheet(task.folder, task.record)
    except Exception as error:
        task.record.notes.append(f"the contact sheet could not be drawn: {describe_failure(error)}")
    try:
        task.end(status, reason)
    except LoraLabError as error:
        reason = str(error)
        task.lock.release()
    events.send("end", run=task.name, status=status, reason=reason)
