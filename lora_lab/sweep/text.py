"""Reading a sweep file's YAML without its traps, and writing values as overrides."""

import re
from pathlib import Path
from typing import Any

import yaml

from lora_lab.config import kind, quoted
from lora_lab.config.hydras_words import one_line
from lora_lab.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """YAML in which only true and false are booleans, 1e-4 is a number, and a key may stand once."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in rows if not tag.endswith((":bool", ":float", ":timestamp", ":int"))
    ]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?\d+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"([-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)|[-+]?(\d+\.\d*|\.\d+))$"),
    list("-+.0123456789"),
)


_TEXT_TAG = "tag:yaml.org,2002:str"


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


def _number(loader: _Loader, node: yaml.ScalarNode) -> float:
    return float(loader.construct_scalar(node))


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, (str, int, float, bool, type(None))):
            raise yaml.constructor.ConstructorError(None, None, "a key must be text", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"{key!r} stands twice: the first would be lost", key_node.start_mark
            )
        seen.add(key)
    _mark_texts(node)
    loader.flatten_mapping(node)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


def _mark_texts(node: yaml.MappingNode, prefix: str = "") -> None:
    """Let what stands under a setting of text be text: 012, 5e2, 2024_10_05 and true as they are written.

    Args:
        prefix: The groups that the mapping stands in, with a point behind them.
    """
    for key_node, value in node.value:
        key = f"{prefix}{key_node.value}"
        if isinstance(value, yaml.MappingNode):
            _mark_texts(value, f"{key}.")
        elif kind(key):
            _mark_text(value)


def _mark_text(node: yaml.Node) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _mark_text(item)
    elif isinstance(node, yaml.ScalarNode) and node.tag.endswith((":int", ":float", ":bool")):
        node.tag = _TEXT_TAG


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_yaml(path: Path) -> dict[Any, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: The file is missing, is not text, is not YAML (with line and column), or is no mapping.
    """
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        beside = sorted(item.name for item in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        there = f"; {path.parent}/ holds {', '.join(beside)}" if beside else ""
        raise ConfigError(f"there is no sweep file {path}{there}") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {one_line(error)}") from None
    if not isinstance(value, dict):
        raise ConfigError(
            f"{path} holds no keys: a sweep file starts with 'question:', 'base:', 'patterns:' ..."
        )
    return value


def value_text(value: Any) -> str:
    """A YAML value as the right side of an override; text is quoted where Hydra's grammar needs it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(value_text, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{value_text(item)}" for key, item in value.items()) + "}"
    text = str(value)
    if re.fullmatch(r"[\w./+@-]+", text, re.ASCII) and text.lower() not in (
        "null",
        "true",
        "false",
        "nan",
        "inf",
    ):
        return text
    return quoted(text)
