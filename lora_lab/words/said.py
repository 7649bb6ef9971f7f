"""Sentences that know how they are said in another language.

What finds something out names the sentence and fills in numbers and names; the words stand in `words.english`
and `words.japanese`. A `Said` is its own English, so that whoever prints or stores it needs no language; who
has one asks `in_language`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lora_lab.axes import axis, show_apart
from lora_lab.counts import filled, whole_number
from lora_lab.errors import ConfigError
from lora_lab.words import english, japanese

TEXTS: Mapping[str, Mapping[str, str]] = {"en": english.TEXTS, "ja": japanese.TEXTS}
LANGUAGES = tuple(TEXTS)
BETWEEN = {
    "en": {"list": ", ", "clauses": "; ", "and": " and "},
    "ja": {"list": "、", "clauses": "；", "and": "と"},
}
"""What stands between several things, by language."""


@dataclass(frozen=True)
class Label:
    """A setting by its key: people call it differently in every language."""

    key: str


@dataclass(frozen=True)
class Joined:
    """Several things in a row, with what stands between them (a key of `BETWEEN`)."""

    items: tuple[Any, ...]
    between: str


class Said(str):
    """A sentence in English, with the key of its text and the values in it.

    Values are text, numbers, a `Label`, a `Joined`, or another `Said`.
    """

    key: str
    values: Mapping[str, Any]

    def __new__(cls, key: str, values: Mapping[str, Any]) -> Said:
        """Fill in the English text of a key."""
        self = super().__new__(cls, _filled(key, values, "en"))
        self.key, self.values = key, values
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it as what it is made of."""
        return Said, (self.key, dict(self.values))


def said(key: str, **values: Any) -> Said:
    """The sentence of a key with its values."""
    return Said(key, values)


def change_of(key: str, reference: Any, level: Any) -> Said:
    """A change of a setting's value, spelled one way in plan, verdict and report."""
    one, other = show_apart(key, (reference, level))
    return said("change", reference=one, level=other)


def stage(tag: str) -> Said | str:
    """Where a checkpoint stands, by its tag: "epoch 10", "step 200"; any other tag as it is."""
    number = whole_number(tag.removeprefix("step"))
    if number is None:
        return tag
    return said("stage_step", step=number) if tag.startswith("step") else said("stage_epoch", epoch=number)


def joined(items: Iterable[Any], between: str = "list") -> Said:
    """Several things in a row as one sentence; `between` is a key of `BETWEEN`."""
    return Said("only", {"it": Joined(tuple(items), between)})


def named(key: str) -> Said:
    """What people call a setting."""
    return Said("only", {"it": Label(key)})


def in_language(value: Any, language: str) -> str:
    """A sentence in a language; what was never anything but text stays as it is."""
    if isinstance(value, Said):
        return str(value) if language == "en" else _filled(value.key, value.values, language)
    if isinstance(value, Label):
        return axis(value.key, language).label
    if isinstance(value, Joined):
        return BETWEEN[language][value.between].join(in_language(item, language) for item in value.items)
    return str(value)


def _filled(key: str, values: Mapping[str, Any], language: str) -> str:
    shown = {name: in_language(value, language) for name, value in values.items()}
    return filled(TEXTS[language][key], **shown)


def check_language(language: str) -> str:
    """The language itself, if there are words of it.

    Raises:
        ConfigError: There are none.
    """
    if language not in LANGUAGES:
        raise ConfigError(f"--language {language}: must be {' or '.join(LANGUAGES)}")
    return language
