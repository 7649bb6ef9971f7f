"""`lora-lab new`: a first sweep file, by a few questions or by flags, and its plan."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lora_lab.cli.as_json import print_json
from lora_lab.cli.plan_view import show_plan
from lora_lab.counts import whole_number
from lora_lab.data.folder import images_below
from lora_lab.data.toml import is_dataset_file
from lora_lab.errors import ConfigError, LoraLabError
from lora_lab.files import write_text
from lora_lab.hardware import cards
from lora_lab.kohya import Imported, convert
from lora_lab.kohya import read as read_preset
from lora_lab.kohya.lines import in_short
from lora_lab.models.families import FAMILIES
from lora_lab.outputs import refuse_to_overwrite, remember
from lora_lab.sweep import plan as make_plan
from lora_lab.sweep import read_sweep
from lora_lab.sweep.run_names import name_problem
from lora_lab.sweep.starting import DEMO, NO_CARD, Wish, card_sizes, family_of, fitting, text


def new(given: argparse.Namespace) -> int:
    """Ask what was not said, write the file, and show its plan."""
    given.name = given.name.removesuffix(".yaml").removesuffix(".yml")
    if problem := name_problem(given.name):
        raise ConfigError(f"NAME: {problem}")
    target = Path(given.output or f"{given.name}.yaml")
    if target.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--output {target} must end in .yaml")
    if given.card is not None and given.card < 1:
        raise ConfigError(f"--card must be the card's memory in GB, at least 1, got {given.card}")
    by = f"new {given.name}"
    refuse_to_overwrite([target], by)
    preset = convert(read_preset(Path(given.preset))) if given.preset else None
    written = text(_wish(given, target.stem, preset))
    write_text(target, written)
    remember([target], by)
    if preset and not given.json:
        _tell(preset)
    try:
        made = make_plan(read_sweep(target))
    except LoraLabError as error:
        raise type(error)(f"{error}\n{target} is written; mend it there") from error
    if not given.json:
        show_plan(made)
        print(f"\nwritten: {target}\nstart it:  lora-lab sweep {shlex.quote(str(target))}")
        return 0
    told = {"preset": [asdict(line) for line in preset.lines], "warnings": preset.warnings} if preset else {}
    print_json({"file": str(target), "plan": made.to_json(), **told})
    return 0


def _tell(preset: Imported) -> None:
    """Say what became of a preset's keys, and what is wrong with them."""
    print("\n".join([*in_short(preset.path, preset.kind, preset.lines), *preset.warnings, ""]))


def _wish(given: argparse.Namespace, name: str, preset: Imported | None) -> Wish:
    said = preset.settings if preset else {}
    base = (
        given.base
        or _here(said.get("base_model.path"))
        or _ask("base model: a .safetensors file or diffusers folder, or demo", "--base", _model)
    )
    family = family_of(base)
    if preset and preset.family and base != DEMO and preset.family != family:
        raise ConfigError(
            f"--preset {preset.path} is for {FAMILIES[preset.family].title}, --base {base} is "
            f"{FAMILIES[family].title}: take a model of that family"
        )
    images = (
        given.images
        or _here(said.get("dataset.path"))
        or _ask("folder with your images", "--images", _images)
    )
    _images(images)
    if preset:
        trigger = given.trigger or str(said.get("dataset.trigger_word") or "")
        card = NO_CARD if given.card is None else _card(given, family)
        return Wish(name, base, Path(images), trigger, card, preset.path.name, said)
    word = "trigger word: one that the base model does not know"
    trigger = given.trigger or _ask(word, "--trigger", _word)
    card = NO_CARD if base == DEMO else _card(given, family)
    return Wish(name, base, Path(images), trigger, card)


def _here(path: Any) -> str:
    """A path that a preset names, if it is there; most were written on another machine or day."""
    return str(path) if path and Path(str(path)).exists() else ""


def _card(given: argparse.Namespace, family: str) -> int:
    """The size of card whose settings are taken: as said, as found, or as answered."""
    if given.card is not None:
        return int(given.card)
    sizes = card_sizes(family)
    if found := cards():
        return fitting(family, max(card.gigabytes for card in found))
    known = ", ".join(map(str, sizes))
    answer = _ask(f"memory of your card in GB ({known}; 0 for none)", "--card", _number)
    return NO_CARD if not int(answer) else fitting(family, int(answer))


def _ask(question: str, option: str, check: Callable[[str], None]) -> str:
    """The answer of somebody at a terminal, asked again until it can be used.

    Raises:
        ConfigError: Nobody is there to answer.
    """
    if not sys.stdin.isatty():
        raise ConfigError(f"{option} is needed: {question}")
    while True:
        try:
            answer = input(f"{question}: ").strip().strip("'\"")
            check(answer)
            return answer
        except EOFError as error:
            raise ConfigError(f"{option} is needed: {question}") from error
        except LoraLabError as error:
            print(error)


def _model(answer: str) -> None:
    family_of(answer)


def _images(answer: str) -> None:
    folder = Path(answer).expanduser()
    if answer and folder.is_file() and is_dataset_file(folder):
        return
    if not answer or not folder.is_dir():
        raise ConfigError(f"--images {answer}: there is no such folder")
    if not images_below(folder)[0]:
        raise ConfigError(f"--images {answer}: there are no images in it")


def _word(answer: str) -> None:
    if not answer:
        raise ConfigError("--trigger: one word is needed, such as mikocat")


def _number(answer: str) -> None:
    if whole_number(answer) is None:
        raise ConfigError(f"--card {answer}: a number of GB is needed, such as 12")
