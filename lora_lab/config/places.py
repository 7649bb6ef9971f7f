"""Settings for the eyes of others: without the folders of the machine that they were made on."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

_PATHS = frozenset(
    {
        "base_model.path",
        "base_model.vae",
        "dataset.path",
        "dataset.reg_path",
        "dataset.validation_path",
        "network.network_weights",
        "network.base_weights",
        "preview.base_model",
        "metric.references",
        "results",
        "cache",
    }
)
"""Settings that are paths, also where they are relative."""


def without_places(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with every path shortened to its last part.

    Args:
        values: By dotted key; lists and mappings are gone through.
    """
    return {key: _shortened(value, key in _PATHS) for key, value in values.items()}


def text_without_places(text: str, left_out: Collection[str] = ()) -> str:
    """Settings in JSON, as they stand in a file's metadata, likewise; what is no JSON object stays as it is.

    Args:
        left_out: Keys that are taken out.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(values, dict):
        return text
    return json.dumps(without_places({key: value for key, value in values.items() if key not in left_out}))


def _shortened(value: Any, is_path: bool) -> Any:
    if isinstance(value, Mapping):
        return {key: _shortened(item, is_path) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shortened(item, is_path) for item in value]
    if not isinstance(value, str) or not value:
        return value
    if is_path or value.startswith(("~/", "~\\", "../", "..\\")):
        return PureWindowsPath(value).name or value  # takes slashes of both kinds
    if PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute():
        return PureWindowsPath(value).name
    return value
