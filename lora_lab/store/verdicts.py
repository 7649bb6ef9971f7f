"""The verdicts that were taken on a sweep: an append-only log, one JSON object per line."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from lora_lab.files import append_line, read_lines
from lora_lab.store.layout import SweepFolder
from lora_lab.store.record import now


def read_verdicts(sweep: SweepFolder) -> list[dict[str, Any]]:
    """The log's lines; a missing log, or one that cannot be read, is empty."""
    with suppress(OSError):
        return read_lines(sweep.verdicts_file)
    return []


def keep_verdict(sweep: SweepFolder, line: Mapping[str, Any]) -> None:
    """Add a verdict to the log, with the time.

    Raises:
        RunFolderError: The file cannot be written to.
    """
    append_line(sweep.verdicts_file, {"at": now(), **line})
