"""Paths in overrides, made absolute: what is kept of a sweep has to mean the same from every folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lora_lab.config import RunConfig, flat, settings
from lora_lab.errors import ConfigError
from lora_lab.files import file_in_the_way
from lora_lab.sweep.run_names import split
from lora_lab.sweep.text import value_text

PATHS = tuple(key for key, item in settings().items() if item.path and "." in key)
"""Settings of a group that name files or folders; `results` and `cache` belong to the whole sweep."""
OR_ON_THE_HUB = ("metric.clip_model", "metric.dino_model")
"""A folder where there is one of that name, else a name on the hub."""
EMBEDDED = "demo"


def absolute(path: str) -> str:
    """A path as seen from the present folder; `~` is the home folder. Links stay links."""
    return str(Path.cwd() / Path(path).expanduser())


def refuse_files(config: RunConfig) -> None:
    """Refuse folders to write to that lie in a file's place.

    Raises:
        ConfigError: The setting, and the file.
    """
    for key in ("results", "cache"):
        folder = getattr(config, key)
        if blocking := file_in_the_way(Path(folder)):
            raise ConfigError(f"{key}={folder}: {blocking} is a file, not a folder; give {key} a folder")


def anchored(config: RunConfig) -> RunConfig:
    """The config with relative paths made absolute; the embedded model and images stay."""
    values, parts = flat(config), dict[str, Any]()
    for key in (*PATHS, *OR_ON_THE_HUB):
        value = values[key]
        if not value or value == EMBEDDED or (key in OR_ON_THE_HUB and not Path(value).expanduser().exists()):
            continue
        group, _, name = key.partition(".")
        found = [_place(key, one) for one in value] if isinstance(value, list) else absolute(value)
        parts[group] = replace(parts.get(group, getattr(config, group)), **{name: found})
    return replace(config, **parts, cache=absolute(config.cache), results=absolute(config.results))


def _place(key: str, path: str) -> str:
    """One of several paths; among base models `demo` is the embedded one, as it is alone."""
    return path if key == "preview.base_model" and path == EMBEDDED else absolute(path)


def with_places(texts: Sequence[str], config: RunConfig, base: RunConfig | None = None) -> list[str]:
    """Overrides with the paths that they lead to written out.

    A path may come from a file of `--config-dir`, and be relative there: it is added.

    Args:
        config: What the overrides are composed to, with its paths absolute.
        base: What they are laid over, if that is kept apart; its paths need no word.
    """
    values, there = flat(config), flat(base) if base else {}
    keys = {split(text)[0] for text in texts}
    found = [
        f"{key}={value_text(values[key])}" if (key := split(text)[0]) in (*PATHS, *OR_ON_THE_HUB) else text
        for text in texts
    ]
    for key in PATHS:
        value = values[key]
        said = value == there[key] if base else not value or value == EMBEDDED
        if key not in keys and not said:
            found.append(f"{key}={value_text(value)}")
    return found
