"""A first sweep file for somebody's images: a commented text, with what the family and the card ask for."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lora_lab import config
from lora_lab.counts import counted
from lora_lab.data.folder import contents, numbered_name
from lora_lab.data.toml import is_dataset_file
from lora_lab.errors import ConfigError
from lora_lab.models.families import FAMILIES
from lora_lab.models.identify import identify
from lora_lab.sweep.text import value_text

DEMO = "demo"
EPOCH, DEMO_EPOCH = 300, 90
"""Samples of one epoch that repeats of a plain folder make, about; the demo's small model learns faster."""
NO_CARD = 0
"""The card of a machine that has none, or of the demo, which needs none."""


@dataclass(frozen=True)
class Wish:
    """What a first sweep is to be made of.

    Attributes:
        base: A checkpoint, a diffusers folder, or demo.
        card: The GPU's memory in GB; `NO_CARD` leaves memory alone.
        preset: What a file is called that says what the reference is to be; '' for none.
        settings: What it says, by dotted key.
    """

    name: str
    base: str
    images: Path
    trigger: str
    card: int = NO_CARD
    preset: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Axis:
    """One question: rows that change one setting, and why they are there."""

    why: str
    rows: tuple[tuple[str, str], ...]


def card_sizes(family: str) -> tuple[int, ...]:
    """The sizes of cards in GB that a family has settings for, ascending."""
    return tuple(sorted(FAMILIES[family].cards))


def fitting(family: str, gigabytes: float) -> int:
    """The largest of `card_sizes` that a card of this memory has; the smallest where it has less.

    Cards report a little less than they are sold with: 11.6 is 12.
    """
    sizes = card_sizes(family)
    return max((size for size in sizes if size <= gigabytes + 0.75), default=sizes[0] if sizes else NO_CARD)


def family_of(base: str) -> str:
    """The family of a base model.

    Raises:
        ModelError: There is no usable model.
    """
    return identify(base).family


def text(wish: Wish) -> str:
    """The sweep file.

    Raises:
        ConfigError: The folder of images is not there, or the card has no settings.
        ModelError: There is no usable base model.
    """
    family = FAMILIES[family_of(wish.base)]
    choice = DEMO if wish.base == DEMO else family.conf
    if wish.card != NO_CARD and wish.card not in family.cards:
        known = ", ".join(map(str, card_sizes(family.name)))
        raise ConfigError(f"--card {wish.card}: settings for {family.title} are there for {known} GB")
    memory = list(family.cards.get(wish.card, ()))
    optimizer = next((word for word in memory if word.startswith("optimizer=")), "optimizer=adamw")
    start = _preset(wish, choice) if wish.preset else [optimizer, *_start(choice, optimizer)]
    chosen = "optimizer" if any(word.startswith("optimizer") for word in start) else ""
    memory = [word for word in memory if config.key_of(word) not in {*wish.settings, chosen}]
    found = config.compose([f"base_model={choice}", *memory, *start], checked=False)
    reference = "Where the others start from: every row below changes one thing of this."
    if wish.preset:
        reference = f"The reference of all rows below: what {wish.preset} says, where that is no default."
    parts = [
        _head(wish, family.title if choice != DEMO else "the embedded demo model"),
        "base:",
        *_lines([(f"base_model={choice}", ""), *_model(wish)]),
        *_lines(_images(wish)),
        f"  # {reference}",
        *_lines([(word, "") for word in start]),
        *_memory(wish, memory),
        "",
        "patterns:",
        '  reference: []',
    ]  # fmt: skip
    for axis in _axes(found):
        parts.append(f"  # {axis.why}")
        parts += [f"  {name}: [{word}]" for name, word in axis.rows]
    parts += [
        "",
        "# The noise floor: the reference with two other seeds; without it nothing can be told from luck.",
        "replicates: 3",
        "",
    ]
    return "\n".join(parts)


def _head(wish: Wish, title: str) -> str:
    asked = "Which setting moves likeness most" + (f", for {wish.trigger}?" if wish.trigger else "?")
    question = yaml.safe_dump(asked, width=1000, allow_unicode=True).strip()
    file, name = shlex.quote(f"{wish.name}.yaml"), shlex.quote(wish.name)
    return f"""# A first sweep on {title}, written by `lora-lab new`. Everything in it may be changed.
#
#   lora-lab plan {file}      what it will do, and what it will be able to tell
#   lora-lab sweep {file}     do it; the same command goes on where it was stopped
#   lora-lab review {name}         score the images blind
#   lora-lab verdict {name}        what your scores support

question: {question.splitlines()[0]}
"""


def _model(wish: Wish) -> list[tuple[str, str]]:
    if wish.base == DEMO:
        return []
    return [(_set("base_model.path", str(Path(wish.base).expanduser().resolve())), "")]


def _images(wish: Wish) -> list[tuple[str, str]]:
    """Settings of the images: repeats for a plain folder, and the trigger in front of every caption."""
    folder = wish.images.expanduser()
    words = [(_set("dataset.path", str(folder.resolve())), "")]
    is_file = folder.is_file() and is_dataset_file(folder)
    if not is_file and not folder.is_dir():
        raise ConfigError(f"--images {wish.images}: there is no such folder")
    within = contents(folder) if not is_file else None
    if within and within.images and not numbered_name(folder) and "dataset.repeats" not in wish.settings:
        epoch = DEMO_EPOCH if wish.base == DEMO else EPOCH
        repeats = max(1, round(epoch / len(within.images)))
        images = len(within.images)
        count = f"{counted(images, 'image')}: {counted(repeats * images, 'sample')} an epoch"
        words.append((f"dataset.repeats={repeats}", count))
    if wish.trigger:
        note = "put in front of every caption that lacks it; {trigger} in preview prompts"
        words.append((_set("dataset.trigger_word", wish.trigger), note))
    return words


def _preset(wish: Wish, choice: str) -> list[str]:
    """What the preset says and the defaults do not, as overrides; not what the wish has, or a run's name."""
    usual = config.flat(config.compose([f"base_model={choice}"], checked=False))
    own = {"base_model.path", "base_model.family", "dataset.path", "dataset.trigger_word", "name", "sweep"}
    kept = [key for key in config.settings() if key in wish.settings and key not in own]
    kept += [key for key in wish.settings if key not in {*kept, *own}]  # arguments of optimizers
    told = {key: wish.settings[key] for key in kept}
    return [f"{key}={value_text(value)}" for key, value in told.items() if usual.get(key, told) != value]


def _memory(wish: Wish, words: Sequence[str]) -> list[str]:
    if not words:
        return []
    return [f"  # What fits a card of {wish.card} GB (reckoned; more runs in a pack are faster).",
            *_lines([(word, "") for word in words])]  # fmt: skip


def _start(choice: str, optimizer: str) -> list[str]:
    """Learning rate, dim and alpha of the reference, written out so that they can be changed."""
    if choice == DEMO:  # a small model takes a high rate; these are the demo's own
        return ["optimizer.learning_rate=3e-3", "network.network_dim=8", "network.network_alpha=8"]
    found = config.compose([f"base_model={choice}", optimizer], checked=False)
    rate = found.optimizer.learning_rate
    return [
        *([f"optimizer.learning_rate={rate:g}"] if rate else []),
        f"network.network_dim={found.network.network_dim}",
        f"network.network_alpha={found.network.network_alpha:g}",
    ]


def _axes(found: config.RunConfig) -> list[_Axis]:
    """First questions of a reference, those first that usually move most."""
    network, optimizer = found.network, found.optimizer
    own = optimizer.unet_lr is not None
    rate, dim = optimizer.unet_lr if own else optimizer.learning_rate, network.network_dim
    alpha = f"{dim}" if network.network_alpha == 1 else "1"
    axes = [
        _Axis(
            "Length. Checkpoints show shorter runs, so that only the longer one is a row.",
            (_longer(found),),
        ),
        _Axis(
            "Capacity: the rank of the network. Its scale is alpha / dim, which halves here.",
            ((f"dim-{2 * dim}", f"network.network_dim={2 * dim}"),),
        ),
        _Axis(
            "Alpha alone scales every step: a low one is a lower rate.",
            ((f"alpha-{alpha}", f"network.network_alpha={alpha}"),),
        ),
    ]
    if rate:
        why = "Learning rate, a third and three times of the reference's: the first thing to get right."
        key = "optimizer.unet_lr" if own else "optimizer.learning_rate"
        low, high = (f"{key}={value:.1g}" for value in (rate / 3, rate * 3))
        axes.insert(0, _Axis(why, (("lr-low", low), ("lr-high", high))))
    if network.train_text_encoder:
        why = "Without training the text encoder: often cleaner, and cheaper."
        axes.append(_Axis(why, (("unet-only", "network.train_text_encoder=false"),)))
    return axes


def _longer(found: config.RunConfig) -> tuple[str, str]:
    """A row of twice the length."""
    if found.train.max_train_steps:
        return "longer", f"train.max_train_steps={2 * found.train.max_train_steps}"
    return "longer", f"train.max_train_epochs={2 * (found.train.max_train_epochs or 10)}"


def _lines(words: Sequence[tuple[str, str]]) -> list[str]:
    lines = []
    for word, note in words:
        written = yaml.safe_dump(word, width=10_000, allow_unicode=True).splitlines()[0]
        lines.append(f"  - {written}" + (f"  # {note}" if note else ""))
    return lines


def _set(key: str, value: str) -> str:
    return f"{key}={config.quoted(value)}"
