"""The results table in a terminal: columns are chosen for its width, and no number is broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape

from lora_lab import config
from lora_lab.axes import show_setting
from lora_lab.cli.cells import Grid
from lora_lab.cli.show import coloured, console, number
from lora_lab.metrics.registry import DESCRIBING, LESS_IS_BETTER
from lora_lab.store import SweepFolder
from lora_lab.store import table as results

GAP = 2
"""Blanks between two columns."""

FIRST_TO_GO = ("samples", "step", "train_seconds", "validation_loss", "flags")
"""What goes first in a narrow terminal, as the epoch says where a checkpoint stands; then go metrics."""

LEAST = {"run": 12, "settings": 18}
"""Widths in letters below which a column of text is not folded."""


@dataclass(frozen=True)
class Column:
    """A column as it may be shown.

    Attributes:
        key: Its name in files.
        head: What stands above it.
        cells: Its text, row by row; several lines where they are folded at a fixed place.
        is_number: Whether it is set to the right, and never folded.
    """

    key: str
    head: str
    cells: tuple[str, ...]
    is_number: bool = False

    @property
    def width(self) -> int:
        """The letters of its widest line."""
        lines = [line for cell in (self.head, *self.cells) for line in cell.split("\n")]
        return max(map(cell_len, lines))

    @property
    def least(self) -> int:
        """The letters it needs at the least."""
        return min(self.width, LEAST.get(self.key, self.width))


def show_table(
    folder: SweepFolder, rows: Sequence[results.Row], *, all_settings: bool = False, chosen: bool = False
) -> None:
    """Print the results table as wide as the terminal is.

    Args:
        folder: The sweep.
        rows: Its rows, as `store.table.rows` gives them.
        all_settings: Whether every setting is shown and not only what a run has otherwise than most.
        chosen: Whether the columns were asked for by name: then all are shown as they are.
    """
    out = console()
    left_out: list[Column] = []
    if chosen:
        settings = set(results.setting_columns(rows))
        columns = [_plain(rows, key, key.removeprefix("metric."), key in settings) for key in rows[0]]
        shown = columns
    else:
        columns = _usual_columns(rows, all_settings)
        shown, left_out = fitting(columns, out.width)
    _print(out, shown)
    if left_out:
        names = ", ".join(item.key.removeprefix("metric.") for item in left_out)
        asked = ",".join(item.key for item in (shown[0], *left_out[:2]))
        text = f"no room for {names}: a wider terminal, --columns {asked} or --csv shows them"
        out.print(text, style="dim", soft_wrap=True)
    if not chosen:
        for line in _notes(rows):
            out.print(escape(line), soft_wrap=True)
        if folder.sheet.is_file():
            out.print(f"images: {folder.sheet}, and previews/ in every run's folder", soft_wrap=True)


def fitting(columns: Sequence[Column], width: int) -> tuple[list[Column], list[Column]]:
    """The columns that have room side by side, and those that have none, both in their order.

    Args:
        columns: All of them.
        width: Letters of the terminal.
    """
    kept = list(columns)
    metrics = [item.key for item in reversed(columns) if item.key.startswith("metric.")]
    # What may stand for a score goes last.
    metrics.sort(key=lambda key: key.removeprefix("metric.") not in LESS_IS_BETTER)
    for key in (*FIRST_TO_GO, *metrics):
        if _needed(kept) <= width:
            break
        kept = [item for item in kept if item.key != key]
    if _needed(kept) > width:
        # Then rows are entries of several lines, and there is room for all.
        return list(columns), []
    return kept, [item for item in columns if item not in kept]


def _needed(columns: Sequence[Column]) -> int:
    return sum(item.least for item in columns) + GAP * (len(columns) - 1)


def widths(columns: Sequence[Column], width: int) -> list[int]:
    """The letters each column gets: numbers what they need, text what is left, up to what it needs."""
    given = [item.least for item in columns]
    rest = width - _needed(columns)
    for place, item in enumerate(columns):
        more = max(0, min(rest, item.width - given[place]))
        given[place] += more
        rest -= more
    return given


def _print(out: Console, columns: Sequence[Column]) -> None:
    table = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, GAP - 1, 0, 0))
    for item, letters in zip(columns, widths(columns, out.width), strict=True):
        side = "right" if item.is_number else "left"
        table.add_column(item.head, justify=side, width=letters, overflow="fold", no_wrap=item.is_number)  # type: ignore[arg-type]
    for cells in zip(*(item.cells for item in columns), strict=True):
        pairs = zip(columns, cells, strict=True)
        table.add_row(*(coloured(cell) if item.key == "status" else escape(cell) for item, cell in pairs))
    out.print(table)


def _usual_columns(rows: Sequence[results.Row], all_settings: bool) -> list[Column]:
    """Run, settings, status and the numbers that there are."""
    settings = results.setting_columns(rows)
    usual = {} if all_settings else _usual(rows, settings)
    again = [number > 0 and row["run"] == rows[number - 1]["run"] for number, row in enumerate(rows)]
    words = [
        "" if same else _settings_of(row, settings, usual) for row, same in zip(rows, again, strict=True)
    ]
    metrics = [key for key in rows[0] if key.startswith("metric.") and key not in settings]
    metrics = [key for key in metrics if all_settings or key.removeprefix("metric.") not in DESCRIBING]
    numbers = ["epoch", "step", "samples", "score", "loss", "validation_loss"]
    found = [Column("run", "run", _cells(rows, "run", str)), Column("settings", "settings", tuple(words))]
    found.append(Column("status", "status", _cells(rows, "status", str)))
    found += [_plain(rows, key, key) for key in numbers if _is_there(rows, key)]
    found += [
        _plain(rows, key, key.removeprefix("metric."), digits=3) for key in metrics if _is_there(rows, key)
    ]
    if _is_there(rows, "train_seconds"):
        found.append(Column("train_seconds", "train s", _cells(rows, "train_seconds", "{:.0f}".format), True))
    return found


def _is_there(rows: Sequence[results.Row], key: str) -> bool:
    return any(row.get(key) is not None for row in rows)


def _cells(rows: Sequence[results.Row], key: str, shown: Callable[[Any], str]) -> tuple[str, ...]:
    return tuple("" if row[key] is None else shown(row[key]) for row in rows)


def _plain(
    rows: Sequence[results.Row], key: str, head: str, is_setting: bool = False, digits: int = 4
) -> Column:
    """A column as it is; a setting that is off is `null`, a number that is missing is empty."""
    if is_setting:
        cells = tuple("null" if row[key] is None else show_setting(key, row[key]) for row in rows)
    else:
        cells = tuple(number(row[key], digits) for row in rows)
    kinds = {type(row[key]) for row in rows if row[key] is not None}
    return Column(key, head, cells, bool(kinds) and kinds <= {int, float})


def _usual(rows: Sequence[results.Row], settings: Sequence[str]) -> dict[str, Any]:
    """What most runs have of each setting; among equals, what came first."""
    first: dict[str, results.Row] = {}
    for row in rows:
        first.setdefault(row["run"], row)
    usual = {}
    # A run whose settings cannot be read has none at all.
    known = [row for row in first.values() if any(row[key] is not None for key in settings)]
    for key in settings if known else ():
        values = [row[key] for row in known]
        counts = Counter(map(repr, values))
        usual[key] = max(values, key=lambda value: counts[repr(value)])
    return usual


def _settings_of(row: results.Row, settings: Sequence[str], usual: Mapping[str, Any]) -> str:
    """What a run has otherwise than most, one setting a line; all of it where `usual` is empty."""
    keys = [key for key in settings if row[key] is not None and (not usual or row[key] != usual[key])]
    names = {key: _short_name(key) if usual else key for key in keys}
    return "\n".join(f"{name}={show_setting(key, row[key])}" for key, name in names.items())


@cache
def _short_name(key: str) -> str:
    """The last part of a setting's name; all of it where others end alike, such as `base_model.path`."""
    last = key.rsplit(".", 1)[-1]
    return last if sum(item.rsplit(".", 1)[-1] == last for item in config.settings()) == 1 else key


def _notes(rows: Sequence[results.Row]) -> list[str]:
    """What is to be said of runs, a line each: below the table, where there is room for a sentence."""
    found: dict[str, None] = {}
    for row in rows:
        where = row["run"] if row["epoch"] is None else f"{row['run']} at epoch {number(row['epoch'])}"
        if row["same_as"]:
            found[f"{row['run']}: same experiment as {row['same_as']}"] = None
        elif row["prefix_of"]:
            found[f"{row['run']}: prefix of {row['prefix_of']}, its weights on the way"] = None
        if row["reason"]:
            found[f"{row['run']}: {row['reason']}"] = None
        if row["flags"]:
            found[f"{where}: {row['flags']}"] = None
    return list(found)
