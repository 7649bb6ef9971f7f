"""From a config to its effective settings: what acts, in one spelling, and what was found on the way."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lora_lab.config import RunConfig, flat, parse_resolution, settings
from lora_lab.data.steps import run_length
from lora_lab.effective.facts import Facts
from lora_lab.effective.memory import check_memory
from lora_lab.effective.result import Effective
from lora_lab.effective.silent import (
    BLOCK_WEIGHTS,
    all_silent,
    loss_settings,
    one_rate_only,
    prediction_of,
    schedule_settings,
    sets_own_rate,
    trained_parts,
)
from lora_lab.errors import ConfigError
from lora_lab.findings import Findings, Inert, refused
from lora_lab.losses.process import PROCESSES
from lora_lab.losses.settings import check as check_loss
from lora_lab.metrics.registry import check as check_metrics
from lora_lab.models.families import FAMILIES, unknown_family
from lora_lab.networks.blocks import block_weights
from lora_lab.optim import registry
from lora_lab.optim.schedules import check as check_schedule
from lora_lab.optim.schedules import check_company, is_share, steps_of

BY_CONTENT = (
    "base_model.path",
    "base_model.vae",
    "dataset.path",
    "dataset.reg_path",
    "dataset.caption_extension",
    "dataset.class_tokens",
    "network.network_weights",
    "network.base_weights",
    "network.base_weights_multiplier",
    "train.validation_split",
    "train.validation_seed",
)
"""Settings that count by what they lead to, not by how they are spelled; an identity stands for them."""

SAME_RESULT = ("train.gradient_checkpointing", "train.attention", "dataset.cache_latents")
"""Settings that cost time or memory and change no weight."""

_OF_ARGS = ("optimizer.args", "lr_scheduler.args")


@dataclass
class _Found:
    warnings: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)

    def add(self, findings: Findings) -> None:
        self.warnings += findings.warnings
        self.refusals += findings.refusals


def resolve(config: RunConfig, facts: Facts) -> Effective:
    """Decide setting by setting what acts on the trained weights.

    Nothing raises: what would stop the run is in `refusals`.
    """
    found = _Found()
    asked = flat(config)
    now = _spelled(_for_device(asked, facts, found), facts)
    silent = all_silent(now, facts)
    length = run_length(
        facts.batches_per_epoch,
        now["train.gradient_accumulation_steps"],
        max_train_epochs=now["train.max_train_epochs"],
        max_train_steps=now["train.max_train_steps"],
    )
    _check_family(asked["base_model.family"], facts, found)
    found.add(check_memory(asked, facts.device_type))
    found.add(check_company(schedule_settings(asked), asked["optimizer.name"]))
    _check(now, facts, length.updates, found)
    values = _values(now, facts, silent)
    return Effective(
        values=values,
        key=_key(values, now, facts, length.updates),
        inert=tuple(_inert(asked, silent)),
        silent=silent,
        warnings=tuple(found.warnings),
        refusals=tuple(found.refusals),
        fallbacks=tuple(found.fallbacks),
        total_steps=length.updates,
        updates_per_epoch=length.updates_per_epoch,
    )


def _for_device(asked: dict[str, Any], facts: Facts, found: _Found) -> dict[str, Any]:
    """The values with what the device cannot do replaced, as stated fallbacks."""
    now = dict(asked)
    if facts.device_type == "cpu" and asked["train.mixed_precision"] == "fp16":
        now["train.mixed_precision"] = "no"
        now["train.full_fp16"] = False
        both = "train.mixed_precision=fp16" + (
            " and train.full_fp16=true" if asked["train.full_fp16"] else ""
        )
        found.fallbacks.append(f"{both}: fp16 is for GPUs, this CPU trains in fp32")
    return now


def _check(v: dict[str, Any], facts: Facts, total: int, found: _Found) -> None:
    rates = [v[key] for key in registry.RATE_KEYS]
    unet, text = trained_parts(v)
    # A part that is not trained needs no rate, and its rate is held to no rule.
    parts = [rates[1] if unet else 0, rates[2] if text else 0]
    found.add(_check_optimizer(v, rates[0], parts, facts))
    base_rate = rates[0] if parts[0] is None or not unet else parts[0]
    found.add(check_schedule(schedule_settings(v), total, base_rate))
    found.add(check_loss(loss_settings(v), prediction_of(v, facts)))
    found.add(check_metrics(v["metric.names"], v))
    found.add(_check_sampler(v, facts))
    found.warnings += _network_warnings(v)
    found.refusals += _network_refusals(v, facts)
    if facts.text_layers and v["base_model.clip_skip"] > facts.text_layers:
        found.refusals.append(
            f"base_model.clip_skip={v['base_model.clip_skip']}: the text encoder has {facts.text_layers} "
            f"layers; set it to {facts.text_layers} or less"
        )


def _network_warnings(v: dict[str, Any]) -> list[str]:
    if v["network.type"] == "dora" and v["network.wd_on_output"]:
        return [
            "network.wd_on_output=true: ComfyUI and Forge apply such files roughly, A1111 wrongly; "
            "network.wd_on_output=false is applied exactly by all three"
        ]
    return []


def _network_refusals(v: dict[str, Any], facts: Facts) -> Iterator[str]:
    files, strengths = v["network.base_weights"], v["network.base_weights_multiplier"]
    if files and len(strengths) > len(files):
        yield (
            f"network.base_weights_multiplier has {len(strengths)} values, network.base_weights "
            f"{len(files)} files; give at most one value for each file"
        )
    yield from _block_refusals(v, facts)
    file, wanted = facts.weights_form, v["network.type"].replace("locon", "lora")
    # DoRA can begin with a plain LoRA.
    if file not in (None, wanted) and (file, wanted) != ("lora", "dora"):
        yield (
            f"network.network_weights={v['network.network_weights']} is a {file} file, but "
            f"network.type={v['network.type']}; set network.type={file}"
        )


def _block_refusals(v: dict[str, Any], facts: Facts) -> Iterator[str]:
    try:
        down, mid, up = (v[key] for key in BLOCK_WEIGHTS)
        weights = block_weights(facts.family, down, mid, up, v["network.block_lr_zero_threshold"])
    except ConfigError as error:
        yield str(error)
        return
    if {*(weights or ())} - {0.0, 1.0} and v["network.train_unet"] and one_rate_only(v):
        yield (
            f"network.down_lr_weight, mid_lr_weight, up_lr_weight: {v['optimizer.name']} has no learning "
            "rates by part; give every block 1 or 0, or choose another optimizer"
        )


def _check_family(asked: str, facts: Facts, found: _Found) -> None:
    if asked not in (*FAMILIES, "auto"):
        found.refusals.append(unknown_family(asked))
    elif asked not in ("auto", facts.family):
        found.refusals.append(
            f"base_model.family={asked}: the model is {facts.family}; set "
            "base_model.family=auto, or give another file"
        )


def _check_sampler(v: dict[str, Any], facts: Facts) -> Findings:
    """Previews are rendered with a sampler of the family's noise process."""
    family = FAMILIES[facts.family]
    known = PROCESSES[family.process].samplers
    if not v["preview.prompts"] or not v["preview.seeds"] or v["preview.sampler"] in known:
        return Findings()
    return refused(
        f"preview.sampler={v['preview.sampler']}: {family.title} is a {family.process} model; "
        f"use {' or '.join(known)}"
    )


def _check_optimizer(v: dict[str, Any], rate: float | None, parts: list[Any], facts: Facts) -> Findings:
    name, args, ratio = v["optimizer.name"], v["optimizer.args"], v["optimizer.loraplus_lr_ratio"]
    return registry.check(name, rate, parts[0], parts[1], args, facts.device_type, ratio)


def _inert(asked: dict[str, Any], silent: dict[str, str]) -> list[Inert]:
    """What was set to other than its default and cannot act."""
    known, rows = settings(), []
    for key, reason in silent.items():
        if key in known and asked[key] != known[key].default:
            rows.append(Inert(key, reason))
        group, _, name = key.rpartition(".")
        if group in _OF_ARGS and name in asked[group]:
            rows.append(Inert(key, reason))
    order = {key: place for place, key in enumerate(known)}
    return sorted(rows, key=lambda row: order.get(row.key, order.get(row.key.rpartition(".")[0], 0)))


def _values(v: dict[str, Any], facts: Facts, silent: dict[str, str]) -> dict[str, Any]:
    """The acting settings in their one spelling."""
    values = {key: item for key, item in v.items() if settings()[key].trains and key not in SAME_RESULT}
    for key in (*silent, *_OF_ARGS, *registry.RATE_KEYS):
        values.pop(key, None)
    values |= _rates(v, silent) | _trained(v)
    if "network.type" in silent:
        values["network.type"] = "lora"
    if "dataset.caption_dropout_every_n_epochs" in silent and v["dataset.caption_dropout_rate"] < 1:
        values["dataset.caption_dropout_every_n_epochs"] = 0
    values |= {key: item for key, item in _arguments(v).items() if key not in silent}
    if "lr_scheduler.name" in values:
        values |= {f"lr_scheduler.args.{name}": item for name, item in v["lr_scheduler.args"].items()}
    return dict(sorted(values.items(), key=lambda item: _place(item[0])))


def _place(key: str) -> tuple[int, str]:
    order = list(settings())
    known = key if key in settings() else key.rpartition(".")[0]
    return order.index(known), key


def _spelled(v: dict[str, Any], facts: Facts) -> dict[str, Any]:
    """The values in one spelling, where they can be written in several ways."""
    width, height = parse_resolution(v["dataset.resolution"])
    if v["dataset.enable_bucket"]:
        width, height = sorted((width, height))  # with buckets only the area counts
    conv_dim = v["network.conv_dim"]
    if v["network.type"] in ("lora", "locon") or v["network.preset"] != "kohya":
        conv_dim = conv_dim or v["network.network_dim"]
    spelled: dict[str, Any] = {
        "base_model.family": facts.family,
        "base_model.v_parameterization": prediction_of(v, facts) == "v_prediction",
        "dataset.resolution": f"{width}x{height}",
        "dataset.repeats": facts.repeats,
        # A trigger word that every caption has is the same as none; previews use it all the same.
        "dataset.trigger_word": (v["dataset.trigger_word"] or "").strip() if facts.trigger_missing else "",
        "network.network_alpha": float(v["network.network_alpha"] or v["network.network_dim"]),
        "network.conv_dim": conv_dim,
        "network.conv_alpha": float(v["network.conv_alpha"] or v["network.network_alpha"] or conv_dim),
    }
    resize = v["dataset.resize_interpolation"]
    spelled["dataset.resize_interpolation"] = {"cubic": "bicubic", "linear": "bilinear"}.get(resize, resize)
    for name in ("lr_warmup_steps", "lr_decay_steps"):
        spelled[f"lr_scheduler.{name}"] = _length(v[f"lr_scheduler.{name}"])
    warmup = spelled["lr_scheduler.lr_warmup_steps"]
    name = v["lr_scheduler.name"]
    if name == "adafactor" or (name == "constant_with_warmup" and warmup == "0"):
        spelled["lr_scheduler.name"] = "constant"
    return {**v, **spelled}


def _length(text: str) -> str:
    try:
        # Shares keep their form, so that runs of different length still differ in one setting.
        return f"{steps_of(text, 10**9) / 10**9:g}" if is_share(text) else str(steps_of(text, 1))
    except ConfigError:
        return text  # refused by the schedule's check


def _trained(v: dict[str, Any]) -> dict[str, bool]:
    unet, text = trained_parts(v)
    return {"network.train_unet": unet, "network.train_text_encoder": text}


def _rates(v: dict[str, Any], silent: dict[str, str]) -> dict[str, Any]:
    """The learning rates as `Effective.values` has them."""
    both, of_unet, of_text = (v[key] for key in registry.RATE_KEYS)
    if sets_own_rate(v):
        return {}
    unet, text = trained_parts(v)
    for_unet = both if of_unet is None else of_unet
    for_text = both if of_text is None else of_text
    rates = {"optimizer.learning_rate": for_unet if unet else for_text}
    if unet and text:
        rates["optimizer.text_encoder_lr"] = None if for_text == for_unet else for_text
    return rates


def _arguments(v: dict[str, Any]) -> dict[str, Any]:
    """The optimizer's name and arguments as it is built with them."""
    try:
        row = registry.find(v["optimizer.name"])
        arguments = registry.arguments(row, v["optimizer.args"])
    except ConfigError:
        return {"optimizer.name": v["optimizer.name"]}
    named = {f"optimizer.args.{name}": _listed(value) for name, value in arguments.items()}
    return {"optimizer.name": row.alias_of or row.name, **named}


def _listed(value: object) -> object:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


def _key(values: dict[str, Any], v: dict[str, Any], facts: Facts, total: int) -> dict[str, Any]:
    """What decides the weights: lengths in updates, contents left to the identities."""
    without = {*BY_CONTENT, "train.max_train_epochs", "train.max_train_steps"}
    if repeats_are_a_label(values, facts):
        without.add("dataset.repeats")
    key = {name: value for name, value in values.items() if name not in without}
    for name in ("lr_scheduler.lr_warmup_steps", "lr_scheduler.lr_decay_steps"):
        if name in key:
            key[name] = steps_of(v[name], total)
    return {**key, "total_updates": total}


def repeats_are_a_label(values: dict[str, Any], facts: Facts) -> bool:
    """Whether only repeats x epochs counts, so that 15 repeats x 20 epochs end in the weights of 5 x 60.

    The data order is a function of the sample index. Epochs show only where one ends in a smaller batch or a
    shorter accumulation, and in settings that count epochs.
    """
    if facts.repeats is None or facts.reg_images or values.get("dataset.caption_dropout_every_n_epochs"):
        return False
    together = values["train.train_batch_size"] * values["train.gradient_accumulation_steps"]
    if values["train.train_batch_size"] > 1 and facts.buckets > 1:
        return False
    return bool(facts.draws_per_epoch % together == 0)
