"""What became of one key of a preset."""

from dataclasses import dataclass
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
