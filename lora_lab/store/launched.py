"""The sweep as launched and what was decided, as kept in its folder; no reader of results needs either."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from lora_lab.files import finite, write_text
from lora_lab.store.layout import SweepFolder

EVERY_ROW = "every_row"
"""What the rows of a plan's file have in common; each of them holds the rest."""
Plan = dict[str, list[Any]]
"""`rows` (each with a `name`) and `packs` (names of rows)."""


def read_plan(folder: SweepFolder) -> Plan:
    """The rows and packs of the sweep's last start; empty where there was none, or it cannot be read."""
    try:
        values = json.loads(folder.plan_file.read_text(encoding="utf-8"))
        shared = dict(values.get(EVERY_ROW, {}))
        rows = [{**shared, **row} for row in values["rows"] if isinstance(row["name"], str)]
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
    """Write both, the sweep as the text of a sweep file; of the plan, a row to a line, in what it is alone.

    Raises:
        RunFolderError: The folder cannot be written to.
    """
    write_text(folder.sweep_file, sweep)
    shared = _shared(plan["rows"])
    rows = [{key: value for key, value in row.items() if key not in shared} for row in plan["rows"]]
    write_text(folder.plan_file, _text(finite({**plan, EVERY_ROW: shared, "rows": rows})))


def _shared(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all rows have in common: of thousands, that is most."""
    if len(rows) < 2:
        return {}
    first, *others = rows
    return {
        key: value
        for key, value in first.items()
        if key != "name" and all(key in row and row[key] == value for row in others)
    }


def _text(values: Mapping[str, Any]) -> str:
    """JSON with a line for each item of the lists and for each other value."""
    parts = []
    for key, value in values.items():
        lines = [json.dumps(item, ensure_ascii=False) for item in value] if isinstance(value, list) else []
        text = f"[\n  {f',{chr(10)}  '.join(lines)}\n ]" if lines else json.dumps(value, ensure_ascii=False)
        parts.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
