"""Reading a run folder's `config.yaml` quickly: what `dump` wrote needs no conversion and no merging."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from lora_lab.config.compose import load
from lora_lab.config.schema import RunConfig

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Foreign(Exception):
    """The file is not as `dump` writes it."""


def load_plain(path: Path) -> RunConfig:
    """The same as `load(path, checked=False)`, many times faster where the file is as `dump` wrote it.

    Any other file (a key too many, a value of another type) goes through `load`.

    Raises:
        RunFolderError: The file is missing or is not YAML.
        ConfigError: It holds an unknown key or a value of a wrong type.
    """
    try:
        values = yaml.load(path.read_bytes(), Loader=_Loader)
        config = _built(RunConfig, values)
    except (OSError, yaml.YAMLError, _Foreign, ValueError):
        return load(path, checked=False)
    assert isinstance(config, RunConfig)
    return config


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _built(cls: type, values: Any) -> Any:
    hints = _hints(cls)
    if not isinstance(values, dict) or not values or values.keys() - hints.keys():
        raise _Foreign
    return cls(**{key: _value(hints[key], value) for key, value in values.items()})


def _value(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return _built(hint, value)  # type: ignore[arg-type]
    if isinstance(hint, UnionType):
        kinds = get_args(hint)
        return (
            None if value is None else _value(next(kind for kind in kinds if kind is not type(None)), value)
        )
    if get_origin(hint) is list:
        if not isinstance(value, list):
            raise _Foreign
        return [_value(get_args(hint)[0], item) for item in value]
    if get_origin(hint) is dict:
        hint = dict
    if hint is float and type(value) is int:
        return float(value)
    # `bool` is an `int` to Python, and none to a reader.
    if type(value) is not hint:
        raise _Foreign
    return value
