"""When a run saves, and what: LoRA files with metadata, and training states."""

import json
import math
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lora_lab.config import flat, parse_resolution
from lora_lab.config.places import without_places
from lora_lab.config.schema import TrainConfig
from lora_lab.counts import counted
from lora_lab.data.captions import tag_frequency
from lora_lab.data.image_set import CaptionedImage
from lora_lab.errors import DivergedError
from lora_lab.lora_files.disk import save_lora
from lora_lab.networks.metadata import standard_metadata
from lora_lab.run.task import Task
from lora_lab.store import Checkpoint
from lora_lab.store.layout import lora_name
from lora_lab.store.steps import read_steps
from lora_lab.train import Record
from lora_lab.training_data import TrainingData

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def oldest_kept_state(train: TrainConfig, update: int, updates_per_epoch: int) -> int:
    """States of fewer updates than this are deleted after a state at `update` is written.

    `save_last_n_steps_state` 300 at step 800 keeps what is not older than step 500; without either setting
    only the newest stays.
    """
    steps, epochs = train.save_last_n_steps_state, train.save_last_n_epochs_state
    span = max(steps, epochs * updates_per_epoch)
    return update - span


def save_lora_of(task: Task, tag: str, record: Record) -> Checkpoint:
    """Write a run's LoRA file and enter it into the record.

    Raises:
        DivergedError: The weights are not finite; such a file would only mislead.
        RunFolderError: The folder cannot be written to, or the disk is full.
    """
    runner = task.trained_by.runner
    assert runner
    dtype = PRECISIONS[task.resolved.train.save_precision]
    tensors = runner.weights(dtype)
    broken = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise DivergedError(
            f"{len(broken)} of {counted(len(tensors), 'tensor is', 'tensors are')} not finite in "
            f"{task.resolved.train.save_precision} at step {record.step} ({broken[0]}): "
            "lower the learning rate, or train.save_precision=fp32"
        )
    return enter_lora(task, tag, record, tensors)


def enter_lora(task: Task, tag: str, record: Record, tensors: Mapping[str, torch.Tensor]) -> Checkpoint:
    """Write tensors as a run's LoRA file, with the run's own metadata, and enter it into the record.

    Raises:
        RunFolderError: The folder cannot be written to, or the disk is full.
    """
    path = task.folder.checkpoint(tag)
    save_lora(path, tensors, metadata_of(task, tag, record))
    checkpoint = Checkpoint(
        tag,
        str(path.relative_to(task.folder.path)),
        record.epoch,
        record.step,
        record.samples,
        _mean_loss_since(task, record.step),
        task.trained_by.record.seconds.get("train", 0.0),
        path.stat().st_size,
        reg_samples=record.reg_samples,
        validation_loss=record.validation_loss,
        validation={str(timestep): loss for timestep, loss in (record.validation or {}).items()},
    )
    kept = [item for item in task.record.checkpoints if item.tag != tag]
    task.record.checkpoints = sorted([*kept, checkpoint], key=lambda item: item.step)
    task.write()
    return checkpoint


def _mean_loss_since(task: Task, step: int) -> float | None:
    """Mean loss of the updates since the checkpoint before, from the step log."""
    before = max((item.step for item in task.record.checkpoints if item.step < step), default=0)
    losses = [row.get("loss") for row in read_steps(task.folder) if before < row["step"] <= step]
    known = [loss for loss in losses if loss is not None]
    return sum(known) / len(known) if known else None


def metadata_of(task: Task, tag: str, record: Record) -> dict[str, str]:
    """The `ss_*` and `modelspec.*` metadata of a checkpoint, and our own: config, fingerprint, run."""
    assert task.prepared
    config, resolved, training_data = task.config, task.resolved, task.prepared.training_data
    sizes = resolved.facts.in_force("dataset.resolution", resolved.dataset.resolution)
    texts = standard_metadata(
        task.prepared.job.adapter,
        task.prepared.base.family,
        lora_name(f"{config.sweep or task.folder.path.parent.name}-{task.name}-{tag}"),
        prediction_type=task.prepared.source.process.prediction_type,
        resolution=max((parse_resolution(size) for size in sizes), key=math.prod),
        settings=_training_settings(task, record),
    )
    texts["lora_lab.config"] = json.dumps(without_places(flat(config)))
    texts["lora_lab.fingerprint"] = task.record.fingerprint
    texts["lora_lab.images"] = training_data.identity
    return texts


def _training_settings(task: Task, record: Record) -> dict[str, Any]:
    """What sd-scripts' metadata says of a training, as it acted: a dataset file may have decided."""
    assert task.prepared
    resolved, training_data, job = task.resolved, task.prepared.training_data, task.prepared.job
    train, data, loss = resolved.train, resolved.dataset, resolved.loss
    batch = max(training_data.plan.batch_sizes)

    def in_force(key: str, asked: Any) -> Any:
        """One value, or the values of several subsets separated by commas."""
        values = resolved.facts.in_force(key, asked)
        return values[0] if len(values) == 1 else ",".join(map(str, values))

    arguments = without_places(job.optimizer_args)
    asked = ("shuffle_caption", "keep_tokens", "flip_aug", "enable_bucket", "min_bucket_reso",
             "max_bucket_reso", "bucket_no_upscale")  # fmt: skip
    return {
        "sd_model_name": task.prepared.base.name,
        "new_sd_model_hash": task.prepared.base.identity,
        "learning_rate": resolved.optimizer.learning_rate,
        "unet_lr": job.unet_lr,
        "text_encoder_lr": job.text_encoder_lr,
        "num_train_images": _times_repeats(training_data, is_reg=False),
        "num_reg_images": _times_repeats(training_data, is_reg=True),
        "num_validation_images": len(training_data.validation),
        "validation_split": in_force("train.validation_split", train.validation_split),
        "validation_seed": in_force("train.validation_seed", train.validation_seed),
        "num_batches_per_epoch": training_data.stream.batches_per_epoch,
        "num_epochs": training_data.length.epochs,
        "epoch": record.epoch,
        "steps": record.step,
        "max_train_steps": job.total_updates,
        "batch_size_per_device": batch,
        "total_batch_size": batch * train.gradient_accumulation_steps,
        "gradient_accumulation_steps": train.gradient_accumulation_steps,
        "gradient_checkpointing": train.gradient_checkpointing,
        "lr_scheduler": job.schedule.name,
        "lr_warmup_steps": job.schedule.lr_warmup_steps,
        "optimizer": ",".join([job.optimizer, *(f"{k}={v}" for k, v in sorted(arguments.items()))]),
        "max_grad_norm": train.max_grad_norm,
        "mixed_precision": train.mixed_precision,
        "clip_skip": resolved.base_model.clip_skip,
        "max_token_length": resolved.base_model.max_token_length,
        "seed": train.seed,
        "noise_offset": loss.noise_offset or None,
        "min_snr_gamma": loss.min_snr_gamma or None,
        "zero_terminal_snr": loss.zero_terminal_snr or None,
        "scale_weight_norms": resolved.network.scale_weight_norms or None,
        "cache_latents": data.cache_latents,
        **{name: in_force(f"dataset.{name}", getattr(data, name)) for name in asked},
        "dataset_dirs": _folders(training_data),
        "tag_frequency": _tags(training_data),
        "training_comment": train.training_comment or None,
        "training_started_at": str(time.time() - task.record.seconds.get("train", 0.0)),
    }


def _times_repeats(training_data: TrainingData, *, is_reg: bool) -> int:
    """Images times repeats, which is what sd-scripts calls images; regularisation as it was asked for."""
    mine = [item for item in training_data.items if item.is_reg == is_reg]
    return sum((item.settings.repeats or 1) if is_reg else item.repeats for item in mine)


def _folders(training_data: TrainingData) -> dict[str, dict[str, int]]:
    """Repeats and images by folder; regularisation images are not in it, as in sd-scripts."""
    return {
        name: {"n_repeats": items[0].repeats, "img_count": len(items)}
        for name, items in _by_folder(training_data).items()
    }


def _tags(training_data: TrainingData) -> dict[str, dict[str, int]]:
    """How often each tag is shown in an epoch, by folder."""
    return {
        name: tag_frequency(
            [(item.caption, item.repeats) for item in items], items[0].settings.captions.caption_separator
        )
        for name, items in _by_folder(training_data).items()
    }


def _by_folder(training_data: TrainingData) -> dict[str, list[CaptionedImage]]:
    """Images by the last part of their folder's path, as in sd-scripts; of further folders that are called
    the same, or of one folder in further datasets, `10_cat (2)`, as in its `ss_dataset_dirs`."""
    places: dict[tuple[int, Path], list[CaptionedImage]] = defaultdict(list)
    for item in training_data.items:
        if not item.is_reg:
            places[item.settings.dataset, item.folder].append(item)
    found: dict[str, list[CaptionedImage]] = {}
    for (_, folder), items in places.items():
        name, number = folder.name, 2
        while name in found:
            name, number = f"{folder.name} ({number})", number + 1
        found[name] = items
    return found
