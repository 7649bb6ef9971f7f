"""Fingerprints of version 1, so that sweeps of that time are skipped and resumed, not trained again.

Version 1 counted every setting of its day, those that are off, too. A setting that came later has no part in
it: while it is off the experiment is the same, and once it is on no run of version 1 can be it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lora_lab.config import settings
from lora_lab.optim.entries import OptimizerEntry
from lora_lab.resolved import digest

_OF_ARGS = ("optimizer.args.", "lr_scheduler.args.")

SETTINGS_1 = frozenset(
    {
        "base_model.family", "base_model.clip_skip", "base_model.max_token_length",
        "base_model.v_parameterization", "base_model.fp8_base", "base_model.nf4_base",
        "dataset.repeats", "dataset.trigger_word", "dataset.resolution", "dataset.enable_bucket",
        "dataset.min_bucket_reso", "dataset.max_bucket_reso", "dataset.bucket_reso_steps",
        "dataset.bucket_no_upscale", "dataset.resize_interpolation", "dataset.caption_separator",
        "dataset.weighted_captions", "dataset.shuffle_caption", "dataset.keep_tokens",
        "dataset.keep_tokens_separator", "dataset.secondary_separator", "dataset.enable_wildcard",
        "dataset.caption_prefix", "dataset.caption_suffix", "dataset.caption_dropout_rate",
        "dataset.caption_dropout_every_n_epochs", "dataset.caption_tag_dropout_rate",
        "dataset.token_warmup_min", "dataset.token_warmup_step", "dataset.flip_aug", "dataset.random_crop",
        "dataset.alpha_mask",
        "network.type", "network.network_dim", "network.network_alpha", "network.conv_dim",
        "network.conv_alpha", "network.preset", "network.factor", "network.decompose_both",
        "network.wd_on_output", "network.train_unet", "network.train_text_encoder",
        "network.network_dropout", "network.rank_dropout", "network.module_dropout",
        "network.scale_weight_norms", "network.down_lr_weight", "network.mid_lr_weight",
        "network.up_lr_weight", "network.block_lr_zero_threshold", "network.dim_from_weights",
        "optimizer.name", "optimizer.learning_rate", "optimizer.text_encoder_lr",
        "optimizer.loraplus_lr_ratio",
        "lr_scheduler.name", "lr_scheduler.lr_warmup_steps", "lr_scheduler.lr_decay_steps",
        "lr_scheduler.num_cycles", "lr_scheduler.power", "lr_scheduler.min_lr_ratio",
        "lr_scheduler.timescale", "lr_scheduler.step_rules",
        "loss.loss_type", "loss.huber_c", "loss.huber_schedule", "loss.huber_scale", "loss.min_snr_gamma",
        "loss.debiased_estimation_loss", "loss.v_pred_like_loss", "loss.scale_v_pred_loss_like_noise_pred",
        "loss.noise_offset", "loss.noise_offset_random_strength", "loss.adaptive_noise_scale",
        "loss.multires_noise_iterations", "loss.multires_noise_discount", "loss.ip_noise_gamma",
        "loss.ip_noise_gamma_random_strength", "loss.zero_terminal_snr", "loss.min_timestep",
        "loss.max_timestep", "loss.prior_loss_weight",
        "train.seed", "train.train_batch_size", "train.gradient_accumulation_steps", "train.max_grad_norm",
        "train.mixed_precision", "train.full_bf16", "train.full_fp16",
    }
)  # fmt: skip
"""The settings that version 1 counted; frozen."""


def fingerprint_1(
    whole: Mapping[str, Any], arguments: Mapping[str, Any], identities: Mapping[str, str]
) -> str:
    """The fingerprint that version 1 gave the same experiment; '' where it had no such experiment.

    Args:
        whole: The fingerprint's key with the settings that are off (`resolve.whole_key`).
        arguments: The optimizer's arguments as given, each its class's default or not.
    """
    known = settings()
    kept = {}
    for name, value in {**whole, **arguments}.items():
        if name in SETTINGS_1 or name.startswith(_OF_ARGS) or name == "total_updates":
            kept[name] = value
        elif name not in known or value != known[name].default:
            return ""
    return digest({"settings": kept, "identities": dict(identities)})


def given_arguments(row: OptimizerEntry | None, arguments: Mapping[str, object]) -> dict[str, Any]:
    """The optimizer's arguments as version 1 spelled them: as passed, a default written out included."""
    if row is None:
        return {}
    named = {f"optimizer.args.{name}": value for name, value in arguments.items() if name not in row.ignored}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in named.items()}
