"""What remains of a config when everything that cannot act is resolved away."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lora_lab.findings import Inert

SHORT = 12
"""Hex digits of a fingerprint where people read it."""

_ARGS = {"optimizer.args.": "optimizer.name", "lr_scheduler.args.": "lr_scheduler.name"}


@dataclass(frozen=True)
class Effective:
    """The settings that act on the trained weights, and what was found on the way.

    Attributes:
        values: Acting settings in one spelling; arguments stand as `optimizer.args.weight_decay`. Settings
            that cannot act are absent. `optimizer.learning_rate` is the U-Net's rate (the text encoder's
            where that alone is trained); `optimizer.text_encoder_lr` is None unless it differs.
        key: What the fingerprint is made of, beside the identity of pictures and models.
        inert: Settings that were set and cannot act, with the reason.
        silent: Every setting that cannot act, set or not.
        fallbacks: What runs otherwise than asked for, since the device cannot do it.
    """

    values: dict[str, Any]
    key: dict[str, Any]
    inert: tuple[Inert, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    total_steps: int = 0
    updates_per_epoch: int = 0

    @property
    def epochs(self) -> float:
        """Epochs that really run; a cap on the steps may end the last one early."""
        return self.total_steps / self.updates_per_epoch if self.updates_per_epoch else 0.0

    @property
    def trains_unet(self) -> bool:
        """Whether the U-Net has layers that learn."""
        return bool(self.values["network.train_unet"])

    @property
    def trains_text_encoder(self) -> bool:
        """Whether the text encoders have layers that learn."""
        return bool(self.values["network.train_text_encoder"])


def differences(one: Effective, other: Effective) -> dict[str, tuple[Any, Any]]:
    """The acting settings in which two runs differ, with both values; equal runs give an empty dict.

    A setting that acts in one of them only does not count: it follows from one that does (the learning rate,
    when the optimizer is exchanged for one that sets its own). Arguments count within one optimizer or
    schedule.
    """
    return differing(one.values, other.values)


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The same as `differences`, of acting settings as they stand in a plan."""
    found = {}
    for key in sorted({*one, *other}):
        a, b = one.get(key), other.get(key)
        both = key in one and key in other
        if a != b and (both or _argument_of_the_same(key, one, other)):
            found[key] = (a, b)
    return found


def _argument_of_the_same(key: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    owner = next((name for prefix, name in _ARGS.items() if key.startswith(prefix)), None)
    return owner is not None and owner in one and one[owner] == other.get(owner)


def fingerprint(effective: Effective, identities: Mapping[str, str]) -> str:
    """The experiment's identity as 64 hex digits: equal for runs that end in the same weights.

    Args:
        identities: What the run is trained on by content: 'base_model', 'dataset', 'vae', 'network_weights',
            'base_weights'.
    """
    return digest({"settings": effective.key, "identities": dict(identities)})


def short(fingerprint_: str) -> str:
    """The first digits, for people."""
    return fingerprint_[:SHORT]


def digest(value: Any) -> str:
    """SHA-256 of plain values; 1 and 1.0, lists and tuples are the same."""
    text = json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)
