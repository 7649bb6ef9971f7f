"""How results and settings look in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lora_lab.cli.cells import Grid
from lora_lab.config import Setting

COLOURS = {
    "done": "green",
    "failed": "red",
    "diverged": "red",
    "cancelled": "yellow",
    "stopped": "yellow",
    "running": "cyan",
    "interrupted": "yellow",
    "paused": "yellow",
    "planned": "dim",
}
PIPE_WIDTH = 160


def console() -> Console:
    """Standard output; in a pipe or a file wide enough that no word is cut."""
    out = Console(highlight=False, emoji=False)
    return out if out.is_terminal else Console(highlight=False, emoji=False, width=max(PIPE_WIDTH, out.width))


def grid(*columns: str, right: Sequence[str] = ()) -> Table:
    """A table with the given heads; those in `right` hold numbers."""
    table = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
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
