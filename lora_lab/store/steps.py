"""The step log of a run: one JSON line per update."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from lora_lab.files import append_line, finite, read_lines, write_text
from lora_lab.store.layout import RunFolder

Signature = tuple[int, int]


def read_steps(run: RunFolder) -> list[dict[str, Any]]:
    """The log's rows in the order of their updates; of an update that stands twice the later row counts.

    After a crash an update may stand there twice. A line that names no update is left out.
    """
    rows = {}
    with suppress(OSError):
        for row in read_lines(run.steps_file):
            if type(step := row.get("step")) is int:
                rows[step] = row
    return [rows[step] for step in sorted(rows)]


def signature(run: RunFolder) -> Signature | None:
    """What changes when the log does; None where there is none."""
    try:
        stat = run.steps_file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def append_step(run: RunFolder, row: Mapping[str, Any]) -> None:
    """Add one update.

    Raises:
        RunFolderError: The log cannot be written to.
    """
    append_line(run.steps_file, dict(row))


def truncate_steps(run: RunFolder, update: int) -> None:
    """Drop all updates after the state that a run goes on from.

    Raises:
        RunFolderError: The log cannot be written to.
    """
    if run.steps_file.exists():
        write_steps(run, [row for row in read_steps(run) if row["step"] <= update])


def write_steps(run: RunFolder, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the whole log anew.

    Raises:
        RunFolderError: The log cannot be written to.
    """
    write_text(run.steps_file, "".join(json.dumps(finite(dict(row))) + "\n" for row in rows))


def forget_steps(run: RunFolder) -> None:
    """Delete the log of an experiment that is begun anew."""
    with suppress(FileNotFoundError):
        run.steps_file.unlink()
