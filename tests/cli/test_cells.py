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


@pytest.mark.parametrize("width", [60, 80, 100])
def test_neither_names_nor_numbers_nor_heads_are_broken(width):
    table = printed(long_table(HEADS, [[Cell(text) for text in row] for row in ROWS], RIGHT), width)
    assert "1000000" in table and "changes" in table and max(map(len, table.splitlines())) <= width


@pytest.mark.parametrize("width", [30, 36, 40])
def test_what_has_no_room_side_by_side_stands_one_below_the_other(width):
    cells = [[Cell(text) for text in row] for row in ROWS]
    plain = grid(*HEADS, right=RIGHT)
    for row in ROWS:
        plain.add_row(*row)
    for table in (long_table(HEADS, cells, RIGHT), plain):
        lines = [line.strip() for line in printed(table, width).splitlines()]
        assert lines[:4] == ["a", "changes: the base", "steps: 120", "status: planned"]
        assert "steps: 1000000" in lines and max(map(len, lines)) <= width


def test_a_table_without_heads_begins_its_entries_with_two_columns():
    table = grid("", "", "")
    table.show_header = False
    table.add_row("ok", "a-name-of-its-own", "words of many letters")
    assert printed(table, 20).split("\n")[0].split() == ["ok", "a-name-of-its-own"]
