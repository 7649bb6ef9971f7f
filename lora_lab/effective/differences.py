"""In which settings runs differ, by what acts in them."""

from collections.abc import Mapping
from typing import Any

from lora_lab.resolved import Resolved

SHORT = 12
"""Hex digits of a fingerprint where people read it."""

_ARGS = {"optimizer.args.": "optimizer.name", "lr_scheduler.args.": "lr_scheduler.name"}


def differences(one: Resolved, other: Resolved) -> dict[str, tuple[Any, Any]]:
    """The acting settings in which two runs differ, with both values; equal runs give an empty dict.

    A setting that acts in one of them only does not count: it follows from one that does (the learning rate,
    when the optimizer is exchanged for one that sets its own). Arguments count within one optimizer or
    schedule.
    """
    return differing(one.acting, other.acting)


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The same as `differences`, of acting settings as they stand in a record."""
    found = {}
    for key in sorted({*one, *other}):
        a, b = one.get(key), other.get(key)
        both = key in one and key in other
        if a != b and (both or _argument_of_the_same(key, one, other)):
            found[key] = (a, b)
    return found


def owner_of(key: str) -> str | None:
    """The setting within whose values another one is compared: an optimizer's name for its arguments."""
    return next((name for prefix, name in _ARGS.items() if key.startswith(prefix)), None)


def _argument_of_the_same(key: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    owner = owner_of(key)
    return owner is not None and owner in one and one[owner] == other.get(owner)


def short(fingerprint_: str) -> str:
    """The first digits, for people."""
    return fingerprint_[:SHORT]
