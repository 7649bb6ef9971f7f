"""A run's settings as arguments of sd-scripts: the way back to kohya_ss.

Every key is one that the parser of its training script knows, every value of the parser's type: a file for
`--config_file` is not checked there, it is taken as it stands. Source: setup_parser in train_network.py and
sdxl_train_network.py of github.com/kohya-ss/sd-scripts at 48d368fa557731ad0488c07304dfeba8c07910eb;
tests/golden holds names and types.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lora_lab.kohya.network import ALGORITHMS, LYCORIS
from lora_lab.models.family import Family
from lora_lab.optim.schedules import is_share, steps_of

PLAIN = {
    "base_model.path": "pretrained_model_name_or_path",
    "base_model.vae": "vae",
    "base_model.v_parameterization": "v_parameterization",
    "base_model.fp8_base": "fp8_base",
    "dataset.reg_path": "reg_data_dir",
    **{f"dataset.{name}": name for name in (
        "enable_bucket", "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps", "bucket_no_upscale",
        "resize_interpolation", "caption_extension", "caption_separator", "weighted_captions",
        "shuffle_caption", "keep_tokens", "keep_tokens_separator", "secondary_separator", "enable_wildcard",
        "caption_prefix", "caption_suffix", "caption_dropout_rate", "caption_dropout_every_n_epochs",
        "caption_tag_dropout_rate", "token_warmup_min", "token_warmup_step", "flip_aug", "random_crop",
        "alpha_mask", "cache_latents",
    )},
    **{f"network.{name}": name for name in (
        "network_dim", "network_alpha", "network_dropout", "scale_weight_norms", "network_weights",
        "dim_from_weights", "base_weights", "base_weights_multiplier",
    )},
    "optimizer.learning_rate": "learning_rate",
    "optimizer.unet_lr": "unet_lr",
    "lr_scheduler.min_lr_ratio": "lr_scheduler_min_lr_ratio",
    "lr_scheduler.power": "lr_scheduler_power",
    **{f"loss.{name}": name for name in (
        "loss_type", "huber_c", "huber_schedule", "huber_scale", "min_snr_gamma", "debiased_estimation_loss",
        "v_pred_like_loss", "scale_v_pred_loss_like_noise_pred", "noise_offset",
        "noise_offset_random_strength", "adaptive_noise_scale", "multires_noise_iterations",
        "multires_noise_discount", "ip_noise_gamma", "ip_noise_gamma_random_strength", "zero_terminal_snr",
        "min_timestep", "max_timestep", "prior_loss_weight",
    )},
    **{f"train.{name}": name for name in (
        "seed", "train_batch_size", "gradient_accumulation_steps", "max_train_epochs", "max_train_steps",
        "max_grad_norm", "mixed_precision", "full_bf16", "full_fp16", "gradient_checkpointing",
        "save_every_n_epochs", "save_every_n_steps", "save_state", "save_last_n_steps_state",
        "save_last_n_epochs_state", "validation_split", "validate_every_n_epochs", "validate_every_n_steps",
        "training_comment",
    )},
}  # fmt: skip
"""Settings that mean the same there, under the name given; what is off there too is left out."""

SAID = (
    "network_alpha", "max_grad_norm", "prior_loss_weight", "learning_rate", "v_parameterization",
    "save_state",
)  # fmt: skip
"""Arguments whose 0 or false may not be what goes without saying, there or in an import."""

_WITH = {
    "multires_noise_discount": "loss.multires_noise_iterations",
    "prior_loss_weight": "dataset.reg_path",
    "token_warmup_min": "dataset.token_warmup_step",
}
"""Arguments that say something only beside another setting."""

NO_ARGUMENT = {
    "base_model.nf4_base": "it has no 4-bit base model",
    "dataset.repeats": "it takes repeats from folder names: call the folders N_name",
    "dataset.trigger_word": "write the word into the captions, or use caption_prefix",
    "dataset.class_tokens": "it takes them from folder names: N_words",
    "dataset.validation_path": "it measures on a share of the images only: validation_split",
    "train.save_state_every_n_steps": "it saves states with checkpoints only",
    "train.keep_state": "it keeps states with save_state",
    "lr_scheduler.step_rules": "its lr_scheduler_args cannot hold the rules",
}
"""Settings that sd-scripts has no argument for, with what comes nearest."""

_NETWORK_ARGS = ("rank_dropout", "module_dropout")
_BLOCKS = ("down_lr_weight", "mid_lr_weight", "up_lr_weight", "block_lr_zero_threshold")
_CAPITAL = {"adam": "Adam", "sgd": "SGD"}
"""Optimizers that it looks up in torch.optim, where case counts."""
_SAMPLERS = (
    "ddim",
    "pndm",
    "lms",
    "euler",
    "euler_a",
    "heun",
    "dpm_2",
    "dpm_2_a",
    "dpmsolver",
    "dpmsolver++",
)


@dataclass
class Arguments:
    """What sd-scripts is given.

    Attributes:
        script: The training script that takes them.
        values: By argument, in its type.
        prompts: The lines of the file that `sample_prompts` names; none without previews.
        notes: What could not be said, in words.
    """

    script: str
    values: dict[str, Any] = field(default_factory=dict)
    prompts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def arguments(
    settings: Mapping[str, Any], family: Family, name: str, without: Collection[str] = ()
) -> Arguments:
    """The arguments with which sd-scripts trains what a run trained.

    Args:
        settings: The run's settings by dotted key.
        family: Of its base model.
        name: What the LoRA is to be called.
        without: Settings that have no effect in the run.
    """
    v = {key: value for key, value in settings.items() if key not in without}
    made = Arguments(family.trainer)
    out = made.values
    out |= {"output_name": name, "output_dir": "output", "save_model_as": "safetensors", "no_half_vae": True}
    if family.switch and not family.switch_of_gui:
        out[family.switch] = True
    for key, argument in PLAIN.items():
        if key in v and _says(argument, v[key], v):
            out[argument] = _typed(argument, v[key])
    for part in (_images, _network, _optimizer, _schedule, _precision, _previews):
        part(v, made)
    for key, why in NO_ARGUMENT.items():
        if v.get(key):
            made.notes.append(f"{key}={v[key]}: sd-scripts has no such argument; {why}")
    return made


def _says(argument: str, value: Any, v: Mapping[str, Any]) -> bool:
    if value is None or (not value and argument not in SAID):
        return False
    beside = _WITH.get(argument, "")
    return not beside or bool(v.get(beside))


_WHOLE = ("min_bucket_reso", "max_bucket_reso", "bucket_reso_steps", "network_dim", "seed")
_DECIMAL = (
    "network_alpha", "token_warmup_step", "max_grad_norm", "learning_rate", "unet_lr", "min_snr_gamma",
    "prior_loss_weight",
)  # fmt: skip


def _typed(argument: str, value: Any) -> Any:
    if argument in _DECIMAL:
        return float(value)
    return int(value) if argument in _WHOLE else value


def _images(v: Mapping[str, Any], made: Arguments) -> None:
    path = str(v.get("dataset.path") or "")
    if path:
        is_file = path.lower().endswith((".toml", ".json"))
        made.values["dataset_config" if is_file else "train_data_dir"] = path
    if size := str(v.get("dataset.resolution") or ""):
        made.values["resolution"] = size.lower().replace("x", ",")
    if made.values.get("resize_interpolation") == "box":
        del made.values["resize_interpolation"]
        made.notes.append("dataset.resize_interpolation=box: sd-scripts has no such choice; area is alike")
    if (tokens := v.get("base_model.max_token_length")) in (150, 225):
        made.values["max_token_length"] = tokens
    if (skip := v.get("base_model.clip_skip") or 1) > 1:
        made.values["clip_skip"] = skip


def _network(v: Mapping[str, Any], made: Arguments) -> None:
    kind, preset = v.get("network.type", "lora"), v.get("network.preset", "kohya")
    lycoris = preset != "kohya" or kind not in ("lora", "locon")
    made.values["network_module"] = LYCORIS if lycoris else "networks.lora"
    made.values["network_args"] = list(_network_args(v, kind, preset, lycoris))
    if not made.values["network_args"]:
        del made.values["network_args"]
    if v.get("network.train_text_encoder") is False:
        made.values["network_train_unet_only"] = True
    elif v.get("network.train_unet") is False:
        made.values["network_train_text_encoder_only"] = True
    if lycoris:
        _lycoris_notes(v, kind, preset, made)


def _lycoris_notes(v: Mapping[str, Any], kind: str, preset: str, made: Arguments) -> None:
    made.notes.append(f"network.type={kind}, network.preset={preset}: pip install lycoris-lora for it")
    if preset == "kohya":
        made.notes.append("network.preset=kohya is no preset of LyCORIS: attn-mlp has the same linear layers")
    if made.values.pop("network_dropout", 0):
        made.notes.append("network.network_dropout: LyCORIS passes it over, so it is left out")
    for name in (*_BLOCKS, "scale_weight_norms"):
        if v.get(f"network.{name}") and name in _BLOCKS:
            made.notes.append(f"network.{name}: LyCORIS has no rates of blocks")


def _network_args(v: Mapping[str, Any], kind: str, preset: str, lycoris: bool) -> Iterator[str]:
    if lycoris:
        # LyCORIS' name of what a DoRA decomposes; the preset says where its layers are.
        yield f"algo={kind if kind in ALGORITHMS and kind != 'lora' else 'locon'}"
        yield f"preset={'attn-mlp' if preset == 'kohya' else preset}"
        if kind == "dora":
            yield "dora_wd=True"
            yield f"wd_on_output={v.get('network.wd_on_output', True)}"
        if kind == "lokr":
            yield f"factor={v.get('network.factor', -1)}"
            if v.get("network.decompose_both"):
                yield "decompose_both=True"
    # A LoCon without a dim of its own for convolutions takes the other one, here and in LyCORIS.
    conv_dim = v.get("network.conv_dim") or (v.get("network.network_dim") if kind == "locon" else 0)
    if kind != "lora" and conv_dim:
        yield f"conv_dim={conv_dim}"
        yield f"conv_alpha={v.get('network.conv_alpha') or v.get('network.network_alpha') or conv_dim:g}"
    for name in (*_NETWORK_ARGS, *(() if lycoris else _BLOCKS)):
        if v.get(f"network.{name}"):
            yield f"{name}={v[f'network.{name}']}"
    ratio = v.get("optimizer.loraplus_lr_ratio") or 1.0
    if ratio != 1.0 and kind in ("lora", "locon"):
        yield f"loraplus_lr_ratio={ratio:g}"


def _optimizer(v: Mapping[str, Any], made: Arguments) -> None:
    name = str(v.get("optimizer.name", "adamw"))
    made.values["optimizer_type"] = _CAPITAL.get(name.lower(), name)
    if pairs := list(_pairs(v.get("optimizer.args") or {})):
        made.values["optimizer_args"] = pairs
    if (rate := v.get("optimizer.text_encoder_lr")) is not None:
        made.values["text_encoder_lr"] = [float(rate)]


def _pairs(args: Mapping[str, Any]) -> Iterator[str]:
    """`betas=0.9,0.99`: it reads each value as a Python literal, without blanks."""
    for key, value in args.items():
        text = ",".join(map(repr, value)) if isinstance(value, (list, tuple)) else repr(value)
        yield f"{key}={text.replace(' ', '')}"


def _schedule(v: Mapping[str, Any], made: Arguments) -> None:
    name = str(v.get("lr_scheduler.name", "constant"))
    if "." in name:
        made.values["lr_scheduler_type"] = name
        if pairs := list(_pairs(v.get("lr_scheduler.args") or {})):
            made.values["lr_scheduler_args"] = pairs
    else:
        made.values["lr_scheduler"] = name
    for key in ("lr_warmup_steps", "lr_decay_steps"):
        text = str(v.get(f"lr_scheduler.{key}") or "0").strip()
        if is_share(text):
            made.values[key] = float(text[:-1]) / 100 if text.endswith("%") else float(text)
        elif steps := steps_of(text, 1):
            made.values[key] = steps
    for key, argument in (("num_cycles", "lr_scheduler_num_cycles"), ("timescale", "lr_scheduler_timescale")):
        value = v.get(f"lr_scheduler.{key}")
        if value is None or (key == "num_cycles" and value == 1):
            continue
        if value == int(value):
            made.values[argument] = int(value)
        else:
            made.notes.append(f"lr_scheduler.{key}={value}: sd-scripts takes whole numbers only")


def _precision(v: Mapping[str, Any], made: Arguments) -> None:
    saved = v.get("train.save_precision")
    if saved:
        made.values["save_precision"] = "float" if saved == "fp32" else saved
    if (attention := v.get("train.attention")) in ("sdpa", "xformers"):
        made.values[attention] = True
    if made.values.get("validation_split"):
        made.values["validation_seed"] = v.get("train.validation_seed", 0)


def _previews(v: Mapping[str, Any], made: Arguments) -> None:
    prompts = v.get("preview.prompts") or []
    if not prompts or not v.get("preview.seeds"):
        return
    width, _, height = str(v.get("preview.size") or v.get("dataset.resolution") or "512").partition("x")
    negative = " ".join(str(v.get("preview.negative_prompt") or "").split())
    for prompt in prompts:
        for seed in v["preview.seeds"]:
            words = [" ".join(prompt.split()), f"--w {width} --h {height or width} --d {seed}"]
            words += [f"--s {v.get('preview.steps', 20)} --l {v.get('preview.guidance_scale', 7.0):g}"]
            made.prompts.append(" ".join(words + ([f"--n {negative}"] if negative else [])))
    if (sampler := v.get("preview.sampler")) in _SAMPLERS:
        made.values["sample_sampler"] = sampler
    for unit in ("epochs", "steps"):
        if every := v.get(f"train.save_every_n_{unit}"):
            made.values[f"sample_every_n_{unit}"] = every
    if len(v.get("preview.strengths") or [1.0]) > 1:
        made.notes.append("preview.strengths: sd-scripts renders at 1 only")


def toml_text(values: Mapping[str, Any], head: str = "") -> str:
    """Arguments as a file for `--config_file`; its strings are those of JSON, which TOML reads alike."""
    lines = [f"# {line}" for line in head.splitlines()]
    return "\n".join([*lines, *(f"{key} = {_literal(value)}" for key, value in values.items())]) + "\n"


def _literal(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)
