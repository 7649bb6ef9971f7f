"""What the report says, in its language: its own texts, those it shares (`lora_lab.words`), numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lora_lab.axes import axis, show_setting
from lora_lab.counts import filled, whole
from lora_lab.metrics.registry import OF_100
from lora_lab.report import english, japanese
from lora_lab.verdict.calls import Scale, points
from lora_lab.verdict.evidence import SCORE
from lora_lab.words import LANGUAGES, in_language, said

TEXTS: Mapping[str, Mapping[str, str]] = {"en": english.TEXTS, "ja": japanese.TEXTS}
"""The texts of the report alone."""

__all__ = ["LANGUAGES", "TEXTS", "Words"]


@dataclass(frozen=True)
class Words:
    """The words of one report.

    Attributes:
        language: A key of `TEXTS`.
        criterion: What runs are judged by: `score`, or a metric's name.
    """

    language: str
    criterion: str = SCORE

    def say(self, key: str, **values: Any) -> str:
        """A text with its values filled in."""
        if key not in TEXTS[self.language]:
            return self.text(said(key, **values))
        shown = {name: self.text(value) for name, value in values.items()}
        return filled(TEXTS[self.language][key], **shown)

    def text(self, value: Any) -> str:
        """What somebody else said, in this language."""
        return in_language(value, self.language)

    def label(self, key: str) -> str:
        """What people call a setting."""
        return axis(key, self.language).label

    def listed(self, items: Iterable[str]) -> str:
        """Several things in a row."""
        return ("、" if self.language == "ja" else ", ").join(map(self.text, items))

    def changed(self, changes: Mapping[str, Any]) -> str:
        """Settings with their values."""
        return self.listed(f"{self.label(key)} {show_setting(key, value)}" for key, value in changes.items())

    def judged_by(self) -> str:
        """The name of what runs are judged by."""
        return self.say("score") if self.criterion == SCORE else self.criterion

    def number(self, value: float | None, *, signed: bool = False) -> str:
        """A score, or with a sign a difference of scores; a dash where there is none."""
        if value is None:
            return "–"
        scale = Scale(0.0, self.criterion in OF_100, "")
        if scale.of_100 and not signed:
            return whole(value)
        return points(value, scale, signed=signed).replace("-", "−")
