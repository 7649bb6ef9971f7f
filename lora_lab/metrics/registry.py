"""The known metrics by name; adding one is a function and an entry here. Without torch until one needs it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from lora_lab.config import nearest
from lora_lab.errors import ConfigError
from lora_lab.findings import Findings, refused
from lora_lab.metrics import basic

Numbers = dict[str, float | None]


@dataclass(frozen=True)
class MetricEntry:
    """One metric.

    Attributes:
        doc: What its number means and how it is to be read.
        target: The function, as module:name. One of a preview takes (image, base model's image or None) and
            gives numbers; one of a set takes a `sets.PreviewSet` and gives a `sets.SetNumbers`.
        of_set: It needs all previews of a checkpoint at once, or models and training images.
        needs: The settings that have to name a model.
        less_is_better: Those of its numbers that a LoRA without any effect has the best of: they say what is
            wrong, not what works.
        describing: Those of its numbers that say how an image looks, and not whether it is good.
        of_100: Its number runs from 0 to 100, as people's scores do.
        stands_for_score: Plots and reports judge by it where nobody gave a score; the first in the registry
            that was measured.
        on_sheets: Its number stands beside the previews on contact sheets, rounded.
    """

    doc: str
    target: str
    of_set: bool = False
    needs: tuple[str, ...] = ()
    less_is_better: tuple[str, ...] = ()
    describing: tuple[str, ...] = ()
    of_100: bool = False
    stands_for_score: bool = False
    on_sheets: bool = False

    def function(self) -> Callable[..., Any]:
        """The function, imported now."""
        module, name = self.target.split(":")
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return found


CLIP, DINO = "metric.clip_model", "metric.dino_model"

METRICS: Mapping[str, MetricEntry] = {
    "basic": MetricEntry(
        "brightness, contrast, sharpness, distance from the base's image",
        "lora_lab.metrics.basic:numbers",
        less_is_better=("base_distance",),
        describing=("brightness", "contrast", "sharpness"),
    ),
    "likeness": MetricEntry(
        "how much of the demo's character is there, 0 to 100",
        "lora_lab.metrics.demo:likeness",
        of_100=True,
        stands_for_score=True,
        on_sheets=True,
    ),
    "clip_i": MetricEntry(
        "CLIP-I: mean cosine of CLIP embeddings of previews and references; higher is more alike",
        "lora_lab.metrics.sets:clip_i",
        True,
        (CLIP,),
        stands_for_score=True,
    ),
    "dino": MetricEntry(
        "mean cosine of DINO embeddings of previews and references; higher is more alike",
        "lora_lab.metrics.sets:dino",
        True,
        (DINO,),
        stands_for_score=True,
    ),
    "clip_t": MetricEntry(
        "CLIP-T: mean cosine of CLIP embeddings of previews and their prompts; higher obeys prompts more",
        "lora_lab.metrics.sets:clip_t",
        True,
        (CLIP,),
        stands_for_score=True,
    ),
    "diversity": MetricEntry(
        "mean 1 - cosine of DINO embeddings among previews of one prompt; higher is more varied",
        "lora_lab.metrics.sets:diversity",
        True,
        (DINO,),
    ),
    "drift": MetricEntry(
        "(1 - cosine) / 2 of DINO embeddings of a preview and the base model's image; 0 is no change",
        "lora_lab.metrics.sets:drift",
        True,
        (DINO,),
        less_is_better=("drift",),
    ),
    "copy": MetricEntry(
        "nearest training image, by pHash (and DINO where metric.dino_model is set); 1 is the same image",
        "lora_lab.metrics.sets:copies",
        True,
        less_is_better=("copy_phash", "copy_dino"),
    ),
}

NUMBERS: Mapping[str, str] = {
    number: name
    for name, entry in METRICS.items()
    for number in (*entry.describing, *entry.less_is_better) or (name,)
}
"""The metric that each number comes from: likeness of likeness, copy_phash of copy."""
LESS_IS_BETTER = tuple(number for entry in METRICS.values() for number in entry.less_is_better)
PEOPLE = "score"
"""The judge that is no metric: the scores that people give, from 0 to 100."""
OF_100 = (PEOPLE, *(name for name, entry in METRICS.items() if entry.of_100))
"""Judges whose numbers run from 0 to 100."""
DESCRIBING = tuple(number for entry in METRICS.values() for number in entry.describing)


def stand_in(measured: Collection[str]) -> str | None:
    """The metric that stands for people's scores where there are none, of those that were measured."""
    able = (name for name, entry in METRICS.items() if entry.stands_for_score)
    return next((name for name in able if name in measured), None)


@dataclass
class Measured:
    """What all chosen metrics of single previews say of one preview."""

    numbers: Numbers = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)


def metric_names(names: list[str]) -> list[str]:
    """The names, checked.

    Raises:
        ConfigError: One of them is not in the registry.
    """
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise ConfigError(
            f"metric.names={unknown[0]}: there is no such metric{nearest(unknown[0], METRICS) or ';'} "
            f"known: {', '.join(METRICS)}"
        )
    return names


def set_names(names: list[str]) -> list[str]:
    """Those of the names that need all previews of a checkpoint; what is no metric is passed over."""
    return [name for name in names if name in METRICS and METRICS[name].of_set]


def check(names: list[str], models: Mapping[str, str | None]) -> Findings:
    """Refuse metrics that are none, or whose model is not named or not there.

    Args:
        names: Keys of `METRICS`, as asked for.
        models: What `CLIP` and `DINO` are set to.
    """
    try:
        metric_names(names)
    except ConfigError as error:
        return refused(str(error))
    missing = {key: [name for name in names if key in METRICS[name].needs] for key in (CLIP, DINO)}
    texts = [
        f"metric.names has {', '.join(needing)}: set {key} to a folder with the model, or leave "
        f"{'it' if len(needing) == 1 else 'them'} out"
        for key, needing in missing.items()
        if needing and not models[key]
    ]
    texts += [
        f"{key}={where}: there is no such folder, and it is no name on the hub (owner/model)"
        for key in (CLIP, DINO)
        if (where := models[key]) and set_names(names) and not _may_be_a_model(where)
    ]
    return refused(*texts)


def _may_be_a_model(where: str) -> bool:
    named = where.count("/") == 1 and where[0] not in "./~"
    return named or Path(where).expanduser().is_dir()


def measure(image: Image.Image, base: Image.Image | None, strength: float, names: list[str]) -> Measured:
    """Apply the named metrics of single previews to one; flags are always looked for.

    Args:
        image: The preview.
        base: The bare base model's image of the same prompt and seed, or None.
        strength: LoRA strength it was rendered with; at 0 it is meant to equal the base.
        names: Keys of `METRICS`; those of whole sets are passed over.
    """
    found = Measured()
    for name in metric_names(names):
        if not METRICS[name].of_set:
            found.numbers.update(METRICS[name].function()(image, base))
    distance = basic.numbers(image, base)["base_distance"]
    found.flags = basic.flags(image, distance, strength)
    return found
