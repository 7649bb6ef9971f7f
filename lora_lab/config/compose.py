"""Turning overrides, YAML files and `conf/` into a RunConfig: all that knows Hydra and OmegaConf."""

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_yaml_loader
from omegaconf.errors import OmegaConfBaseException

from lora_lab.config.assigning import (
    DICT_KEYS,
    assign,
    copied,
    in_force,
    is_plain,
    own_copy,
    read_override,
    schema,
    typed_value,
)
from lora_lab.config.hydras_words import in_our_words, one_line
from lora_lab.config.inspect import check, flat, settings, unknown_choice, unknown_setting
from lora_lab.config.schema import RunConfig
from lora_lab.config.shipped import CONF_DIR
from lora_lab.config.text import key_of, kind, quoted, read_text
from lora_lab.config.written import yaml_text
from lora_lab.errors import ConfigError, RunFolderError
from lora_lab.files import write_text

SEVERAL = "holds several values, where one is needed"
"""Ends the message of an override that only a grid of runs can take."""


@cache
def register() -> None:
    """Make the typed schema known to Hydra under the name that `conf/config.yaml` starts from."""
    ConfigStore.instance().store(name="run_schema", node=RunConfig)


def groups(conf_dirs: Sequence[str] = ()) -> dict[str, list[str]]:
    """The choices of every group folder, such as {'optimizer': ['adafactor', ...]}."""
    found: dict[str, set[str]] = {}
    for root in (str(CONF_DIR), *conf_dirs):
        for group, names in _choices(root, _changed(root)).items():
            found.setdefault(group, set()).update(names)
    return {group: sorted(names) for group, names in sorted(found.items())}


@lru_cache(maxsize=64)
def _choices(root: str, changed: tuple[tuple[str, int], ...]) -> dict[str, set[str]]:
    """The files of each group folder; kept until one of the folders changes, for plans of many rows."""
    found: dict[str, set[str]] = {}
    for file in Path(root).glob("*/*.yaml"):
        found.setdefault(file.parent.name, set()).add(file.stem)
    return found


def _changed(root: str) -> tuple[tuple[str, int], ...]:
    """The folders in a folder, with the time at which something was added to each or taken away."""
    try:
        with os.scandir(root) as entries:
            return tuple(sorted((entry.name, entry.stat().st_mtime_ns) for entry in entries))
    except OSError:
        return ()


def compose(
    overrides: Sequence[str] = (), conf_dirs: Sequence[str] = (), *, checked: bool = True
) -> RunConfig:
    """Build one run's config from `conf/` and Hydra overrides, later ones winning.

    Args:
        overrides: Such as 'optimizer=lion', 'network.network_alpha=1', or an argument 'optimizer.args.x=1'.
        conf_dirs: Folders with further group files, laid out as `conf/`.
        checked: Also hold the values to the rules of the schema.

    Raises:
        ConfigError: Names every unknown key, unknown choice and wrong value at once.
    """
    check_folders(conf_dirs)
    overrides = in_force(overrides)
    texts = {key_of(text): text.partition("=")[2] for text in overrides if _is_text(text)}
    parsed = _parse([text for text in overrides if not _is_text(text)])
    known_groups = groups(conf_dirs)
    wrong = [text for text in (_unknown(item, known_groups) for item in parsed) if text]
    if wrong:
        raise ConfigError("\n".join(wrong))
    chosen = tuple((item.input_line or "").lstrip("+") for item in parsed if _group_of(item, known_groups))
    rest = [item for item in parsed if not _group_of(item, known_groups)]
    config = _set(chosen, tuple(map(str, conf_dirs)), rest)
    if checked and not texts:
        check(config)
    return _with_texts(config, texts, checked)


def _set(chosen: tuple[str, ...], conf_dirs: tuple[str, ...], rest: Sequence[Override]) -> RunConfig:
    """The composition of groups with single settings laid over it.

    Raises:
        ConfigError: One line per setting of the wrong type.
    """
    ready = _ready(chosen, conf_dirs)
    plain = ready is not None and all(map(is_plain, rest))
    node = schema() if plain else _with_groups(chosen, conf_dirs).copy()
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for item in rest:
        if plain:
            # A row of a sweep costs no copy of a whole node, which takes most of the time of large plans.
            key, value, problem = typed_value(item.input_line or "")
            values[key] = value
            wrong += [problem] if problem else []
        else:
            wrong += assign(node, item)
    if wrong:
        raise ConfigError("\n".join(wrong))
    if not plain or ready is None:
        return _to_config(node, False)
    config = copied(ready)
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        setattr(getattr(config, group) if group else config, name, own_copy(value))
    return config


@lru_cache(maxsize=256)
def _ready(chosen: tuple[str, ...], conf_dirs: tuple[str, ...]) -> RunConfig | None:
    """The composition of groups as a config; None where values in it refer to others."""
    node = _with_groups(chosen, conf_dirs)
    text = OmegaConf.to_yaml(node, resolve=False)
    return None if "${" in text or "???" in text else _to_config(node, False)


def _is_text(override: str) -> bool:
    """Whether it sets a text, or a list of texts, which Hydra's grammar has no say in."""
    return "=" in override and not override.startswith("~") and bool(kind(key_of(override)))


def _with_texts(config: RunConfig, texts: Mapping[str, str], checked: bool) -> RunConfig:
    """Set the settings of text to what their overrides say."""
    if not texts:
        return config
    wrong = []
    before = flat(config)
    for key, raw in texts.items():
        try:
            value = read_text(key, raw, before.__getitem__)
        except ConfigError as error:
            wrong.append(str(error))
            continue
        group, _, name = key.rpartition(".")
        setattr(getattr(config, group) if group else config, name, value)
    if wrong:
        raise ConfigError("\n".join(wrong))
    if checked:
        check(config)
    return config


def _parse(overrides: Sequence[str]) -> list[Override]:
    parsed, wrong = [], []
    for text in overrides:
        try:
            item = read_override(text)
            if item.is_sweep_override():
                wrong.append(f"{text!r} {SEVERAL}")
            parsed.append(item)
        except HydraException:
            wrong.append(_unreadable(text))
    if wrong:
        raise ConfigError("\n".join(wrong))
    return parsed


def _unreadable(text: str) -> str:
    key = key_of(text)
    if "=" not in text or not key:
        return f"cannot read {text!r}: write key=value"
    if key in settings():
        return f"{key} must be of type {settings()[key].type}, got {text.partition('=')[2]!r}"
    if not any(key.startswith(f"{args}.") for args in DICT_KEYS) and key not in groups():
        return unknown_setting(key, groups())
    return f"cannot read {text!r}: quote values with commas, brackets or other signs, as in {key}='a, b'"


def _group_of(item: Override, known: dict[str, list[str]]) -> bool:
    return item.key_or_group in known and isinstance(item.value(), (str, list))


def _unknown(item: Override, known: dict[str, list[str]]) -> str | None:
    key = item.key_or_group.split("@")[0]
    if item.package is not None:
        return f"cannot read {item.input_line!r}: a choice has its own place; write {key}={item.value()}"
    if _group_of(item, known):
        value: Any = item.value()
        names = value if isinstance(value, list) else [value]
        lost = [str(name) for name in names if str(name) not in known[key]]
        return unknown_choice(key, lost[0], known[key]) if lost else None
    if key in settings() or any(key.startswith(f"{args}.") for args in DICT_KEYS):
        return None
    return unknown_setting(key, known)


@lru_cache(maxsize=256)
def _with_groups(chosen: tuple[str, ...], conf_dirs: tuple[str, ...]) -> DictConfig:
    """Compose the group choices; cached, since the rows of a sweep share few combinations.

    A file that only sets values of its own group is laid over a composition without it, which is what Hydra
    would do, too, and saves most of its time. A recipe is laid over all groups: with one, Hydra does it all.
    """
    if any(choice.startswith("recipe=") for choice in chosen):
        return _by_hydra(chosen, conf_dirs)
    plain: dict[str, DictConfig] = {}
    others = []
    for choice in chosen:
        group, _, name = choice.partition("=")
        values = _plain_values(group, name, conf_dirs)
        plain.pop(group, None)
        if values is None:
            others.append(choice)
        else:
            others = [item for item in others if not item.startswith(f"{group}=")]
            plain[group] = values
    if not plain:
        return _by_hydra(tuple(others), conf_dirs)
    node = _by_hydra(tuple(others), conf_dirs).copy()
    for group, values in plain.items():
        try:
            OmegaConf.update(node, group, OmegaConf.merge(schema()[group], values), merge=False)
        except OmegaConfBaseException as error:
            name = [choice for choice in chosen if choice.startswith(f"{group}=")][-1].partition("=")[2]
            raise ConfigError(in_our_words(error, _file_of(group, name, conf_dirs))) from error
    return node


@lru_cache(maxsize=256)
def _plain_values(group: str, name: str, conf_dirs: tuple[str, ...]) -> DictConfig | None:
    """The values of a group's file; None where Hydra has to read it: packages, defaults, base models."""
    if group == "base_model" or group not in schema():
        return None
    file = _file_of(group, name, conf_dirs)
    if file is None:
        return None
    values = OmegaConf.load(file)
    if not isinstance(values, DictConfig) or "defaults" in values:
        return None
    return None if "@package" in file.read_text(encoding="utf-8") else values


def _file_of(group: str, name: str, conf_dirs: Sequence[str]) -> Path | None:
    """The file of a choice, shipped or of one's own."""
    files = (root / group / f"{name}.yaml" for root in (CONF_DIR, *map(Path, conf_dirs)))
    return next((file for file in files if file.is_file()), None)


@lru_cache(maxsize=256)
def _by_hydra(chosen: tuple[str, ...], conf_dirs: tuple[str, ...]) -> DictConfig:
    register()
    try:
        with _hydra():
            return hydra_compose("config", [*chosen, *search_path(conf_dirs)])
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(in_our_words(error)) from error


def search_path(conf_dirs: Sequence[str]) -> list[str]:
    """The override that tells Hydra of further folders, whatever signs are in their names."""
    places = ",".join(quoted(f"file://{Path(folder).resolve()}") for folder in conf_dirs)
    return [f"hydra.searchpath=[{places}]"] if conf_dirs else []


def check_folders(conf_dirs: Sequence[str]) -> None:
    """Refuse folders of choices that are not there, and files in them that are not YAML.

    Raises:
        ConfigError: One line per folder and file.
    """
    wrong = [
        f"--config-dir {folder}: there is no such folder" for folder in conf_dirs if not Path(folder).is_dir()
    ]
    wrong += [text for folder in conf_dirs for text in _broken_files(str(Path(folder).resolve()))]
    if wrong:
        raise ConfigError("\n".join(wrong))


@lru_cache(maxsize=64)
def _broken_files(folder: str) -> tuple[str, ...]:
    """What is wrong with files of one's own: not YAML, or of the name of a shipped one."""
    wrong = []
    for file in sorted(Path(folder).glob("*/*.yaml")):
        shipped = CONF_DIR / file.parent.name / file.name
        try:
            OmegaConf.load(file)
        except (OmegaConfBaseException, OSError) as error:
            wrong.append(in_our_words(error, file))
            continue
        except Exception as error:
            wrong.append(f"{file} is not readable as YAML: {one_line(error)}")
            continue
        if shipped.is_file() and shipped.resolve() != file and shipped.read_bytes() != file.read_bytes():
            choice = f"{file.parent.name}={file.stem}"
            wrong.append(f"{file}: {choice} is a shipped choice and goes first; give the file another name")
    return tuple(wrong)


@contextlib.contextmanager
def _hydra() -> Iterator[None]:
    """Hydra's global state, set aside where a Hydra application is already running."""
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = before


def _to_config(node: DictConfig, checked: bool) -> RunConfig:
    try:
        config = OmegaConf.to_object(node)
    except OmegaConfBaseException as error:
        raise ConfigError(in_our_words(error)) from error
    assert isinstance(config, RunConfig)
    if checked:
        check(config)
    return config


def from_dict(values: dict[str, Any], *, checked: bool = True) -> RunConfig:
    """Build a config from nested plain values, as `dump` wrote them.

    Raises:
        ConfigError: A key is unknown or a value has the wrong type or breaks a rule.
    """
    try:
        node = OmegaConf.merge(schema(), literal(values))
    except OmegaConfBaseException as error:
        raise ConfigError(in_our_words(error)) from error
    assert isinstance(node, DictConfig)
    return _to_config(node, checked)


def literal(value: Any) -> Any:
    """Plain values as OmegaConf has to be told them, in which ${ is text and refers to nothing."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", value)
    if isinstance(value, dict):
        return {key: literal(item) for key, item in value.items()}
    return [literal(item) for item in value] if isinstance(value, list) else value


def load_any(path: Path) -> RunConfig:
    """Read a `config.yaml` however it is written; the rules of the schema are not looked at.

    Raises:
        RunFolderError: The file is missing or is not YAML.
        ConfigError: It holds an unknown key or a value of a wrong type.
    """
    try:
        values = yaml.load(path.read_bytes(), Loader=get_yaml_loader())
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:
        raise RunFolderError(f"{path} is not a readable config: {one_line(error)}") from error
    if not isinstance(values, dict) or not values:
        raise RunFolderError(f"{path} is not a readable config: it holds no keys")
    try:
        return from_dict({str(key): value for key, value in values.items()}, checked=False)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def as_dict(config: RunConfig) -> dict[str, Any]:
    """The config as nested plain values."""
    return asdict(config)


def dump(config: RunConfig, path: Path) -> None:
    """Write a config as YAML, atomically."""
    write_text(path, yaml_text(asdict(config)))


logging.getLogger("hydra").setLevel(logging.WARNING)
