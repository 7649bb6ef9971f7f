"""When a run saves, and what: LoRA files with metadata, and training states."""

import json
import time
from typing import Any

import torch

from lora_lab.config import RunConfig, flat, parse_resolution
from lora_lab.data.captions import tag_frequency
from lora_lab.errors import DivergedError
from lora_lab.lora_files.disk import save_lora
from lora_lab.networks.metadata import standard_metadata
from lora_lab.run.task import Task
from lora_lab.store import Checkpoint
from lora_lab.store.layout import lora_name
from lora_lab.store.steps import read_steps
from lora_lab.train import Record

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def oldest_kept_state(config: RunConfig, update: int, updates_per_epoch: int) -> int:
    """States of fewer updates than this are deleted after a state at `update` is written.

    `save_last_n_steps_state` 300 at step 800 keeps what is not older than step 500; without either setting
    only the newest stays.
    """
    steps, epochs = config.train.save_last_n_steps_state, config.train.save_last_n_epochs_state
    span = max(steps, epochs * updates_per_epoch)
    return update - span


def save_lora_of(task: Task, tag: str, record: Record) -> Checkpoint:
    """Write a run's LoRA file and enter it into the record.

    Raises:
        DivergedError: The weights are not finite; such a file would only mislead.
        RunFolderError: The folder cannot be written to, or the disk is full.
    """
    runner = task.runner
    assert runner
    dtype = PRECISIONS[task.config.train.save_precision]
    tensors = runner.weights(dtype)
    broken = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise DivergedError(
            f"{len(broken)} of {len(tensors)} tensors are not finite in {task.config.train.save_precision} "
            f"at step {record.step} ({broken[0]}): lower the learning rate, or train.save_precision=fp32"
        )
    path = task.folder.checkpoint(tag)
    save_lora(path, tensors, metadata_of(task, tag, record))
    checkpoint = Checkpoint(
        tag,
        str(path.relative_to(task.folder.path)),
        record.epoch,
        record.step,
        record.samples,
        _mean_loss_since(task, record.step),
        task.record.seconds.get("train", 0.0),
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
    config, material, job = task.config, task.prepared.material, task.prepared.job
    texts = standard_metadata(
        job.adapter,
        task.prepared.base.family,
        lora_name(f"{config.sweep or task.folder.path.parent.name}-{task.name}-{tag}"),
        prediction_type=task.prepared.source.process.prediction_type,
        resolution=parse_resolution(config.dataset.resolution),
        settings=_training_settings(task, record),
    )
    texts["lora_lab.config"] = json.dumps({key: value for key, value in flat(config).items()})
    texts["lora_lab.fingerprint"] = task.record.fingerprint
    texts["lora_lab.images"] = material.identity
    return texts


def _training_settings(task: Task, record: Record) -> dict[str, Any]:
    assert task.prepared
    config, material, job = task.config, task.prepared.material, task.prepared.job
    train, data = config.train, config.dataset
    folders = {item.folder.name: {"n_repeats": item.repeats, "img_count": 0} for item in material.items}
    for item in material.items:
        folders[item.folder.name]["img_count"] += 1
    tags = tag_frequency([(item.caption, item.repeats) for item in material.items], data.caption_separator)
    return {
        "sd_model_name": task.prepared.base.name,
        "new_sd_model_hash": task.prepared.base.identity,
        "learning_rate": config.optimizer.learning_rate,
        "unet_lr": job.unet_lr,
        "text_encoder_lr": job.text_encoder_lr,
        "num_train_images": material.images,
        "num_validation_images": len(material.validation),
        "validation_split": train.validation_split,
        "validation_seed": train.validation_seed,
        "num_batches_per_epoch": material.stream.batches_per_epoch,
        "num_epochs": material.length.epochs,
        "epoch": record.epoch,
        "steps": record.step,
        "max_train_steps": job.total_updates,
        "batch_size_per_device": train.train_batch_size,
        "total_batch_size": train.train_batch_size * train.gradient_accumulation_steps,
        "gradient_accumulation_steps": train.gradient_accumulation_steps,
        "gradient_checkpointing": train.gradient_checkpointing,
        "lr_scheduler": config.lr_scheduler.name,
        "lr_warmup_steps": config.lr_scheduler.lr_warmup_steps,
        "optimizer": config.optimizer.name
        + "".join(f",{key}={value}" for key, value in sorted(config.optimizer.args.items())),
        "max_grad_norm": train.max_grad_norm,
        "mixed_precision": train.mixed_precision,
        "clip_skip": config.base_model.clip_skip,
        "max_token_length": config.base_model.max_token_length,
        "seed": train.seed,
        "noise_offset": config.loss.noise_offset or None,
        "min_snr_gamma": config.loss.min_snr_gamma or None,
        "scale_weight_norms": config.network.scale_weight_norms or None,
        "cache_latents": data.cache_latents,
        "shuffle_caption": data.shuffle_caption,
        "keep_tokens": data.keep_tokens,
        "flip_aug": data.flip_aug,
        "enable_bucket": data.enable_bucket,
        "min_bucket_reso": data.min_bucket_reso,
        "max_bucket_reso": data.max_bucket_reso,
        "bucket_no_upscale": data.bucket_no_upscale,
        "dataset_dirs": folders,
        "tag_frequency": {next(iter(folders), ""): tags},
        "training_comment": train.training_comment or None,
        "training_started_at": str(time.time() - task.record.seconds.get("train", 0.0)),
    }
