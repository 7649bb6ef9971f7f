"""Setting single values: an override read, and its value brought to the type of its setting, once for all."""

from collections.abc import Sequence
from dataclasses import is_dataclass
from functools import cache, lru_cache
from typing import Any, TypeVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lora_lab.config.inspect import settings
from lora_lab.config.schema import RunConfig
from lora_lab.config.text import key_of
from lora_lab.errors import ConfigError

DICT_KEYS = ("optimizer.args", "lr_scheduler.args")
WHICH = (
    "base_model.family",
    "engine.name",
    "lr_scheduler.name",
    "network.type",
    "optimizer.name",
    "stop.name",
)
"""Settings that say which of a group's choices it is; every file of the group sets it."""
T = TypeVar("T")


@lru_cache(maxsize=4096)
def read_override(text: str) -> Override:
    """Parse one override; cached, since the rows of a sweep share most of theirs.

    Raises:
        HydraException: It cannot be read.
    """
    return _parser().parse_override(text)


def in_force(overrides: Sequence[str]) -> list[str]:
    """Overrides without those of `WHICH` that a later choice of their group replaces.

    Single settings are laid over choices. So `optimizer.name=adamw` of a sweep's base would undo the row
    `optimizer=lion`, and `stop.name=hopeless` the row `stop=off`, while the rest of the choice stays.
    """
    last = {key_of(text): place for place, text in enumerate(overrides) if "=" in text}
    return [
        text
        for place, text in enumerate(overrides)
        if key_of(text) not in WHICH or last.get(key_of(text).partition(".")[0], -1) < place
    ]


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


@lru_cache(maxsize=1)
def schema() -> DictConfig:
    """All settings at their defaults, typed; to be copied, never changed."""
    made: DictConfig = OmegaConf.structured(RunConfig)
    return made


def assign(node: DictConfig, item: Override, within: str = "") -> list[str]:
    """Set one value; returns the problem, if any, as one line. `within` is its key in a node of its group."""
    key = item.key_or_group
    value = item.value()
    try:
        if item.is_delete():
            raise ConfigError
        OmegaConf.update(
            node, within or key, value, merge=False, force_add=any(key.startswith(f"{a}.") for a in DICT_KEYS)
        )
    except ConfigError:
        return [f"cannot delete {key}: set it to its off value"]
    except OmegaConfBaseException:
        return [
            f"{key} must be of type {settings()[key].type if key in settings() else 'text'}, got {value!r}"
        ]
    return []


def is_plain(item: Override) -> bool:
    """Whether an override is one value of one setting, which no other one can bear upon."""
    known = item.key_or_group in settings() and item.key_or_group not in DICT_KEYS
    return known and not item.is_delete() and "${" not in (item.input_line or "")


@lru_cache(maxsize=16384)
def typed_value(text: str) -> tuple[str, Any, str]:
    """What a plain override sets: the setting, the value as its type has it, and what is wrong with it."""
    item = read_override(text)
    group, _, name = item.key_or_group.rpartition(".")
    # It is tried on a copy of its group alone: copies of all settings take milliseconds.
    node = schema()[group].copy() if group else schema().copy()
    problems = assign(node, item, name)
    value = None if problems else OmegaConf.select(node, name)
    if OmegaConf.is_config(value):
        value = OmegaConf.to_object(value)
    return item.key_or_group, value, "".join(problems)


def copied(config: RunConfig) -> RunConfig:
    """A config of its own with the same values."""
    found = _like(config)
    for name, part in vars(config).items():
        if is_dataclass(part):
            own = _like(part)
            for key, value in vars(part).items():
                if isinstance(value, (list, dict)):
                    setattr(own, key, own_copy(value))
            setattr(found, name, own)
    return found


def _like(part: T) -> T:
    """What `copy.copy` gives, in a tenth of the time."""
    found = object.__new__(type(part))
    vars(found).update(vars(part))
    return found


def own_copy(value: Any) -> Any:
    """Plain values whose lists and dicts nobody else holds; `deepcopy` takes ten times as long."""
    if isinstance(value, list):
        return [own_copy(item) for item in value]
    return {key: own_copy(item) for key, item in value.items()} if isinstance(value, dict) else value
