"""Reading a preset: which kind of file it is, and its keys one by one, raw arguments unfolded."""

import json
import shlex
import tomllib
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from lora_lab.errors import ConfigError, broken_at
from lora_lab.kohya.ignored_keys import GUI_ONLY, RENAMED_KEYS, is_secret
from lora_lab.kohya.others import keys_of, kind_of

GUI, ARGUMENTS, DATASET = "kohya_ss GUI", "sd-scripts arguments", "dataset file"
"""The kinds of files."""

RAW, NETWORK = "additional_parameters", "network_args"
"""Keys that hold further keys."""

_LISTS = ("optimizer_args", "lr_scheduler_args", NETWORK, "base_weights", "base_weights_multiplier")
"""Arguments that take several words."""

_MOST_BYTES = 4 << 20


@dataclass(frozen=True)
class Entry:
    """One key as it stands in a file.

    Attributes:
        label: The key with its place, as a report names it.
        name: The key as sd-scripts spells it.
        value: As read; never a secret's.
        weight: Of two entries of one name the heavier one counts, as it does there.
    """

    label: str
    name: str
    value: Any
    weight: int = 0


@dataclass(frozen=True)
class Preset:
    """A file of kohya_ss or sd-scripts.

    Attributes:
        path: Where it lies.
        kind: GUI, ARGUMENTS or DATASET.
        entries: Its keys, raw arguments unfolded; of a dataset file none.
        unread: Words of raw arguments that belong to no argument: their number.
        content: The tables of a dataset file.
    """

    path: Path
    kind: str
    entries: tuple[Entry, ...] = ()
    unread: int = 0
    content: Mapping[str, Any] | None = None


def read(path: Path) -> Preset:
    """Read a preset: JSON, TOML or YAML, whatever its age.

    Raises:
        ConfigError: The file cannot be read, is none of the three, or holds no table.
    """
    content, is_toml = _content(path)
    if kind := kind_of(content):
        others = [_entry(label, value, name=name) for label, name, value in keys_of(content, kind)]
        return Preset(path, kind, tuple(others))
    if isinstance(content.get("datasets"), list) or ("general" in content and "datasets" in content):
        return Preset(path, DATASET, content=content)
    tables = {key: value for key, value in content.items() if isinstance(value, dict)} if is_toml else {}
    flat = [("", key, value) for key, value in content.items() if key not in tables]
    flat += [(place, key, value) for place, table in tables.items() for key, value in table.items()]
    names = {key for _, key, _ in flat}
    kind = GUI if names & GUI_ONLY or not is_toml else ARGUMENTS
    entries: list[Entry] = []
    unread = 0
    for place, key, value in flat:
        entries.append(_entry(key, value, place))
        if key == RAW and isinstance(value, str):
            more, lost = _raw(_clean(value))
            entries += more
            unread += lost
        elif key == NETWORK:
            entries += _pairs(_clean(value), NETWORK, 1)
    return Preset(path, kind, tuple(entries), unread)


_YAML = (".yaml", ".yml")


def _content(path: Path) -> tuple[dict[str, Any], bool]:
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"{path}: is larger than {_MOST_BYTES >> 20} MiB, which no preset is")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no text in UTF-8, so neither JSON nor TOML") from error
    wrong = []
    for name in {".toml": ("TOML", "JSON"), **dict.fromkeys(_YAML, ("YAML",))}.get(
        path.suffix.lower(), ("JSON", "TOML")
    ):
        try:
            content = _READERS[name](text)
        except _TwiceError as error:
            raise ConfigError(f"{path}: {error}") from None
        except (ValueError, RecursionError) as error:
            # The parser's message names a line and column; a value it may quote could be a secret.
            wrong.append(f"{name} ({broken_at(error)})")
            continue
        if not isinstance(content, dict) or not content:
            raise ConfigError(f"{path}: holds no keys; a preset is a table of keys and values")
        return {str(key): value for key, value in content.items()}, name == "TOML"
    raise ConfigError(
        f"{path}: is no preset: it cannot be read as {' or '.join(wrong)}"
        + ("" if path.suffix.lower() in _YAML else "; YAML needs the ending .yaml")
    )


def _yaml(text: str) -> Any:
    """YAML without references, by which a small file can hold a huge one.

    Raises:
        ValueError: It is none.
    """
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) and event.start_mark:
                raise ValueError(f"line {event.start_mark.line + 1} holds a reference")
        return yaml.load(text, _YamlLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"line {mark.line + 1}" if mark else "no YAML") from None


class _TwiceError(Exception):
    """A key stands twice in one table."""


def _once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """A table of JSON or YAML, whose parsers would take the last of two values without a word.

    Raises:
        _TwiceError: They are not the same.
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and found[key] != value:
            raise _TwiceError(f"the key {key} stands twice, with other values: keep one of them")
        found[key] = value
    return found


class _YamlLoader(yaml.SafeLoader):
    """YAML's safe loader, which takes each key once."""


def _yaml_table(loader: _YamlLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    pairs = loader.construct_pairs(node, deep=True)
    if not all(isinstance(key, Hashable) for key, _ in pairs):
        raise yaml.constructor.ConstructorError(None, None, "a key is no text", node.start_mark)
    return _once(pairs)


_YamlLoader.add_constructor("tag:yaml.org,2002:map", _yaml_table)


_READERS: Mapping[str, Callable[[str], Any]] = {
    "JSON": partial(json.loads, object_pairs_hook=_once),
    "TOML": tomllib.loads,
    "YAML": _yaml,
}


def _entry(key: str, value: Any, place: str = "", weight: int = 0, name: str = "") -> Entry:
    name = _clean(name or (key.lstrip("-").replace("-", "_") if place == RAW else key))
    label = f"{place}: {key}" if place else key
    if is_secret(last := key.rpartition(".")[2]):
        name = last
    value = None if is_secret(name) else _clean(value)
    return Entry(_clean(label), RENAMED_KEYS.get(name, name), value, weight)


def _clean(value: Any) -> Any:
    """Text that can be written as UTF-8: JSON may hold halves of characters."""
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value


def _raw(text: str) -> tuple[list[Entry], int]:
    """The arguments of a command line, and how many of its words belong to none."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    entries: list[Entry] = []
    unread = 0
    for key, values in _arguments(words):
        if not key:
            unread += len(values)
            continue
        name = key.lstrip("-").replace("-", "_")
        value: Any = values if name in _LISTS else " ".join(values) if values else True
        entries.append(_entry(key, value, RAW, 2))
        if name == NETWORK:
            entries += _pairs(values, f"{RAW}: {NETWORK}", 3)
    return entries, unread


def _arguments(words: list[str]) -> Iterator[tuple[str, list[str]]]:
    key, values = "", list[str]()
    for word in words:
        if word.startswith("--") and len(word) > 2:
            yield key, values
            key, equals, value = word.partition("=")
            values = [value] if equals else []
        else:
            values.append(word)
    yield key, values


def _pairs(value: Any, place: str, weight: int) -> list[Entry]:
    """The pairs of an argument such as `network_args`, which has `conv_dim=8 algo=locon`."""
    return [_entry(key, text, place, weight) for key, text in pairs(value).items()]


def pairs(value: Any) -> dict[str, str]:
    """`a=1 "b=2,3"`, or a list of such words, by name; words without a sign are left out."""
    if isinstance(value, str):
        value = value.replace('"', "").split()
    words = [str(word).strip("\"' ") for word in value] if isinstance(value, (list, tuple)) else []
    split = (word.partition("=") for word in words)
    return {key.strip(): text.strip("\"' ") for key, sign, text in split if sign and key.strip()}
