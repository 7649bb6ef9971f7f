"""Rows that are one experiment: which of them is trained, and why they are the same, in words."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from lora_lab.axes import axis, show_setting
from lora_lab.config import difference, settings
from lora_lab.effective import BY_CONTENT, SAME_RESULT

if TYPE_CHECKING:
    from lora_lab.sweep.plan import PlannedRun

T = TypeVar("T", bound=Hashable)

_RANK = {"done": 0, "previews": 0, "running": 1, "resume": 2, "failed": 3, "diverged": 3, "planned": 4}
_LABELS = ("dataset.repeats", "train.max_train_epochs", "train.max_train_steps")


def first_of_each(rows: Sequence[PlannedRun]) -> list[tuple[PlannedRun, PlannedRun]]:
    """Each row with the row that stands for its experiment: what got furthest, else the first."""
    best: dict[str, PlannedRun] = {}
    for row in rows:
        first = best.setdefault(row.resolved.fingerprint, row)
        if _RANK.get(row.status, 5) < _RANK.get(first.status, 5):
            best[row.resolved.fingerprint] = row
    return [(row, best[row.resolved.fingerprint]) for row in rows]


def why_same(row: PlannedRun, first: PlannedRun) -> str:
    """Why two rows with different settings end in the same weights."""
    reasons: dict[str, list[str]] = {}
    lengths: list[str] = []
    for key in difference(row.config, first.config):
        if not settings()[key].trains:
            continue
        if key in _LABELS and key not in row.resolved.no_effect:
            lengths.append(key)
            continue
        reasons.setdefault(_reason(key, row, first), []).append(key)
    texts = [f"{reason}: {_listed(keys)} no effect" for reason, keys in reasons.items()]
    if lengths:
        texts.append(_same_length(row, first))
    return "; ".join(texts) or "the same settings"


def _reason(key: str, row: PlannedRun, first: PlannedRun) -> str:
    for resolved in (row.resolved, first.resolved):
        found = [
            reason for name, reason in resolved.no_effect.items() if name == key or name.startswith(f"{key}.")
        ]
        if found:
            return found[0]
    if key in BY_CONTENT:
        return "the content is the same"
    if key in SAME_RESULT:
        return "it changes time and memory, not the weights"
    return "both spellings mean the same"


def _listed(keys: list[str]) -> str:
    return f"{keys[0]} has" if len(keys) == 1 else f"{', '.join(keys[:-1])} and {keys[-1]} have"


def _same_length(row: PlannedRun, first: PlannedRun) -> str:
    return f"{_length(row)} and {_length(first)} show the same images in the same order"


def _length(row: PlannedRun) -> str:
    parts: list[tuple[str, Any]] = [
        (key, row.resolved.acting[key]) for key in _LABELS if row.resolved.acting.get(key) is not None
    ]
    return " x ".join(f"{show_setting(key, value)} {axis(key).label}" for key, value in parts)


def alike(rows: Sequence[PlannedRun], of: Callable[[PlannedRun], T]) -> list[tuple[T, list[str]]]:
    """The different values that rows have, each with the names of its rows."""
    found: dict[T, list[str]] = {}
    for row in rows:
        found.setdefault(of(row), []).append(row.name)
    return list(found.items())
