"""Turning a preset into settings, with one line for every key of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_lab.config import Setting, from_dict, nearest, problems, settings
from lora_lab.counts import counted
from lora_lab.data import toml
from lora_lab.errors import ConfigError
from lora_lab.kohya import length, network, rates, scene
from lora_lab.kohya.entries import DATASET, GUI, NETWORK, RAW, Entry, Preset
from lora_lab.kohya.ignored_keys import RENAMED_KEYS, ZEROS, is_secret, setting_of, why_ignored
from lora_lab.kohya.lines import COMPUTED, CONTRADICTORY, IGNORED, KEPT, OUTCOMES, RENAMED, Line
from lora_lab.kohya.others import TRAINERS
from lora_lab.kohya.values import UnfitError, empty, fit, off

OF_THE_MACHINE = ("results", "cache")
"""Settings that a recipe cannot make, since all rows of a sweep share them."""


@dataclass(frozen=True)
class Imported:
    """What a preset became.

    Attributes:
        path: The preset.
        kind: Which kind of file it is.
        settings: Settings by dotted key.
        lines: What became of each key, in the order of OUTCOMES.
        warnings: What is wrong with the settings together.
        family: The family of base models that the preset says, or ''.
    """

    path: Path
    kind: str
    settings: dict[str, Any]
    lines: tuple[Line, ...]
    warnings: tuple[str, ...] = ()
    family: str = ""


@dataclass
class Work:
    """A preset while its keys are being accounted for; the parts of this package take theirs from it."""

    path: Path
    kind: str
    given: dict[str, Entry]
    lines: list[Line] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    accounted: set[str] = field(default_factory=set)

    def value(self, name: str) -> Any:
        """A key's value, taken or not; None where the preset is silent, or says nothing with it."""
        entry = self.given.get(name)
        return None if entry is None or empty(entry.value) else entry.value

    def label(self, name: str) -> str:
        """A key as the report names it; empty where the preset lacks it."""
        return self.given[name].label if name in self.given else ""

    def done(self, name: str) -> bool:
        """Whether a key has its line, or is not there."""
        return name not in self.given or name in self.accounted

    def _account(self, name: str, outcome: str, setting: str = "", value: Any = None, why: str = "") -> None:
        self.accounted.add(name)
        self.lines.append(Line(self.given[name].label, outcome, setting, value, why))

    def ignore(self, name: str, why: str, outcome: str = IGNORED) -> None:
        """A key becomes no setting."""
        if not self.done(name):
            self._account(name, outcome, why=why)

    def keep(self, name: str, setting: str, why: str = "") -> bool:
        """A key becomes a setting with its own value; says whether that was possible."""
        if self.done(name):
            return False
        entry = self.given[name]
        try:
            value = fit(entry.value, settings()[setting])
        except UnfitError as error:
            self.ignore(name, f"{setting} {error}; got {_shown(entry.value)}", CONTRADICTORY)
            return False
        self._account(name, _outcome(entry, setting), setting, value, why)
        self.settings[setting] = value
        return True

    def compute(self, name: str, setting: str, value: Any, why: str) -> None:
        """A key becomes a setting with another value than its own."""
        if not self.done(name):
            try:
                value = fit(value, settings()[setting]) if value is not None else None
            except UnfitError as error:
                self.ignore(name, f"{setting} {error}; got {_shown(value)}", CONTRADICTORY)
                return
            entry = self.given[name]
            same = str(value).lower() == str(entry.value).lower()
            self._account(name, _outcome(entry, setting) if same else COMPUTED, setting, value, why)
            self.settings[setting] = value


def convert(preset: Preset) -> Imported:
    """The settings that a preset asks for, and a line for each of its keys."""
    if preset.kind == DATASET:
        return _dataset_file(preset)
    work = Work(preset.path, preset.kind, {})
    _choose(work, preset)
    family = scene.family(work)
    network.take(work)
    rates.take(work)
    length.take(work)
    scene.take(work)
    for name in work.given:
        if not work.done(name):
            _plain(work, name)
    if not any(line.setting or why_ignored(_last(line.key), off=True) for line in work.lines):
        raise ConfigError(f"{preset.path}: none of its keys belongs to kohya_ss or sd-scripts")
    warnings = _together(work.settings)
    if preset.unread:
        warnings.append(f"{RAW}: {counted(preset.unread, 'word belongs', 'words belong')} to no argument")
    lines = sorted(work.lines, key=lambda line: OUTCOMES.index(line.outcome))
    return Imported(preset.path, preset.kind, work.settings, tuple(lines), tuple(warnings), family)


def _together(values: dict[str, Any]) -> list[str]:
    """What is wrong with settings together, leaving out what only has still to be said."""
    still = ("is not set", "neither train.max", "prompts is empty")
    try:
        found = problems(from_dict(_nested(values), checked=False))
    except ConfigError as error:
        return str(error).splitlines()
    return [text for text in found if not any(words in text for words in still)]


def _choose(work: Work, preset: Preset) -> None:
    """Of several entries of one name take the one that counts; give secrets and the losers their lines."""
    for entry in preset.entries:
        if is_secret(entry.name):
            work.lines.append(Line(entry.label, IGNORED, why="a secret: not read, not written anywhere"))
            continue
        if entry.name in (RAW, NETWORK):
            why = "" if empty(entry.value) else "read argument by argument: see there"
            work.lines.append(Line(entry.label, IGNORED if not why else RENAMED, why=why or "empty"))
            continue
        there = work.given.get(entry.name)
        if there is None:
            work.given[entry.name] = entry
            continue
        heavier = (entry.weight, not empty(entry.value)) >= (there.weight, not empty(there.value))
        winner, loser = (entry, there) if heavier else (there, entry)
        work.given[entry.name] = winner
        differs = not empty(loser.value) and loser.value != winner.value
        why = f"{winner.label} says otherwise, and wins" if differs else f"{winner.label} says it"
        if loser.label != winner.label or differs:
            work.lines.append(Line(loser.label, CONTRADICTORY if differs else IGNORED, why=why))


def _plain(work: Work, name: str) -> None:
    """A key without a rule of its own: the setting that declares it, else the reason why there is none."""
    value = work.given[name].value
    setting = name if name in settings() else setting_of().get(name)
    if setting in OF_THE_MACHINE and not empty(value):
        work.ignore(name, f"the same for all runs of a command: say {setting}=... there")
    elif setting is None and work.kind in TRAINERS:
        work.ignore(name, f"{work.kind}'s own: nothing here stands for it")
    elif setting is None:
        why = why_ignored(name, off=off(value))
        hint = nearest(name, [*setting_of(), *RENAMED_KEYS])
        work.ignore(name, why or f"no argument of sd-scripts or field of the GUI that is known here{hint}")
    elif empty(value) or (value is False and not settings()[setting].type.startswith("bool")):
        work.ignore(name, _silent(settings()[setting]))
    elif work.kind == GUI and name in ZEROS and off(value):
        why = f"the GUI drops 0, and sd-scripts then takes {ZEROS[name]:g}: 0 was never trained with"
        work.compute(name, setting, ZEROS[name], why)
    else:
        work.keep(name, setting)


def _silent(setting: Setting) -> str:
    default = "nothing" if setting.default in (None, "", [], {}) else setting.default
    return f"empty; {setting.key} stays as it is (by itself: {default})"


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        (found.setdefault(group, {}) if group else found)[name] = value
    return found


def _last(label: str) -> str:
    return re.split(r"[ .]", label)[-1].lstrip("-").replace("-", "_")


def _outcome(entry: Entry, setting: str) -> str:
    """Kept or renamed."""
    return KEPT if _last(entry.label) == setting.rpartition(".")[2] else RENAMED


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _dataset_file(preset: Preset) -> Imported:
    """A dataset file stays what it is: the run reads it, and each of its keys is checked here."""
    assert preset.content is not None
    lines = tuple(_tables(preset.content))
    wrong = toml.wrong_keys(preset.content)
    return Imported(
        preset.path, preset.kind, {"dataset.path": str(preset.path.resolve())}, lines, tuple(wrong)
    )


def _tables(table: Any, place: str = "") -> Iterator[Line]:
    for key, value in table.items():
        label = f"{place}.{key}" if place else str(key)
        tables = value if isinstance(value, list) else [value]
        if key in ("general", "datasets", "subsets") and all(isinstance(item, dict) for item in tables):
            yield Line(label, KEPT, "dataset.path", None, "a table of the file")
            for number, item in enumerate(tables):
                yield from _tables(item, label if isinstance(value, dict) else f"{label}[{number}]")
            continue
        if wrong := toml.wrong_value(str(key), value):
            yield Line(label, CONTRADICTORY, why=wrong)
        else:
            yield Line(label, KEPT, "dataset.path", None, "read from the file when the run is planned")
