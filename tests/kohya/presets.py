"""Presets of all ages, generated from tables of keys: none is anyone's file."""

import json
from pathlib import Path
from typing import Any

OLDEST: dict[str, Any] = {
    "pretrained_model_name_or_path": "D:/models/base.safetensors", "v2": False, "v_parameterization": False,
    "logging_dir": "", "train_data_dir": "D:/img", "reg_data_dir": "", "output_dir": "D:/out",
    "max_resolution": "512,512", "learning_rate": "1e-4", "lr_scheduler": "constant", "lr_warmup": "0",
    "train_batch_size": 2, "epoch": "3", "save_every_n_epochs": "1", "mixed_precision": "fp16",
    "save_precision": "fp16", "seed": "1234", "num_cpu_threads_per_process": 8, "cache_latents": True,
    "caption_extension": "", "enable_bucket": True, "gradient_checkpointing": False, "full_fp16": False,
    "no_token_padding": False, "stop_text_encoder_training": 0, "use_8bit_adam": True, "xformers": True,
    "save_model_as": "safetensors", "shuffle_caption": False, "clip_skip": 1, "network_dim": 8,
    "text_encoder_lr": "5e-5", "unet_lr": "1e-4", "network_alpha": 4, "LoRA_type": "Standard",
}  # fmt: skip
"""As the GUI wrote them at the start of 2023."""

MIDDLE: dict[str, Any] = OLDEST | {
    "optimizer": "AdamW8bit", "optimizer_args": "", "max_train_epochs": "", "keep_tokens": "0",
    "color_aug": False, "flip_aug": False, "lora_network_weights": "", "conv_dim": 16, "conv_alpha": 8,
    "noise_offset": "0.05", "min_snr_gamma": 5, "max_token_length": "75", "prior_loss_weight": 1.0,
    "lr_scheduler_num_cycles": "", "lr_scheduler_power": "", "conv_dims": "", "conv_alphas": "",
    "additional_parameters": "", "bucket_reso_steps": 64.0, "bucket_no_upscale": True, "vae_batch_size": 0,
    "caption_dropout_every_n_epochs": 0.0, "caption_dropout_rate": 0, "random_crop": False,
    "gradient_accumulation_steps": 1.0, "mem_eff_attn": False, "use_cp": False, "unit": 1,
    "persistent_data_loader_workers": False, "max_data_loader_n_workers": "1", "training_comment": "x",
}  # fmt: skip
"""As in the middle of 2023: optimizers by name, convolutions."""

NEWER: dict[str, Any] = MIDDLE | {
    "sdxl": True, "sdxl_no_half_vae": True, "sdxl_cache_text_encoder_outputs": False, "xformers": "xformers",
    "stop_text_encoder_training_pct": 0, "max_train_steps": "", "noise_offset_type": "Original",
    "adaptive_noise_scale": 0, "multires_noise_iterations": 0, "multires_noise_discount": 0,
    "network_dropout": 0.1, "rank_dropout": 0, "module_dropout": 0, "scale_weight_norms": 0,
    "min_bucket_reso": 256, "max_bucket_reso": 2048, "min_timestep": 0, "max_timestep": 1000,
    "decompose_both": False, "factor": -1, "full_bf16": False, "wandb_api_key": "SECRET-1",
    "use_wandb": False, "save_every_n_steps": 0, "save_last_n_steps": 0, "v_pred_like_loss": 0,
    "scale_v_pred_loss_like_noise_pred": False, "lr_scheduler_args": "", "train_on_input": True,
    "sample_prompts": "a cat --w 768 --h 1024 --s 25 --l 5 --d 7 --n blurry", "sample_sampler": "euler_a",
    "sample_every_n_epochs": 1,
}  # fmt: skip
"""As at the end of 2023: SDXL, kinds of noise, dropouts."""

NEWEST: dict[str, Any] = NEWER | {
    "LyCORIS_preset": "full", "bypass_mode": False, "dora_wd": False, "use_tucker": False,
    "use_scalar": False, "rank_dropout_scale": False, "train_norm": False, "constrain": 0, "rescaled": False,
    "dataset_config": "", "debiased_estimation_loss": False, "fp8_base": False, "gpu_ids": "",
    "multi_gpu": False, "num_machines": 1, "num_processes": 1, "main_process_port": 0, "huber_c": 0.1,
    "huber_schedule": "snr", "huber_scale": 1, "loss_type": "l2", "ip_noise_gamma": 0, "max_grad_norm": 1,
    "ip_noise_gamma_random_strength": False, "masked_loss": False, "huggingface_token": "SECRET-2",
    "huggingface_repo_id": "", "metadata_author": "", "model_list": "custom", "lr_scheduler_type": "",
    "lr_warmup_steps": 0, "loraplus_lr_ratio": 0, "loraplus_unet_lr_ratio": 0, "highvram": False,
    "lowvram": False, "flux1_checkbox": False, "sd3_checkbox": False, "t5xxl": "",
    "timestep_sampling": "sigma",
    "img_attn_dim": "", "network_weights": "", "save_state": False, "resume": "", "vae": "", "log_with": "",
    "dynamo_backend": "no", "extra_accelerate_launch_args": "", "output_name": "mine",
    "skip_cache_check": False,
}  # fmt: skip
"""As in 2025 and 2026."""

AGES = {"oldest": OLDEST, "middle": MIDDLE, "newer": NEWER, "newest": NEWEST}
CHANGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "locon": {"LoRA_type": "LyCORIS/LoCon", "network_dropout": 0.3},
    "kohya_locon": {"LoRA_type": "Kohya LoCon"},
    "lokr": {"LoRA_type": "LyCORIS/LoKr", "factor": "8", "optimizer": "Prodigy", "learning_rate": 1},
    "zeros": {"max_grad_norm": 0, "learning_rate": 0, "prior_loss_weight": 0, "network_alpha": "0"},
    "unet_only": {"text_encoder_lr": 0, "epoch": 4, "max_train_epochs": "10", "max_train_steps": 900},
    "adafactor": {"optimizer": "Adafactor", "lr_scheduler": "adafactor", "lr_warmup": 10},
    "raw": {"additional_parameters": '--network_train_unet_only --seed=7 --wandb_api_key SECRET-3 stray '
            '--network_args "conv_dim=4" "algo=locon" --lr_scheduler_type "CosineAnnealingLR" '
            '--lr_scheduler_args "T_max=1000" "eta_min=0e-0"'},
}  # fmt: skip
PRESETS = {f"{age}-{name}": keys | change for age, keys in AGES.items() for name, change in CHANGES.items()}
"""Thirty-two presets."""


def written(folder: Path, values: dict[str, Any]) -> Path:
    """A preset as a file."""
    path = folder / "preset.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path
