"""What became of one key of a preset."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEPT, RENAMED, COMPUTED = "kept", "renamed", "computed"
IGNORED, CONTRADICTORY = "ignored", "contradictory"
OUTCOMES = (KEPT, RENAMED, COMPUTED, CONTRADICTORY, IGNORED)
"""In the order of a report."""


@dataclass(frozen=True)
class Line:
    """One key of a preset and what became of it.

    Attributes:
        key: As written in the file, with its place: `seed`, `additional_parameters: --seed`.
        outcome: One of OUTCOMES.
        setting: The setting it became; empty where it became none.
        value: The setting's value; None where it became none.
        why: What has to be said about it.
    """

    key: str
    outcome: str
    setting: str = ""
    value: Any = None
    why: str = ""


def in_short(preset: Path, kind: str, lines: Sequence[Line]) -> list[str]:
    """What became of a preset's keys, in a few lines of text; a value that could not be taken is named."""
    outcomes = Counter(line.outcome for line in lines)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    return [
        f"{preset.name}: {kind}, {len(lines)} keys: {counts}",
        *(f"  not taken: {line.key}: {line.why}" for line in lines if line.outcome == CONTRADICTORY),
        f"each of them, and why:  lora-lab import {shlex.quote(str(preset))}",
    ]
