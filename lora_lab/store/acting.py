"""The settings that acted in a run: as its record carries them, else as far as its config alone tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lora_lab.config import RunConfig
from lora_lab.findings import Inert
from lora_lab.models.families import ASSUMED, FAMILIES
from lora_lab.store.record import RunRecord

SEED = "train.seed"

RECORDED, REREAD, UNKNOWN = "recorded", "reread", "unknown"
"""Where acting settings are from: the run's record; its config, read without its images, since the version
that trained it kept none; nowhere."""


@dataclass(frozen=True)
class Acting:
    """The acting settings of one run.

    Attributes:
        settings: By dotted key, without the seed, which is apart.
        inert: Settings that were set and have no effect, with the reason.
        origin: One of `RECORDED`, `REREAD` and `UNKNOWN`.
        why: Why they are not known, or ''.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    inert: tuple[Inert, ...] = ()
    origin: str = UNKNOWN
    why: str = ""


def acting_of(record: RunRecord, config: RunConfig | None, why: str = "") -> Acting:
    """The acting settings of a run; `why` says what is wrong with its config where there is none."""
    if record.external:
        return Acting(why="it was trained elsewhere, and not all of its settings are known")
    if record.resolved:
        try:
            return _recorded(record.resolved)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return Acting(why=f"its resolved settings in run.json are damaged ({error!r})")
    if config is None:
        return Acting(why=why or "it has no config.yaml")
    try:
        return _reread(record, config)
    # A config of an earlier version may hold what no rule of today's can deal with.
    except Exception as error:
        return Acting(why=f"its settings cannot be resolved again ({error})")


def comparable(value: Any) -> Any:
    """The value; NaN, which is not even equal to itself, as a word."""
    return "nan" if value != value else value


def _recorded(resolved: Mapping[str, Any]) -> Acting:
    settings = {str(key): comparable(value) for key, value in resolved["acting"].items()}
    seed = settings.pop(SEED, None)
    inert = tuple(Inert(str(item["key"]), str(item["reason"])) for item in resolved.get("inert", ()))
    return Acting(settings, seed, inert, RECORDED)


def _reread(record: RunRecord, config: RunConfig) -> Acting:
    """What acts by the config and what little the record says of images and machine."""
    # Only runs of earlier versions need it, and it needs the rules of every setting.
    from lora_lab.effective import Facts, resolve

    family = config.base_model.family
    facts = Facts(
        family=family if family in FAMILIES else ASSUMED,
        device_type=record.device.split(" ")[0].split(":")[0] or "cuda",
        images=record.images or 1,
        repeats=config.dataset.repeats,
        batches_per_epoch=max(1, record.updates_per_epoch * config.train.gradient_accumulation_steps),
    )
    found = resolve(config, facts)
    settings = {key: comparable(value) for key, value in found.acting.items()}
    seed = settings.pop(SEED, None)
    return Acting(settings, seed, found.inert, REREAD)
