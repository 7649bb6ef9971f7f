"""The sweep as launched and what was decided, as kept in its folder; no reader of results needs either."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from lora_lab.files import write_json, write_text
from lora_lab.store.layout import SweepFolder

Plan = dict[str, list[Any]]
"""`rows` (each with a `name`) and `packs` (names of rows)."""


def read_plan(folder: SweepFolder) -> Plan:
    """The rows and packs of the sweep's last start; empty where there was none, or it cannot be read."""
    try:
        values = json.loads(folder.plan_file.read_text(encoding="utf-8"))
        rows = [row for row in values["rows"] if isinstance(row["name"], str)]
        packs = [[str(name) for name in pack] for pack in values.get("packs", ())]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {"rows": [], "packs": []}
    return {"rows": rows, "packs": packs}


def read_question(folder: SweepFolder) -> str:
    """The question in the sweep file; '' where there is none, or it cannot be read."""
    try:
        return str(yaml.safe_load(folder.sweep_file.read_text(encoding="utf-8"))["question"] or "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, yaml.YAMLError):
        return ""


def write_launched(folder: SweepFolder, sweep: str, plan: Mapping[str, Any]) -> None:
    """Write both, the sweep as the text of a sweep file.

    Raises:
        RunFolderError: The folder cannot be written to.
    """
    write_text(folder.sweep_file, sweep)
    write_json(folder.plan_file, dict(plan))
