"""What is known of every setting, and whether a config obeys the rules."""

import dataclasses
import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any, get_args

from lora_lab.config.fields import Check, Trial, default_of, finite
from lora_lab.config.peers import NOT_SETTINGS, OTHER_NAMES
from lora_lab.config.schema import RunConfig
from lora_lab.errors import ConfigError


@dataclass(frozen=True)
class Setting:
    """One declared setting; `key` is its dotted name, the rest as given to `fields.setting`."""

    key: str
    type: str
    default: Any
    doc: str
    rule: Check | None
    scale: str
    unit: str
    trains: bool
    label: str
    ja: str
    peer: tuple[str, ...]
    source: str
    path: bool
    trial: Trial | None


def _walk(cls: type, prefix: str) -> Iterator[Setting]:
    for item in dataclasses.fields(cls):
        if not item.metadata:
            yield from _walk(item.default_factory, f"{prefix}{item.name}.")  # type: ignore[arg-type]
            continue
        plain = isinstance(item.type, type) and not get_args(item.type)
        kind = item.type.__name__ if plain else str(item.type)  # type: ignore[union-attr]
        yield Setting(f"{prefix}{item.name}", kind, default_of(item), **item.metadata)


@cache
def settings() -> dict[str, Setting]:
    """Every setting by its dotted key, in the order of declaration."""
    return {found.key: found for found in _walk(RunConfig, "")}


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names what is meant, or nothing: '; did you mean lion?'.

    A slip in a dotted key is looked for in its own group. Then an equal last part comes first (network_dim is
    network.network_dim), with one that only repeats its group (alpha is network.network_alpha), then the
    closest spelling, of last parts before whole keys.
    """
    words = list(known)
    group, _, tail = word.rpartition(".")
    tails = {item.rsplit(".", 1)[-1]: item for item in words if "." in item}
    own = {end: item for end, item in tails.items() if group and item == f"{group}.{end}"}
    close = [own[end] for end in difflib.get_close_matches(tail, list(own), 1, 0.75)]
    close = close or [item for item in words if "." in item and item.rsplit(".", 1)[-1] == tail] + [
        item for item in words if item.endswith(f".{item.split('.')[0]}_{tail}")
    ]
    close = close or [tails[end] for end in difflib.get_close_matches(tail, list(tails), 1, 0.8)]
    close = close or difflib.get_close_matches(word, words, 1, 0.7)
    close = close or [tails[end] for end in difflib.get_close_matches(tail, list(tails), 1, 0.6)]
    return f"; did you mean {' or '.join(close[:3])}?" if close else ""


def unknown_choice(kind: str, name: str, known: Collection[str]) -> str:
    """What to say of a name that none of the known ones is."""
    return f"unknown {kind} {name!r}{nearest(name, known) or ';'} known: {', '.join(known)}"


def unknown_setting(key: str, others: Iterable[str] = ()) -> str:
    """What to say of a key that is no setting: what is meant, also where it is sd-scripts' or kohya_ss' name.

    Args:
        others: What else could stand there, such as names of groups.
    """
    name = key.lstrip("-")
    others = list(others)
    if name in others:
        return f"unknown setting {key!r}: it is a group; write {name}.SETTING=VALUE, or {name}=CHOICE"
    equal = any(item.rsplit(".", 1)[-1] == name for item in settings())
    if (name in OTHER_NAMES or not equal) and (called := peers_name(name)):
        return f"unknown setting {key!r}: it is called {called} here"
    if not equal and (reason := why_no_setting(name)):
        return f"unknown setting {key!r}: {reason}"
    labelled = [item.key for item in settings().values() if item.label == name.replace("_", " ")]
    hint = f"; did you mean {labelled[0]}?" if labelled and not equal else ""
    return f"unknown setting {key!r}{hint or nearest(name, [*settings(), *others])}"


def peers_name(name: str) -> str:
    """The key of the setting that another trainer calls so; '' is none."""
    peers = {peer.lstrip("-"): item.key for item in settings().values() for peer in item.peer}
    return OTHER_NAMES.get(name) or peers.get(name, "")


def why_no_setting(name: str) -> str:
    """What takes the place of an argument of sd-scripts that is no setting here; '' is nothing."""
    return {peer.lstrip("-"): text for peer, text in NOT_SETTINGS.items()}.get(name, "")


def flat(config: RunConfig) -> dict[str, Any]:
    """The settings of a config as dotted keys and plain values."""
    return dict(zip(settings(), _values()(config), strict=True))


@cache
def _values() -> Callable[[RunConfig], tuple[Any, ...]]:
    """What gives the values of all settings at once: one call of it costs a sixth of one for each."""
    return attrgetter(*settings())


def difference(config: RunConfig, base: RunConfig) -> dict[str, Any]:
    """The settings in which `config` differs from `base`, with `config`'s values."""
    there = flat(base)
    return {key: value for key, value in flat(config).items() if value != there[key]}


_kept: dict[str, Any] = {}
"""A value of each setting that kept its rule: the rows of a sweep share most."""


def problems(config: RunConfig) -> list[str]:
    """Every rule that a config breaks, one line each, as 'key must be ..., got ...'."""
    found = []
    for key, value in flat(config).items():
        if key in _kept and type(value) is type(_kept[key]) and value == _kept[key]:
            continue
        rule = settings()[key].rule
        broken = "must be a finite number" if not finite(value) else rule(value) if rule else None
        if broken:
            found.append(f"{key} {broken}, got {value!r}")
        elif not isinstance(value, list | dict):  # those may be changed in place
            _kept[key] = value
    return found + _contradictions(config)


_DOLLAR = "${trigger}"


def _contradictions(config: RunConfig) -> list[str]:
    train, data = config.train, config.dataset
    dollar = [text for text in (*config.preview.prompts, config.preview.negative_prompt) if _DOLLAR in text]
    rows: Sequence[tuple[bool, str]] = [
        (
            not config.base_model.path,
            "base_model.path is not set: give a folder or file, or choose base_model=demo",
        ),
        (not data.path, "dataset.path is not set: give the folder of the training images"),
        (
            train.max_train_epochs is None and train.max_train_steps is None,
            "neither train.max_train_epochs nor train.max_train_steps is set: give the length of the run",
        ),
        (
            data.min_bucket_reso > data.max_bucket_reso,
            f"dataset.min_bucket_reso ({data.min_bucket_reso}) must not be above "
            f"dataset.max_bucket_reso ({data.max_bucket_reso})",
        ),
        (
            data.random_crop and data.cache_latents,
            "dataset.random_crop=true needs dataset.cache_latents=false: a cached image has one crop",
        ),
        (
            config.loss.min_timestep >= config.loss.max_timestep,
            f"loss.min_timestep ({config.loss.min_timestep}) must be below loss.max_timestep "
            f"({config.loss.max_timestep})",
        ),
        (
            not (config.network.train_unet or config.network.train_text_encoder),
            "network.train_unet and network.train_text_encoder are both false: nothing would be trained",
        ),
        (train.full_bf16 and train.full_fp16, "train.full_bf16 and train.full_fp16 exclude each other"),
        (
            train.full_bf16 and train.mixed_precision != "bf16",
            f"train.full_bf16=true needs train.mixed_precision=bf16, got {train.mixed_precision}",
        ),
        (
            train.full_fp16 and train.mixed_precision != "fp16",
            f"train.full_fp16=true needs train.mixed_precision=fp16, got {train.mixed_precision}",
        ),
        (
            bool(dollar),
            f"preview.prompts: {dollar[:1]} holds {_DOLLAR}; the trigger word in prompts is {{trigger}}",
        ),
        (
            config.engine.rounds > 1 and config.engine.name != "local",
            f"engine.rounds={config.engine.rounds} works with engine.name=local only: with "
            f"{config.engine.name} set engine.rounds=1",
        ),
        (
            config.engine.rounds > 1 and not config.train.save_state,
            f"engine.rounds={config.engine.rounds} needs train.save_state=true: a pack that is set "
            "aside goes on from its states",
        ),
        (
            not config.preview.prompts and bool(config.preview.seeds),
            "preview.prompts is empty: give at least one prompt, or preview.seeds=[] for no previews",
        ),
    ]
    return [text for broken, text in rows if broken]


def check(config: RunConfig) -> None:
    """Raise one ConfigError that names every broken rule."""
    found = problems(config)
    if found:
        raise ConfigError("\n".join(found))
