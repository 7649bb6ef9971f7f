"""From a config and the facts to `Resolved`: what acts, in one spelling, and what was found on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache, lru_cache
from typing import Any

from lora_lab.config import RunConfig, flat, settings
from lora_lab.config.schema import LrSchedulerConfig
from lora_lab.data.steps import run_length
from lora_lab.effective.legacy import fingerprint_1, given_arguments
from lora_lab.effective.previews import anchors_name, class_prompts, final_prompts, preview_fingerprint
from lora_lab.effective.rules import findings, for_device, no_effect, spelled
from lora_lab.effective.rules.flat_values import (
    group_of,
    optimizer_of,
    part_rates,
    sets_own_rate,
    trained_parts,
)
from lora_lab.findings import Inert
from lora_lab.optim import registry
from lora_lab.optim.schedules import depends_on_total, steps_of
from lora_lab.resolved import GROUPS, VERSION, Facts, Resolved, digest

BY_CONTENT = (
    "base_model.path",
    "base_model.vae",
    "dataset.path",
    "dataset.reg_path",
    "dataset.caption_extension",
    "dataset.class_tokens",
    "dataset.max_images",
    "dataset.max_images_seed",
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
_UNKNOWN = object()


def resolve(config: RunConfig, facts: Facts, identities: Mapping[str, str] | None = None) -> Resolved:
    """Decide setting by setting what acts on the trained weights, and give every setting its acting value.

    Nothing raises: what would stop the run is in `refusals`.

    Args:
        identities: What is trained on, by content; without them there is no fingerprint.
    """
    asked = flat(config)
    on_device, fallbacks = for_device(asked, facts)
    now = spelled(on_device, facts)
    without = no_effect(now, facts)
    length = run_length(
        facts.batches_per_epoch,
        now["train.gradient_accumulation_steps"],
        max_train_epochs=now["train.max_train_epochs"],
        max_train_steps=now["train.max_train_steps"],
    )
    found = findings(asked, now, facts, length.updates)
    acting = _acting(now, without)
    key = _key(acting, now, facts, length.updates)
    trigger = asked["dataset.trigger_word"] or facts.trigger
    return Resolved(
        acting=acting,
        key=key,
        no_effect=without,
        inert=tuple(_inert(asked, without)),
        warnings=found.warnings,
        refusals=found.refusals,
        fallbacks=tuple(fallbacks),
        total_steps=length.updates,
        updates_per_epoch=length.updates_per_epoch,
        facts=facts,
        identities=dict(identities or {}),
        fingerprint=fingerprint(key, identities) if identities else "",
        fingerprint_1=_fingerprint_1(acting, now, facts, length.updates, identities) if identities else "",
        training=_training(key, identities) if identities else "",
        length_bound=_length_bound(acting, now, facts),
        preview_fingerprint=preview_fingerprint(asked, trigger),
        anchors=anchors_name(asked, trigger),
        class_prompts=class_prompts(asked, trigger),
        **_groups(asked, now, trigger),
    )


def fingerprint(key: Mapping[str, Any], identities: Mapping[str, str]) -> str:
    """The experiment's identity as 64 hex digits: equal for runs that end in the same weights."""
    return digest({"version": VERSION, "settings": key, "identities": dict(identities)})


def _training(key: Mapping[str, Any], identities: Mapping[str, str]) -> str:
    """The experiment's identity whatever its length."""
    return fingerprint({name: value for name, value in key.items() if name != "total_updates"}, identities)


def _length_bound(acting: Mapping[str, Any], v: Mapping[str, Any], facts: Facts) -> str:
    """What makes a step of the run depend on how long the run is, or ''."""
    if "lr_scheduler.name" in acting and depends_on_total(group_of(v, "lr_scheduler", LrSchedulerConfig)):
        return f"lr_scheduler.name={v['lr_scheduler.name']} depends on the run's length"
    warmups = facts.in_force("dataset.token_warmup_step", v["dataset.token_warmup_step"])
    if any(0 < length < 1 for length in warmups):
        return "dataset.token_warmup_step below 1 is a share of the run"
    return ""


def _fingerprint_1(
    acting: Mapping[str, Any],
    now: Mapping[str, Any],
    facts: Facts,
    total: int,
    identities: Mapping[str, str],
) -> str:
    if facts.from_file:
        return ""  # version 1 counted what the file overrides
    return fingerprint_1(
        whole_key(acting, now, facts, total), given_arguments(*optimizer_of(now)), identities
    )


def _groups(asked: Mapping[str, Any], now: Mapping[str, Any], trigger: str | None) -> dict[str, Any]:
    """Every group with the values that act. A resolution keeps its sides' order, which previews have, too."""
    acting = {**now, "dataset.resolution": asked["dataset.resolution"]}
    for group in ("dataset", "lr_scheduler"):  # their readers know all spellings
        acting |= {key: asked[key] for _, key in _settings_of(group)}
    of_unet, of_text = part_rates(now)
    acting |= {"optimizer.unet_lr": of_unet, "optimizer.text_encoder_lr": of_text}
    unet, text = trained_parts(now)
    acting |= {"network.train_unet": unet, "network.train_text_encoder": text}
    conv_dim = {"lora": 0, "locon": now["network.conv_dim"]}.get(
        asked["network.type"], asked["network.conv_dim"]
    )
    acting["network.conv_dim"] = conv_dim  # 0 leaves convolutions to the preset
    acting["network.conv_alpha"] = now["network.conv_alpha"] if conv_dim else 0.0
    acting["preview.size"] = asked["preview.size"] or asked["dataset.resolution"]
    acting["preview.clip_skip"] = asked["preview.clip_skip"] or asked["base_model.clip_skip"]
    acting["preview.prompts"] = final_prompts(asked["preview.prompts"], trigger)
    return {
        group: cls(**{name: acting[key] for name, key in _settings_of(group)})
        for group, cls in GROUPS.items()
    }


@cache
def _settings_of(group: str) -> tuple[tuple[str, str], ...]:
    """(name, key) of the settings of a group."""
    return tuple((item.name, f"{group}.{item.name}") for item in fields(GROUPS[group]))


def _inert(asked: Mapping[str, Any], without: Mapping[str, str]) -> list[Inert]:
    """What was set to other than its default and has no effect."""
    known, rows = settings(), []
    for key, reason in without.items():
        if key in known and asked[key] != known[key].default:
            rows.append(Inert(key, reason))
        group, _, name = key.rpartition(".")
        if group in _OF_ARGS and name in asked[group]:
            rows.append(Inert(key, reason))
    return sorted(rows, key=lambda row: _place(row.key)[0])


def _acting(v: Mapping[str, Any], without: Mapping[str, str]) -> dict[str, Any]:
    """The acting settings in their one spelling."""
    values = {key: item for key, item in v.items() if settings()[key].trains and key not in SAME_RESULT}
    for key in (*without, *_OF_ARGS, *registry.RATE_KEYS):
        values.pop(key, None)
    unet, text = trained_parts(v)
    values |= _rates(v, unet, text) | {"network.train_unet": unet, "network.train_text_encoder": text}
    if "network.type" in without:
        values["network.type"] = "lora"
    every = "dataset.caption_dropout_every_n_epochs"
    if without.get(every, "").startswith("the run ends"):
        values[every] = 0
    values |= {key: item for key, item in _arguments(v).items() if key not in without}
    if "lr_scheduler.name" in values:
        values |= {f"lr_scheduler.args.{name}": item for name, item in v["lr_scheduler.args"].items()}
    return dict(sorted(values.items(), key=lambda item: _place(item[0])))


@lru_cache(maxsize=4096)
def _place(key: str) -> tuple[int, str]:
    order = list(settings())
    known = key if key in settings() else key.rpartition(".")[0]
    return order.index(known), key


def _rates(v: Mapping[str, Any], unet: bool, text: bool) -> dict[str, Any]:
    """The learning rates as `Resolved.acting` has them."""
    if sets_own_rate(v):
        return {}
    for_unet, for_text = part_rates(v)
    rates = {"optimizer.learning_rate": for_unet if unet else for_text}
    if unet and text:
        rates["optimizer.text_encoder_lr"] = None if for_text == for_unet else for_text
    return rates


def _arguments(v: Mapping[str, Any]) -> dict[str, Any]:
    """The optimizer's name and arguments as it is built with them; the class's own defaults are left out."""
    row, arguments = optimizer_of(v)
    if row is None:
        return {"optimizer.name": v["optimizer.name"]}
    named = {
        f"optimizer.args.{name}": _listed(value)
        for name, value in arguments.items()
        if name in row.defaults or row.class_defaults.get(name, _UNKNOWN) != value
    }
    return {"optimizer.name": row.alias_of or row.name, **named}


def _listed(value: object) -> object:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


def _key(acting: Mapping[str, Any], v: Mapping[str, Any], facts: Facts, total: int) -> dict[str, Any]:
    """What decides the weights: lengths in updates, contents left to the identities, nothing that is off."""
    known = settings()
    return {
        name: value
        for name, value in whole_key(acting, v, facts, total).items()
        if name not in known or value != known[name].default
    }


def whole_key(acting: Mapping[str, Any], v: Mapping[str, Any], facts: Facts, total: int) -> dict[str, Any]:
    """The same with the settings that are off."""
    without = {*BY_CONTENT, "train.max_train_epochs", "train.max_train_steps"}
    if repeats_are_a_label(acting, facts):
        without.add("dataset.repeats")
    key = {name: value for name, value in acting.items() if name not in without}
    for name in ("lr_scheduler.lr_warmup_steps", "lr_scheduler.lr_decay_steps"):
        if name in key:
            key[name] = steps_of(v[name], total)
    return {**key, "total_updates": total}


def repeats_are_a_label(acting: Mapping[str, Any], facts: Facts) -> bool:
    """Whether only repeats x epochs counts, so that 15 repeats x 20 epochs end in the weights of 5 x 60.

    The data order is a function of the sample index. Epochs show only where one ends in a smaller batch or a
    shorter accumulation, and in settings that count epochs.
    """
    if facts.repeats is None or facts.reg_images or acting.get("dataset.caption_dropout_every_n_epochs"):
        return False
    if "train.train_batch_size" not in acting or facts.from_file:
        return False  # a dataset file decides about batches; what its epochs are is not looked into
    together = acting["train.train_batch_size"] * acting["train.gradient_accumulation_steps"]
    if acting["train.train_batch_size"] > 1 and facts.buckets > 1:
        return False
    return bool(facts.draws_per_epoch % together == 0)
