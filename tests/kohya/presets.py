"""Presets of all ages, generated from tables of keys: none is anyone's file."""

import json
import re
import tomllib
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

_GONE = (
    "no_token_padding", "use_8bit_adam", "lora_network_weights", "conv_dims", "conv_alphas",
    "stop_text_encoder_training_pct", "use_wandb",
)  # fmt: skip
_LATER = """
cache_latents_to_disk train_inpainting dynamo_mode dynamo_use_fullgraph dynamo_use_dynamic fp8_base_unet
save_state_on_train_end noise_offset_random_strength save_last_n_steps_state save_last_n_epochs
save_last_n_epochs_state wandb_run_name log_tracker_name log_tracker_config log_config weighted_captions
t5xxl_lr dim_from_weights sample_every_n_steps down_lr_weight mid_lr_weight up_lr_weight
block_lr_zero_threshold block_dims block_alphas conv_block_dims conv_block_alphas
loraplus_text_encoder_lr_ratio train_lora_ggpo ggpo_sigma ggpo_beta huggingface_repo_type
huggingface_repo_visibility huggingface_path_in_repo save_state_to_huggingface resume_from_huggingface
async_upload metadata_description metadata_license metadata_tags metadata_title
flux1_cache_text_encoder_outputs flux1_cache_text_encoder_outputs_to_disk model_type ae clip_l
discrete_flow_shift model_prediction_type split_mode train_blocks t5xxl_max_token_length
enable_all_linear guidance_scale mem_eff_save apply_t5_attn_mask split_qkv train_t5xxl
cpu_offload_checkpointing blocks_to_swap single_blocks_to_swap double_blocks_to_swap show_timesteps
show_timesteps_resolution img_mlp_dim img_mod_dim single_dim txt_attn_dim txt_mlp_dim txt_mod_dim
single_mod_dim in_dims train_double_block_indices train_single_block_indices
sd3_cache_text_encoder_outputs sd3_cache_text_encoder_outputs_to_disk sd3_fused_backward_pass clip_g
clip_g_dropout_rate sd3_clip_l sd3_clip_l_dropout_rate sd3_disable_mmap_load_safetensors
sd3_enable_scaled_pos_embed logit_mean logit_std mode_scale pos_emb_random_crop_rate save_clip
save_t5xxl sd3_t5_dropout_rate sd3_t5xxl t5xxl_device t5xxl_dtype sd3_text_encoder_batch_size
weighting_scheme hunyuan_image_cache_text_encoder_outputs
hunyuan_image_cache_text_encoder_outputs_to_disk hunyuan_text_encoder hunyuan_byt5 hunyuan_vae
hunyuan_discrete_flow_shift hunyuan_model_prediction_type hunyuan_timestep_sampling
hunyuan_sigmoid_scale hunyuan_attn_mode hunyuan_split_attn hunyuan_fp8_scaled hunyuan_fp8_vl
hunyuan_text_encoder_cpu hunyuan_vae_chunk_size hunyuan_image_checkbox anima_cache_text_encoder_outputs
anima_cache_text_encoder_outputs_to_disk anima_qwen3 anima_vae anima_llm_adapter_path
anima_t5_tokenizer_path anima_discrete_flow_shift anima_timestep_sampling anima_sigmoid_scale
anima_qwen3_max_token_length anima_t5_max_token_length anima_attn_mode anima_split_attn
anima_vae_chunk_size anima_vae_disable_cache anima_unsloth_offload_checkpointing anima_qwen_image_vae_2d
anima_compile anima_torch_compile anima_compile_backend anima_compile_mode anima_compile_dynamic
anima_compile_fullgraph anima_compile_cache_size_limit anima_checkbox lumina_cache_text_encoder_outputs
lumina_cache_text_encoder_outputs_to_disk lumina_gemma2 lumina_ae lumina_discrete_flow_shift
lumina_model_prediction_type lumina_timestep_sampling lumina_sigmoid_scale
lumina_gemma2_max_token_length lumina_system_prompt lumina_use_flash_attn lumina_use_sage_attn
lumina_checkbox
"""
WHOLE: dict[str, Any] = {
    **{key: ("", 0, False)[number % 3] for number, key in enumerate(re.findall(r"\w+", _LATER))},
    **{key: value for key, value in NEWEST.items() if key not in _GONE},
}
"""All 287 fields that save_configuration of lora_gui.py writes, at kohya_ss 45088f04 of July 2026."""

FIRST: dict[str, Any] = {
    key: value
    for key, value in OLDEST.items()
    if key not in ("v_parameterization", "logging_dir", "reg_data_dir", "seed", "no_token_padding",
                   "stop_text_encoder_training", "full_fp16")
}  # fmt: skip
"""Twenty-eight keys, as few as a preset has."""

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
PRESETS |= {f"whole-{name}": WHOLE | CHANGES[name] for name in ("plain", "lokr", "zeros", "raw")}
PRESETS |= {f"first-{name}": FIRST | CHANGES[name] for name in ("plain", "kohya_locon")}
"""Thirty-eight presets of the GUI."""

ARGUMENTS = {
    "sections": """
[model]
pretrained_model_name_or_path = "D:/models/base.safetensors"
clip_skip = 2
[network]
network_module = "lycoris.kohya"
network_dim = 8
network_alpha = 1
network_args = ["conv_dim=4", "conv_alpha=1", "algo=loha", "preset=attn-mlp"]
network_dropout = 0.1
[optimizer]
optimizer_type = "AdamW8bit"
optimizer_args = ["weight_decay=0.1", "betas=0.9,0.99"]
learning_rate = 1e-4
lr_scheduler = "cosine_with_restarts"
lr_scheduler_num_cycles = 3
lr_warmup_steps = 0.1
huggingface_token = "SECRET-4"
""",
    "flat": """
v2 = true
v_parameterization = true
train_data_dir = "/img"
resolution = "768,768"
enable_bucket = true
bucket_no_upscale = true
caption_extension = ".txt"
keep_tokens = 1
shuffle_caption = true
network_module = "networks.lora"
network_dim = 16
network_alpha = 16.0
network_train_unet_only = true
optimizer_type = "Prodigy"
optimizer_args = ["decouple=True", "use_bias_correction=True"]
learning_rate = 1.0
max_train_epochs = 10
save_every_n_epochs = 1
mixed_precision = "bf16"
save_precision = "bf16"
gradient_checkpointing = true
sdpa = true
no_half_vae = true
min_snr_gamma = 5.0
multires_noise_iterations = 6
multires_noise_discount = 0.3
zero_terminal_snr = true
seed = 1026
""",
    "words": """
network_module = "networks.lora"
network_dim = "4"
network_alpha = "2"
network_args = ["conv_dim=4"]
unet_lr = "1e-4"
text_encoder_lr = ["5e-5"]
lr_scheduler_type = "CosineAnnealingLR"
lr_scheduler_args = ["T_max=1000"]
max_train_steps = "900"
xformers = true
loss_type = "huber"
huber_c = 0.2
scale_weight_norms = 1.0
""",
}
"""Files for `--config_file` of sd-scripts, as people write them."""


def written(folder: Path, values: dict[str, Any]) -> Path:
    """A preset as a file."""
    path = folder / "preset.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


TOML_OF_THE_GUI = ("middle-plain", "newer-lokr", "newest-raw")
FILES = (
    *PRESETS,
    *(f"{name}.toml" for name in TOML_OF_THE_GUI),
    *(f"{name}.arguments" for name in ARGUMENTS),
)
"""Names of presets of all ages and kinds."""


def file_of(folder: Path, name: str) -> tuple[Path, set[str]]:
    """A preset of `FILES` as a file, and its keys."""
    stem, _, kind = name.partition(".")
    if not kind:
        return written(folder, PRESETS[stem]), set(PRESETS[stem])
    path = folder / "preset.toml"
    if kind == "arguments":
        path.write_text(ARGUMENTS[stem], encoding="utf-8")
    else:
        lines = [f"{key} = {json.dumps(value)}" for key, value in PRESETS[stem].items()]
        path.write_text("\n".join(lines), encoding="utf-8")
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    tables = [value if isinstance(value, dict) else {key: value} for key, value in values.items()]
    return path, {key for table in tables for key in table}
