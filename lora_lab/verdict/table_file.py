"""The cells of a table that somebody wrote elsewhere: whole, or refused with the line."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from lora_lab.errors import DataError

Row = Mapping[str, str]
LINE = " line"
"""Where a row stands in its file; no column can be called so, since blanks around names are cut off."""
_SEPARATORS = (",", ";", "\t")


def read_cells(path: Path) -> list[Row]:
    """The rows of a CSV file by column; each knows its `LINE`. Excel's kinds are understood: UTF-16, a mark
    of the encoding, semicolons or tabs between cells.

    Raises:
        DataError: It cannot be read, a column stands twice, or a row has more cells than there are columns.
    """
    try:
        text = _text(path)
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text))
        cells = [[cell.strip() for cell in line] for line in lines]
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as a table of scores: {error}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read as a table of scores: {error.strerror or error}") from error
    columns = cells[0] if cells else []
    twice = [name for name, count in Counter(columns).items() if count > 1 and name]
    if twice:
        raise DataError(f"{path}: the column {twice[0]} stands twice; which one counts cannot be known")
    rows: list[Row] = []
    for number, line in enumerate(cells[1:], start=2):
        if any(line[len(columns) :]):
            raise DataError(
                f"{path}, line {number}: {len(line)} cells for {len(columns)} columns; a number with a comma "
                "in it needs quotes, or a point in place of the comma"
            )
        if any(line):
            padded = line + [""] * (len(columns) - len(line))
            rows.append({**dict(zip(columns, padded, strict=False)), LINE: str(number)})
    return rows


def _text(path: Path) -> str:
    data = path.read_bytes()
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(
            f"{path} cannot be read as a table of scores: it is no UTF-8 text; save it as CSV UTF-8"
        ) from None


def _separator(text: str) -> str:
    """What stands between the names of the columns."""
    head = text.partition("\n")[0]
    return max(_SEPARATORS, key=head.count)
