"""The settings that acted in each run of a sweep's folder, as its plan has them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from lora_lab import config
from lora_lab.effective import Facts, resolve
from lora_lab.errors import LoraLabError
from lora_lab.findings import Inert
from lora_lab.store import RunFolder, RunRecord, SweepFolder

SEED = "train.seed"


@dataclass(frozen=True)
class Acting:
    """The acting settings of one run, without the seed, which is apart; and what was set in vain."""

    settings: dict[str, Any]
    seed: int | None = None
    inert: tuple[Inert, ...] = ()
    overrides: tuple[str, ...] = ()
    changes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def acting_settings(
    sweep: SweepFolder, folders: Sequence[RunFolder], records: Mapping[str, RunRecord]
) -> dict[str, Acting]:
    """The acting settings by run: from the plan where it is of the same experiment, else from the config.

    The plan saw pictures and base model; a config alone is resolved without them, which a note says.
    """
    plan = _plan_rows(sweep)
    found = {}
    for folder in folders:
        row, record = plan.get(folder.name), records[folder.name]
        planned = row is not None and record.fingerprint in ("", row.get("fingerprint"))
        found[folder.name] = _of_plan(row) if row and planned else _of_config(folder, record)
    return found


def _plan_rows(sweep: SweepFolder) -> dict[str, dict[str, Any]]:
    try:
        rows = json.loads(sweep.plan_file.read_text(encoding="utf-8"))["rows"]
        return {row["name"]: row for row in rows if isinstance(row["effective"], dict)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _of_plan(row: Mapping[str, Any]) -> Acting:
    settings = dict(row["effective"])
    seed = settings.pop(SEED, None)
    inert = tuple(Inert(item["key"], item["reason"]) for item in row.get("inert", ()))
    changes = tuple(key for key in row.get("changes", ()) if key != SEED)
    return Acting(settings, seed, inert, tuple(row.get("overrides", ())), changes)


def _of_config(folder: RunFolder, record: RunRecord) -> Acting:
    try:
        loaded = config.load_plain(folder.config_file)
    except LoraLabError as error:
        return Acting({}, notes=(f"run {folder.name} has no settings: {error}",))
    facts = Facts(
        family=loaded.base_model.family if loaded.base_model.family != "auto" else "sd1",
        device_type=record.device.split(" ")[0].split(":")[0] or "cuda",
        images=record.images or 1,
        repeats=loaded.dataset.repeats,
        batches_per_epoch=max(1, record.updates_per_epoch * loaded.train.gradient_accumulation_steps),
    )
    found = resolve(loaded, facts)
    settings = dict(found.acting)
    seed = settings.pop(SEED, None)
    note = f"run {folder.name} is not in the sweep's plan: its settings were read without its pictures"
    return Acting(settings, seed, found.inert, tuple(record.overrides), notes=(note,))


def same_settings(acting: Mapping[str, Acting], records: Mapping[str, RunRecord]) -> dict[str, str]:
    """Runs that are one experiment with another run, by name: same fingerprint, or same settings and seed."""
    first: dict[str, str] = {}
    found = {}
    # A run that was trained stands for those that only name it.
    for name in sorted(acting, key=lambda name: bool(records[name].same_as)):
        record, own = records[name], acting[name]
        key = record.fingerprint or repr((sorted(own.settings.items()), own.seed))
        origin = first.setdefault(key, name)
        if origin != name:
            found[name] = origin
    return found


def question_of(sweep: SweepFolder) -> str:
    """The question that the sweep file asks, or ''."""
    try:
        loaded = yaml.safe_load(sweep.sweep_file.read_text(encoding="utf-8"))
        return str(loaded.get("question") or "")
    except (OSError, ValueError, AttributeError, yaml.YAMLError):
        return ""
