"""Long tables look as rich's own."""

import pytest
from rich.console import Console

from lora_lab.cli.cells import Cell, long_table
from lora_lab.cli.show import grid

HEADS, RIGHT = ("row", "changes", "steps", "status"), ("steps",)
ROWS = [
    ("a", "the base", "120", "planned"),
    ("learning_rate=1e-05,network_alpha=1,a-word-no-column-holds", "one: 1 -> 2\nb: 3 -> 1e-05", "7", ""),
    ("猫", "words that go on and on, until they are folded at last", "1000000", "done: 猫の絵 after all"),
    ("", "", "", "failed: it is so"),
]  # fmt: skip


def printed(table, width):
    out = Console(width=width, highlight=False, force_terminal=False)
    with out.capture() as found:
        out.print(table)
    return found.get()


@pytest.mark.parametrize("width", [40, 70, 100, 160])
def test_a_long_table_looks_as_one_of_rich(width):
    plain = grid(*HEADS, right=RIGHT)
    for row in ROWS:
        plain.add_row(*row)
    cells = [[Cell(text, "dim" if text == "120" else "") for text in row] for row in ROWS]
    assert printed(long_table(HEADS, cells, RIGHT), width) == printed(plain, width)


def test_cells_keep_their_style():
    out = Console(width=60, force_terminal=True, color_system="standard")
    with out.capture() as found:
        out.print(long_table(("row",), [[Cell("bad", "red")]], ()))
    assert "\x1b[31mbad" in found.get()
