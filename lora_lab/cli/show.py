"""How results and settings look in a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lora_lab.config import Setting
from lora_lab.store import SweepFolder
from lora_lab.store import table as results

COLOURS = {
    "done": "green",
    "failed": "red",
    "diverged": "red",
    "cancelled": "yellow",
    "running": "cyan",
    "planned": "dim",
}
PIPE_WIDTH = 160


def console() -> Console:
    """Standard output; in a pipe or a file wide enough that no word is cut."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=max(PIPE_WIDTH, out.width))


def grid(*columns: str, right: Sequence[str] = ()) -> Table:
    """A table with the given heads; those in `right` hold numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table


def coloured(status: str) -> str:
    """A status as markup."""
    return f"[{COLOURS[status]}]{status}[/]" if status in COLOURS else escape(status)


def number(value: Any, digits: int = 4) -> str:
    """A value in a cell; None is empty."""
    if value is None:
        return ""
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


DETAILS = ("metric.brightness", "metric.contrast", "metric.sharpness")
"""Metrics that a terminal shows with --all only; files hold them always."""


def show_table(folder: SweepFolder, rows: Sequence[results.Row], *, all_settings: bool = False) -> None:
    """Print the results table: what a row sets is one column, unless all settings are asked for."""
    out = console()
    settings = results.setting_columns(rows)
    metrics = [key for key in rows[0] if key.startswith("metric.") and key not in settings]
    shown = [key for key in metrics if any(row[key] is not None for row in rows)]
    shown = [key for key in shown if all_settings or key not in DETAILS]
    usual = {} if all_settings else _usual(rows, settings)
    heads = [key.removeprefix("metric.") for key in shown]
    timed = "train_seconds" in rows[0]
    scored = ["score"] if any(row["score"] is not None for row in rows) else []
    held_back = ["validation_loss"] if "validation_loss" in rows[0] else []
    numbers = ["epoch", "step", "samples", *scored, "loss", *held_back]
    columns = ["run", "settings", "status", *numbers, *heads]
    columns += ["train s"] if timed else []
    table = grid(*columns, "notes", right=[*numbers, "train s", *heads])
    before = ""
    for row in rows:
        again = row["run"] == before
        before = row["run"]
        words = "" if again else _settings_of(row, settings, usual)
        cells = [escape(row["run"]), escape(words), coloured(row["status"])]
        cells += [number(row[key]) for key in numbers]
        cells += [number(row[key], 3) for key in shown]
        cells += [f"{row['train_seconds']:.0f}" if row["train_seconds"] is not None else ""] if timed else []
        table.add_row(*cells, escape(_notes(row)))
    out.print(table)
    _pictures(out, folder)


def _usual(rows: Sequence[results.Row], settings: Sequence[str]) -> dict[str, Any]:
    """What most runs have of each setting; among equals, what came first."""
    first: dict[str, results.Row] = {}
    for row in rows:
        first.setdefault(row["run"], row)
    usual = {}
    for key in settings:
        values = [row[key] for row in first.values()]
        counts = Counter(map(repr, values))
        usual[key] = max(values, key=lambda value: counts[repr(value)])
    return usual


def _settings_of(row: results.Row, settings: Sequence[str], usual: Mapping[str, Any]) -> str:
    """What a run has otherwise than most, one setting a line; all of it where `usual` is empty."""
    keys = [key for key in settings if row[key] is not None and (not usual or row[key] != usual[key])]
    return "\n".join(f"{key if not usual else key.rsplit('.', 1)[-1]}={number(row[key])}" for key in keys)


def _notes(row: results.Row) -> str:
    same = f"same experiment as {row['same_as']}" if row["same_as"] else ""
    prefix = f"prefix of {row['prefix_of']}" if row["prefix_of"] else ""
    return "; ".join(part for part in (same, prefix, row["flags"] or "", row["reason"] or "") if part)


def _pictures(out: Console, folder: SweepFolder) -> None:
    if folder.sheet.is_file():
        out.print(f"pictures: {folder.sheet}, and previews/ in every run's folder", soft_wrap=True)


def show_settings(found: Sequence[Setting], groups: Mapping[str, Sequence[str]]) -> None:
    """Print settings with default, rule and meaning, and the ready choices of their groups."""
    out = console()
    table = grid("setting", "type", "default", "meaning")
    for item in found:
        default = "null" if item.default is None else repr(item.default)
        table.add_row(escape(item.key), escape(item.type), escape(default), escape(_meaning(item)))
    out.print(table)
    shown = {item.key.split(".")[0] for item in found}
    for group in (name for name in groups if name in shown):
        out.print(escape(f"{group}={'|'.join(groups[group])}"), soft_wrap=True)


def _meaning(item: Setting) -> str:
    extra = [f"[{item.unit}]" if item.unit else "", "" if item.trains else "(does not change the weights)"]
    return " ".join(part for part in (item.doc, *extra) if part)
