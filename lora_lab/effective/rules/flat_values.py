"""What the rules of several groups ask of flat values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

from lora_lab.errors import ConfigError
from lora_lab.findings import Findings
from lora_lab.networks.spec import PRESETS
from lora_lab.optim import registry
from lora_lab.optim.entries import OptimizerEntry

Values = Mapping[str, Any]
"""Dotted key to value, of a whole config."""
Reasons = Iterator[tuple[str, str]]
"""(key, reason) of settings that have no effect, whether or not they were set to anything."""


def group_of(v: Values, group: str, cls: type) -> Any:
    """The dataclass of a group with the values as they are now."""
    return cls(**{item.name: v[f"{group}.{item.name}"] for item in fields(cls)})


def optimizer_of(v: Values) -> tuple[OptimizerEntry | None, Mapping[str, object]]:
    """The optimizer's entry and arguments; nothing where they are wrong: the registry refuses them."""
    try:
        entry = registry.find(v["optimizer.name"])
        return entry, registry.arguments(entry, v["optimizer.args"])
    except ConfigError:
        return None, {}


def sets_own_rate(v: Values) -> bool:
    """Whether the optimizer takes no learning rate at all."""
    entry, values = optimizer_of(v)
    return entry is not None and entry.ignores_learning_rate(values)


def part_rates(v: Values) -> tuple[float | None, float | None]:
    """The learning rates of the U-Net and of the text encoders: their own, else that of all parts."""
    both, of_unet, of_text = (v[key] for key in registry.RATE_KEYS)
    return (both if of_unet is None else of_unet), (both if of_text is None else of_text)


def takes_dims_from_file(v: Values) -> bool:
    """Whether layers, dims and alphas are those of the file that the run goes on from."""
    return bool(v["network.dim_from_weights"] and v["network.network_weights"])


def trained_parts(v: Values) -> tuple[bool, bool]:
    """Whether the U-Net and the text encoders learn: layers there, and a learning rate other than 0."""
    of_unet, of_text = part_rates(v)
    has_text = takes_dims_from_file(v) or bool(PRESETS[v["network.preset"]].text_classes)
    unet = bool(v["network.train_unet"]) and of_unet != 0
    text = bool(v["network.train_text_encoder"]) and has_text and of_text != 0
    return unet, text


def probed(
    group: str, settings: Any, other: Mapping[str, Any], check: Callable[..., Findings], *given: str
) -> Reasons:
    """Ask a check of each setting, at a value other than its default, whether it acts.

    Args:
        given: What the check takes besides the settings.
    """
    yield from _probed(_Asked(f"{group} {settings!r}", settings, other), group, check, given)


@dataclass(frozen=True)
class _Asked:
    """Settings of a group, as a key by which an answer is found again: the rows of a sweep share most."""

    text: str
    settings: Any = field(compare=False)
    other: Mapping[str, Any] = field(compare=False)


@lru_cache(maxsize=1024)
def _probed(
    asked: _Asked, group: str, check: Callable[..., Findings], given: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    settings, default, found = asked.settings, type(asked.settings)(), []
    for name, value in asked.other.items():
        now = getattr(settings, name)
        changed = replace(settings, **{name: value}) if now == getattr(default, name) else settings
        inert = check(changed, *given).inert
        found += [(item.key, item.reason) for item in inert if item.key == f"{group}.{name}"]
    return tuple(found)
