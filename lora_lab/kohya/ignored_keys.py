"""Keys that become no setting, each with its reason, and older spellings; the rest is in `config/schema`."""

import re
from functools import cache

from lora_lab.config import settings
from lora_lab.config.peers import NOT_SETTINGS
from lora_lab.models.families import FAMILIES as OURS

_SWITCHES = tuple(family.switch for family in OURS.values() if family.switch_of_gui)
"""The GUI's own switches of families, which also stand before names of settings that are the family's."""

RENAMED_KEYS = {
    "optimizer": "optimizer_type",
    "max_resolution": "resolution",
    "lora_network_weights": "network_weights",
    "stop_text_encoder_training_pct": "stop_text_encoder_training",
    "use_cp": "use_tucker",
    "conv_dims": "conv_block_dims",
    "conv_alphas": "conv_block_alphas",
    "use_wandb": "log_with",
    "LyCORIS_preset": "preset",
    **{f"{switch}_checkbox": switch for switch in _SWITCHES},
    **{
        f"{switch}_{key}": key
        for switch in _SWITCHES
        for key in ("no_half_vae", "cache_text_encoder_outputs")
    },
}
"""What older files and the GUI call a key, and what sd-scripts calls it."""

GUI_ONLY = frozenset(
    [
        "LoRA_type",
        "LyCORIS_preset",
        "additional_parameters",
        "max_resolution",
        "lr_warmup",
        "optimizer",
        "model_list",
        "noise_offset_type",
        "stop_text_encoder_training",
        "stop_text_encoder_training_pct",
        "lora_network_weights",
        "save_as_bool",
        *(key for switch in _SWITCHES for key in (switch, f"{switch}_checkbox")),
    ]
)
"""Keys that only the GUI writes; they tell its files from sd-scripts' own."""

_SECRET = re.compile(r"(^|_)(api_?key|(hf|huggingface|wandb|access|auth)_?token|password|secret)$", re.I)


def is_secret(name: str) -> bool:
    """Whether a key holds something that must not get into any other file."""
    return bool(_SECRET.search(name))


FAMILIES = {
    "flux1_checkbox": "FLUX.1",
    "sd3_checkbox": "SD3",
    "hunyuan_image_checkbox": "HunyuanImage",
    "anima_checkbox": "Anima",
    "lumina_checkbox": "Lumina",
}
"""Switches of base models that cannot be trained here."""

_OTHER_FAMILY = re.compile(
    r"^(flux1?_|sd3_|hunyuan_|anima_|lumina_|t5xxl|clip_[lg]|img_\w+_dim|txt_\w+_dim|single_\w*dim|in_dims$"
    r"|ae$|apply_t5|blocks_to_swap|single_blocks|double_blocks|split_|train_blocks|train_(double|single)_block"
    r"|train_t5xxl|enable_all_linear|guidance_scale|model_type|model_prediction_type|timestep_sampling"
    r"|discrete_flow_shift|logit_|mode_scale|weighting_scheme|save_clip|save_t5xxl|pos_emb_|cpu_offload"
    r"|show_timesteps|disable_mmap|gemma2|sigmoid_scale|train_lora_ggpo|ggpo_)"
)
_OF_THE_MACHINE = [
    "num_processes",
    "num_machines",
    "multi_gpu",
    "main_process_port",
    "num_cpu_threads_per_process",
    "extra_accelerate_launch_args",
    "dynamo_backend",
    "dynamo_mode",
    "dynamo_use_fullgraph",
    "dynamo_use_dynamic",
    "ddp_timeout",
    "ddp_gradient_as_bucket_view",
    "ddp_static_graph",
    "gpu_ids",
    "mem_eff_save",
    "deepspeed",
    "zero_stage",
]
_GUI_FORM = ["save_as_bool", "model_list", "file_path", "headless", "print_only"]
_UPLOAD = [
    "huggingface_repo_id",
    "huggingface_repo_type",
    "huggingface_repo_visibility",
    "huggingface_path_in_repo",
    "save_state_to_huggingface",
    "resume_from_huggingface",
    "async_upload",
]
_LOGS = ["log_config", "log_prefix", "log_tracker_name", "log_tracker_config", "wandb_run_name"]
_NOT_HERE = [
    "block_dims",
    "block_alphas",
    "conv_block_dims",
    "conv_block_alphas",
    "train_norm",
    "use_tucker",
    "use_scalar",
    "rank_dropout_scale",
    "bypass_mode",
    "constrain",
    "constraint",
    "rescaled",
    "train_on_input",
    "unit",
    "rs_lora",
    "loraplus_unet_lr_ratio",
    "loraplus_text_encoder_lr_ratio",
    "no_token_padding",
    "train_inpainting",
    "clip_g_dropout_rate",
    "fused_backward_pass",
]
_OTHER_TABS = frozenset(
    [
        "learning_rate_te",
        "learning_rate_te1",
        "learning_rate_te2",
        "blockwise_fused_optimizers",
        "batch_size",
        "block_lr",
        "fused_optimizer_groups",
        "caption_metadata_filename",
        "create_buckets",
        "create_caption",
        "dataset_repeats",
        "full_path",
        "image_folder",
        "latent_metadata_filename",
        "train_dir",
        "use_latent_files",
        "init_word",
        "weights",
        "num_vectors_per_token",
        "template",
        "token_string",
        "train_text_encoder",
        "no_train_text_encoder",
    ]
)
_TEXT = {
    "lowvram": "weights are read where they are needed",
    "is_reg": "regularisation images are dataset.reg_path",
    "no_half_vae": "the VAE always computes in fp32",
    "cache_text_encoder_outputs": "text states are always cached where the text encoder is frozen",
    "cache_text_encoder_outputs_to_disk": "text states are always cached where the text encoder is frozen",
    "cache_latents_to_disk": "dataset.cache_latents=true keeps them on disk, by content",
    "resume": "a run goes on by itself where it stopped; the states of sd-scripts cannot be read",
    "save_last_n_steps": "every checkpoint of a run is kept, so that it can be compared",
    "save_last_n_epochs": "every checkpoint of a run is kept, so that it can be compared",
    "save_state_on_train_end": "train.keep_state=true keeps the state of a finished run",
    "metadata_author": "metadata are written by `lora-lab export`",
    "stop_text_encoder_training": "the GUI shows this field and ignores it; so does this import",
    "sample_at_first": "the base model without LoRA is always rendered: preview.anchors",
}
LOW_PRIORITY = {
    **dict.fromkeys(_OF_THE_MACHINE, "says how the machine runs, not what is trained"),
    **dict.fromkeys(_GUI_FORM, "the GUI's own form"),
    **dict.fromkeys(_UPLOAD, "nothing is uploaded"),
    **dict.fromkeys(_LOGS, "steps.jsonl and the table hold them"),
    **dict.fromkeys(
        ("metadata_description", "metadata_license", "metadata_tags", "metadata_title"),
        _TEXT["metadata_author"],
    ),
    **_TEXT,
}

ZEROS = {
    "learning_rate": 2e-6,
    "max_grad_norm": 1.0,
    "prior_loss_weight": 1.0,
    "huber_c": 0.1,
    "huber_scale": 1.0,
    "network_alpha": 1.0,
    "network_dim": 4,
    "clip_skip": 1,
    "max_timestep": 1000,
    "max_token_length": 75,
    "min_bucket_reso": 256,
    "max_bucket_reso": 1024,
    "bucket_reso_steps": 64,
    "train_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "multires_noise_discount": 0.3,
    "lr_scheduler_power": 1.0,
}
"""Arguments whose 0 the GUI drops, with the value that sd-scripts then takes.

It drops what is in `["", False, None]`, and 0 == False: kohya_ss lora_gui.py at 45088f04, end of train_model;
sd-scripts train_util.py and train_network.py at 48d368fa.
"""


@cache
def setting_of() -> dict[str, str]:
    """The setting of every argument and field that has one, from the settings' own declarations."""
    named = {peer.lstrip("-"): item.key for item in settings().values() for peer in item.peer}
    return {name: key for name, key in named.items() if len(name) > 2 and _has_setting(name)}


def _has_setting(name: str) -> bool:
    """Not what means something else there, nor what acts in other families' trainings alone."""
    return name not in LOW_PRIORITY and not _OTHER_FAMILY.match(name)


def why_ignored(name: str, *, off: bool) -> str:
    """Why a key becomes no setting; empty where nothing is known of it.

    Args:
        off: Its value is empty, false or 0.
    """
    peers = {peer.lstrip("-"): text for peer, text in NOT_SETTINGS.items()}
    if name in LOW_PRIORITY or name in peers:
        return ("off; " if off else "") + (LOW_PRIORITY.get(name) or peers[name])
    if name in _OTHER_TABS:
        return "of the GUI's Dreambooth, fine-tuning or textual inversion tab: a LoRA has no such field"
    if name in _NOT_HERE:
        return "off, as here" if off else "this program has no such setting: results will differ"
    if name in FAMILIES or _OTHER_FAMILY.match(name):
        return "belongs to a family of base models that is not trained here"
    return ""
