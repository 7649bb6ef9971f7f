"""What the report says, in its language: texts, labels of settings, numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lora_lab.axes import axis, show_setting
from lora_lab.report import english, japanese
from lora_lab.verdict.analysis import POINTS
from lora_lab.verdict.calls import Scale, points
from lora_lab.verdict.evidence import SCORE

TEXTS: Mapping[str, Mapping[str, str]] = {"en": english.TEXTS, "ja": japanese.TEXTS}
LANGUAGES = tuple(TEXTS)


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
        return TEXTS[self.language][key].format(**values)

    def label(self, key: str) -> str:
        """What people call a setting."""
        return axis(key, self.language).label

    def listed(self, items: Iterable[str]) -> str:
        """Several things in a row."""
        return ("、" if self.language == "ja" else ", ").join(items)

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
        scale = Scale(0.0, self.criterion in POINTS, "")
        if scale.of_100 and not signed:
            return f"{value:.0f}".replace("-0", "0")
        return points(value, scale, signed=signed).replace("-", "−")
