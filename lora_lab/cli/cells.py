"""Tables in a terminal: side by side where there is room, else one entry below the other.

Those of thousands of rows are made of `Cell`s, which are laid out in a third of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Column, Table
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


WIDEST = 1 << 20
"""Letters of a line on which everything has room."""

LEAST_TEXT = 12
"""Letters below which a column of text is not folded."""

LONGEST_TITLE = 24
"""Letters up to which what a row is of is not folded."""

INDENT = 4


class Grid(Table):
    """A table that breaks neither numbers nor heads: too narrow for them, it puts each row's cells below
    another, each behind its head."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, or its rows as entries where the least that its columns need is wider than there is."""
        wide = options.update(max_width=WIDEST)
        needs = [self._need(console, wide, place) for place in range(len(self.columns))]
        between = (len(self.columns) - 1) * (1 + self.padding[1] + self.padding[3])
        rest = options.max_width - between - sum(least for least, _ in needs)
        if rest < 0:
            yield from self._entries()
            return
        for column, width in zip(self.columns, self._shared(needs, rest), strict=True):
            column.width = width
        yield from super().__rich_console__(console, options)

    def _need(self, console: Console, wide: ConsoleOptions, place: int) -> tuple[int, int]:
        """The letters below which a column breaks a number, a word of its head or a row's name, or folds
        text too small; and those of its widest line."""
        column = self.columns[place]
        head = Measurement.get(console, wide, column.header if self.show_header else "")
        cells = [Measurement.get(console, wide, cell) for cell in column.cells]
        full = max((item.maximum for item in cells), default=0)
        if column.width:
            return column.width, column.width
        if _is_of_numbers(column):
            least = full
        elif place < self._titles:
            least = min(full, LONGEST_TITLE + _blanks(column))
        else:
            least = min(max((item.minimum for item in cells), default=0), LEAST_TEXT + _blanks(column))
        return max(head.minimum, least), max(head.maximum, full)

    def _shared(self, needs: Sequence[tuple[int, int]], rest: int) -> list[int]:
        """The letters of each column: what is left goes to those that have the fewest.

        So a short text such as a change stays whole, and a sentence is folded.
        """
        given = [least for least, _ in needs]
        blanks = [_blanks(column) for column in self.columns]
        for _ in range(rest):
            wanting = [place for place, (_, full) in enumerate(needs) if given[place] < full]
            if not wanting:
                break
            given[min(wanting, key=lambda place: given[place] - blanks[place])] += 1
        return given

    @property
    def _titles(self) -> int:
        """How many of the columns say what a row is of."""
        return 1 if self.columns[0].header else 2

    def _entries(self) -> RenderResult:
        heads = [_text(column.header).plain.strip() for column in self.columns]
        title = self._titles
        for cells in zip(*(column.cells for column in self.columns), strict=True):
            texts = [_text(cell) for cell in cells]
            yield Text(" ").join(texts[:title])
            for head, text in zip(heads[title:], texts[title:], strict=True):
                if text.plain:
                    yield Padding(Text.assemble(f"{head}: " if head else "", text), (0, 0, 0, INDENT))


def _is_of_numbers(column: Column) -> bool:
    """Whether a column's cells end at the right."""
    cell = next(iter(column.cells), None)
    return column.justify == "right" or (isinstance(cell, Cell) and cell.right)


def _blanks(column: Column) -> int:
    """Letters that stand around the text of a column's cells and count as theirs."""
    cell = next(iter(column.cells), None)
    return cell.before + cell.after if isinstance(cell, Cell) else 0


def _text(cell: RenderableType) -> Text:
    """What a cell says."""
    if isinstance(cell, Cell):
        return Text(cell.text, cell.style)
    return Text.from_markup(cell) if isinstance(cell, str) else Text(str(cell))


def long_table(heads: Sequence[str], rows: Iterable[Sequence[Cell]], right: Sequence[str]) -> Table:
    """A table of cells; the columns of the heads in `right` hold numbers."""
    table = Grid(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    last = len(heads) - 1

    def placed(number: int, cell: Cell) -> Cell:
        at_right = heads[number] in right
        return replace(cell, right=at_right, before=int(number > 0), after=int(number < last))

    for number, head in enumerate(heads):
        table.add_column(placed(number, Cell(head)))
    for row in rows:
        table.add_row(*(placed(number, cell) for number, cell in enumerate(row)))
    return table
