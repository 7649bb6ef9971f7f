"""Settings written as YAML blocks in a sweep file: as overrides, no shell's quotes needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lora_lab.config import groups, settings
from lora_lab.config.assigning import DICT_KEYS
from lora_lab.sweep.text import value_text


def is_block(key: object, conf_dirs: Sequence[str] = ()) -> bool:
    """Whether a key of a sweep file is a group, a setting, or an argument of an optimizer or scheduler."""
    if not isinstance(key, str):
        return False
    sections = {name.partition(".")[0] for name in settings() if "." in name}
    inside = key.startswith(tuple(f"{name}." for name in DICT_KEYS))
    return inside or key in sections or key in settings() or key in groups(conf_dirs)


def block_overrides(block: Mapping[Any, Any], prefix: str = "") -> list[str]:
    """The overrides that mean what a block of settings says; groups within it may be nested or dotted.

    A group's own name with a text is a choice (`optimizer: lion`); an empty group says nothing.
    """
    found = []
    for name, value in block.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and (key in DICT_KEYS or key not in settings()):
            found += block_overrides(value, f"{key}.")
        elif value is not None or key in settings() or prefix.rstrip(".") in DICT_KEYS:
            found.append(f"{key}={value_text(value)}")
    return found
