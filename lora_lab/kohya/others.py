"""Configs of other trainers, key by key under the names of sd-scripts or of settings here.

Sources: ai-toolkit, config/examples of github.com/ostris/ai-toolkit at 016777ac, such as
train_lora_sd35_large_24gb.yaml; sd-webui-train-tools, config_file.py of
github.com/liasece/sd-webui-train-tools at 9f200854; OneTrainer, training_presets of
github.com/Nerogar/OneTrainer at 0650480b, such as "#sdxl 1.0 LoRA.json".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lora_lab.models.families import FAMILIES

AI_TOOLKIT, TRAIN_TOOLS, ONE_TRAINER = "ai-toolkit", "sd-webui-train-tools", "OneTrainer"
TRAINERS = (AI_TOOLKIT, TRAIN_TOOLS, ONE_TRAINER)

Change = Callable[[Any], Any]
Table = Mapping[str, "str | tuple[str, Change]"]
"""A trainer's key to the name here, with how its value is said here where that differs."""

Found = tuple[str, str, Any]
"""A key as the file has it, its name here, and its value."""


def kind_of(content: Mapping[str, Any]) -> str:
    """The trainer whose config this is; '' for none of these."""
    inner = content.get("config")
    if "job" in content and isinstance(inner, Mapping) and isinstance(inner.get("process"), list):
        return AI_TOOLKIT
    if any(key in content for key in ("train_net_dim", "train_num_epochs", "process_width")):
        return TRAIN_TOOLS
    return ONE_TRAINER if "training_method" in content and "model_type" in content else ""


def keys_of(content: Mapping[str, Any], kind: str) -> list[Found]:
    """Every key of a config, nested ones with dots, each once; one without a name here has its trainer's."""
    table, given = _TABLES[kind], _given(content, kind)
    found = [_named(key, value, table, f"{kind}: {key}") for key, value in given.items()]
    if kind == AI_TOOLKIT:
        return [*found, *_sides(given, ("sample.width", "sample.height"))]
    if kind == TRAIN_TOOLS:
        sides = _sides(given, ("preview_width", "preview_height"))
        return [*found, *sides, *_sides(given, ("process_width", "process_height"), "resolution", ",")]
    return found


def _given(content: Mapping[str, Any], kind: str) -> dict[str, Any]:
    if kind != AI_TOOLKIT:
        return dict(_flat(content))
    inner = content["config"]
    first = inner["process"][0] if inner["process"] and isinstance(inner["process"][0], Mapping) else {}
    more = {f"process[{number}]": item for number, item in enumerate(inner["process"]) if number}
    rest = {key: value for key, value in inner.items() if key != "process"}
    outer = {key: value for key, value in content.items() if key != "config"}
    return {**dict(_flat(outer)), **dict(_flat(rest, "config")), **more, **dict(_flat(first))}


def _flat(values: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        label = f"{place}.{key}" if place else str(key)
        if isinstance(value, Mapping) and value:
            yield from _flat(value, label)
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            for number, item in enumerate(value):
                yield from _flat(item, f"{label}[{number}]" if number else label)
        else:
            yield label, value


def _named(key: str, value: Any, table: Table, unknown: str) -> Found:
    entry = table.get(key)
    if entry is None:
        return key, unknown, value
    if isinstance(entry, str):
        return key, entry, value
    name, change = entry
    return key, name, change(value)


def _sides(
    given: Mapping[str, Any], keys: tuple[str, str], name: str = "preview.size", sign: str = "x"
) -> Iterator[Found]:
    """Two keys that are one setting here."""
    width, height = (given.get(key) for key in keys)
    if width and height:
        yield " and ".join(keys), name, f"{width}{sign}{height}"


def _first(value: Any) -> Any:
    """Of several values the first; the others would be further runs."""
    if isinstance(value, str) and "," in value:
        value = value.split(",")
    return value[0] if isinstance(value, list) and value else value


def _largest(value: Any) -> Any:
    return (
        max(value) if isinstance(value, list) and value and all(isinstance(v, int) for v in value) else value
    )


def _precision(value: Any) -> Any:
    words = {"float16": "fp16", "bfloat16": "bf16", "float32": "no", "float_16": "fp16", "bfloat_16": "bf16",
             "float_32": "no", "fp32": "no"}  # fmt: skip
    return words.get(str(value).lower(), value)


def _saved(value: Any) -> Any:
    found = _precision(value)
    return "float" if found == "no" else found


def _prompts(value: Any) -> Any:
    lines = value if isinstance(value, list) else [value]
    return [str(line).replace("[trigger]", "{trigger}") for line in lines if line]


def _extension(value: Any) -> Any:
    return f".{value}" if isinstance(value, str) and value and not value.startswith(".") else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _sampler(value: Any) -> Any:
    return str(_first(value)).lower().replace(" ", "_")


def _seeds(value: Any) -> Any:
    number = _first(value)
    return [] if str(number) == "-1" else [number]


def _repeats(value: Any) -> Any:
    return None if str(value) == "-1" else value


def _strengths(value: Any) -> Any:
    return [float(word) for word in str(value).split(",") if word.strip()]


def _switches(trainer: str) -> dict[str, str | tuple[str, Change]]:
    """A trainer's switches of base-model families."""
    rows = [family for family in FAMILIES.values() if trainer in family.switches_elsewhere]
    return {family.switches_elsewhere[trainer]: family.switch for family in rows}


_TABLES: Mapping[str, Table] = {
    AI_TOOLKIT: {
        **_switches(AI_TOOLKIT),
        "config.name": "output_name",
        "training_folder": "output_dir",
        "trigger_word": "dataset.trigger_word",
        "network.type": ("network_module", lambda value: f"networks.{value}"),
        "network.linear": "network_dim",
        "network.linear_alpha": "network_alpha",
        "network.conv": "conv_dim",
        "network.conv_alpha": "conv_alpha",
        "network.dropout": "network_dropout",
        "save.dtype": ("save_precision", _saved),
        "save.save_every": "save_every_n_steps",
        "save.max_step_saves_to_keep": "save_last_n_steps",
        "datasets.folder_path": "train_data_dir",
        "datasets.caption_ext": ("caption_extension", _extension),
        "datasets.caption_dropout_rate": "caption_dropout_rate",
        "datasets.shuffle_tokens": "shuffle_caption",
        "datasets.keep_tokens": "keep_tokens",
        "datasets.cache_latents": "cache_latents",
        "datasets.cache_latents_to_disk": "cache_latents",
        "datasets.flip_x": "flip_aug",
        "datasets.num_repeats": "dataset.repeats",
        "datasets.resolution": ("resolution", _largest),
        "train.batch_size": "train_batch_size",
        "train.steps": "max_train_steps",
        "train.gradient_accumulation_steps": "gradient_accumulation_steps",
        "train.train_unet": "network.train_unet",
        "train.train_text_encoder": "network.train_text_encoder",
        "train.gradient_checkpointing": "gradient_checkpointing",
        "train.optimizer": "optimizer_type",
        "train.lr": "learning_rate",
        "train.unet_lr": "unet_lr",
        "train.text_encoder_lr": "text_encoder_lr",
        "train.lr_scheduler": "lr_scheduler",
        "train.max_grad_norm": "max_grad_norm",
        "train.min_snr_gamma": "min_snr_gamma",
        "train.noise_offset": "noise_offset",
        "train.loss_type": ("loss_type", {"mse": "l2", "mae": "l1"}.get),
        "train.dtype": ("mixed_precision", _precision),
        "train.seed": "seed",
        "model.name_or_path": "pretrained_model_name_or_path",
        "model.vae_path": "vae",
        "model.is_v_pred": "v_parameterization",
        "model.is_v3": "sd3_checkbox",
        "model.is_flux": "flux1_checkbox",
        "sample.sampler": "sample_sampler",
        "sample.prompts": ("preview.prompts", _prompts),
        "sample.neg": "preview.negative_prompt",
        "sample.seed": ("preview.seeds", _seeds),
        "sample.guidance_scale": "preview.guidance_scale",
        "sample.sample_steps": "preview.steps",
    },
    TRAIN_TOOLS: {
        **_switches(TRAIN_TOOLS),
        "train_base_model": "pretrained_model_name_or_path",
        "train_batch_size": "train_batch_size",
        "train_num_epochs": "max_train_epochs",
        "train_save_every_n_epochs": "save_every_n_epochs",
        "train_optimizer_type": ("optimizer_type", _first),
        "train_learning_rate": ("learning_rate", _first),
        "train_net_dim": ("network_dim", _first),
        "train_alpha": ("network_alpha", _first),
        "train_clip_skip": "clip_skip",
        "train_mixed_precision": "mixed_precision",
        "train_xformers": "xformers",
        "train_num_repetitions": ("dataset.repeats", _repeats),
        "process_flip": "flip_aug",
        "preview_txt2img_prompt": ("preview.prompts", _prompts),
        "preview_txt2img_negative_prompt": "preview.negative_prompt",
        "preview_sampling_method": ("preview.sampler", _sampler),
        "preview_sampling_steps": "preview.steps",
        "preview_cfg_scale": "preview.guidance_scale",
        "preview_seed": ("preview.seeds", _seeds),
        "preview_lora_multiplier": ("preview.strengths", _strengths),
    },
    ONE_TRAINER: {
        "base_model_name": "pretrained_model_name_or_path",
        "lora_rank": "network_dim",
        "lora_alpha": "network_alpha",
        "learning_rate": "learning_rate",
        "learning_rate_scheduler": ("lr_scheduler", _lower),
        "learning_rate_warmup_steps": "lr_warmup_steps",
        "epochs": "max_train_epochs",
        "batch_size": "train_batch_size",
        "gradient_accumulation_steps": "gradient_accumulation_steps",
        "optimizer": ("optimizer_type", _lower),
        "optimizer.optimizer": ("optimizer_type", _lower),
        "resolution": "resolution",
        "train_unet": "network.train_unet",
        "train_text_encoder": "network.train_text_encoder",
        "unet.train": "network.train_unet",
        "text_encoder.train": "network.train_text_encoder",
        "unet_learning_rate": "unet_lr",
        "text_encoder_learning_rate": "text_encoder_lr",
        "offset_noise_weight": "noise_offset",
        "rescale_noise_scheduler_to_zero_terminal_snr": "zero_terminal_snr",
        "force_v_prediction": "v_parameterization",
        "train_dtype": ("mixed_precision", _precision),
        "aspect_ratio_bucketing": "enable_bucket",
        "latent_caching": "cache_latents",
    },
}
