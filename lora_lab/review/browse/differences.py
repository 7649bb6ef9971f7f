"""Which settings differ between runs, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lora_lab.axes import axis, show_apart
from lora_lab.review.browse.runs import Run
from lora_lab.store.table import differing


@dataclass(frozen=True)
class Line:
    """One setting that differs: its key, its label with the unit, and each run's value as text."""

    key: str
    label: str
    values: tuple[str, ...]


def differences(runs: Sequence[Run]) -> list[Line]:
    """The settings in which some of the runs differ, in the order of declaration.

    A run whose config cannot be read has a question mark everywhere.
    """
    return [Line(key, axis(key).title, _values(key, runs)) for key in differing(run.settings for run in runs)]


def _values(key: str, runs: Sequence[Run]) -> tuple[str, ...]:
    texts = show_apart(key, [run.settings.get(key) for run in runs])
    return tuple(text if run.settings else "?" for run, text in zip(runs, texts, strict=True))
