"""Reading a run folder's `config.yaml`, quickly: what `dump` wrote needs no conversion and no merging."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from lora_lab.config.compose import load_any
from lora_lab.config.inspect import check
from lora_lab.config.schema import RunConfig
from lora_lab.errors import ConfigError


class _Foreign(Exception):
    """The file is not as `dump` writes it."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A key given twice, of which YAML would take the last, is for the thorough way to refuse."""
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        if len(found) != len(node.value):
            raise _Foreign
        return found


def load(path: Path, *, checked: bool = True) -> RunConfig:
    """Read a run folder's `config.yaml`.

    A file that is not as `dump` writes it (a key too many, a value of another type) takes 30 times as long.

    Args:
        checked: Also hold the values to the rules of the schema.

    Raises:
        RunFolderError: The file is missing or is not YAML.
        ConfigError: It holds an unknown key or a wrong value.
    """
    try:
        config = _built(RunConfig, yaml.load(path.read_bytes(), Loader=_Loader))
        assert isinstance(config, RunConfig)
    except (OSError, yaml.YAMLError, _Foreign, ValueError):
        config = load_any(path)
    if checked:
        try:
            check(config)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
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
