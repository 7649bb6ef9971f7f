"""What is known of every setting, and whether a config obeys the rules."""

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from lora_lab.config.fields import Check, Trial, default_of, finite
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
        kind = item.type if isinstance(item.type, str) else getattr(item.type, "__name__", str(item.type))
        yield Setting(f"{prefix}{item.name}", kind, default_of(item), **item.metadata)


@cache
def settings() -> dict[str, Setting]:
    """Every setting by its dotted key, in the order of declaration."""
    return {found.key: found for found in _walk(RunConfig, "")}


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the closest known word, or nothing: ', did you mean lion?'.

    The last part of a dotted key counts, too: 'alpha' finds 'network.network_alpha'.
    """
    words = list(known)
    close = difflib.get_close_matches(word, words, 1, 0.7)
    if not close:
        tails = {item.rsplit(".", 1)[-1]: item for item in words}
        close = [
            tails[tail] for tail in difflib.get_close_matches(word.rsplit(".", 1)[-1], list(tails), 1, 0.6)
        ]
    return f"; did you mean {close[0]}?" if close else ""


def flat(config: RunConfig) -> dict[str, Any]:
    """The settings of a config as dotted keys and plain values."""
    values: dict[str, Any] = {}
    for key in settings():
        part: Any = config
        for name in key.split("."):
            part = getattr(part, name)
        values[key] = part
    return values


def difference(config: RunConfig, base: RunConfig) -> dict[str, Any]:
    """The settings in which `config` differs from `base`, with `config`'s values."""
    there = flat(base)
    return {key: value for key, value in flat(config).items() if value != there[key]}


def problems(config: RunConfig) -> list[str]:
    """Every rule that a config breaks, one line each, as 'key must be ..., got ...'."""
    found = []
    for key, value in flat(config).items():
        rule = settings()[key].rule
        broken = "must be a finite number" if not finite(value) else rule(value) if rule else None
        if broken:
            found.append(f"{key} {broken}, got {value!r}")
    return found + _contradictions(config)


def _contradictions(config: RunConfig) -> list[str]:
    train, data = config.train, config.dataset
    rows: Sequence[tuple[bool, str]] = [
        (
            not config.base_model.path,
            "base_model.path is not set: give a folder or file, or choose base_model=demo",
        ),
        (not data.path, "dataset.path is not set: give the folder of the training pictures"),
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
            "dataset.random_crop=true needs dataset.cache_latents=false: a cached picture has one crop",
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
