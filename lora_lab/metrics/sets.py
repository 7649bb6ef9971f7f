"""Metrics of a checkpoint's previews as a whole: likeness to references, prompts, variety, drift, copies.

CLIP-I, CLIP-T and DINO as in Ruiz et al. 2023 (DreamBooth), section 4.1; there, differences of 0.1 (DINO) and
0.05 (CLIP-T) showed in what people preferred. They see the whole image, background included, and agree with
people only so far: `lora-lab verdict` says how far they agree with you.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lora_lab.metrics.phash import nearest
from lora_lab.metrics.registry import METRICS, Numbers, set_names

if TYPE_CHECKING:
    import torch

    from lora_lab.metrics.embed import Embedder

COPY_FROM = 1 - 6 / 64
"""A preview whose pHash is this like a training image's is flagged as a copy."""
COPY = "like a training image"
COPY_FLAGS = (COPY, "like a training picture")
"""The flag, and as older records have it."""


@dataclass(frozen=True)
class Shown:
    """One preview: `text` is what it shows in words that CLIP knows, `base` the bare base model's image."""

    image: Image.Image
    text: str
    prompt: int
    seed: int
    strength: float
    base: Image.Image | None = None


@dataclass(frozen=True)
class Models:
    """Where the models are, where embeddings are kept, and what computes them."""

    clip_model: str | None
    dino_model: str | None
    cache: Path
    device: torch.device

    @cached_property
    def clip(self) -> Embedder:
        """The CLIP model.

        Raises:
            ModelError: It cannot be used.
        """
        return self._embedder("clip", self.clip_model)

    @cached_property
    def dino(self) -> Embedder:
        """The DINO model.

        Raises:
            ModelError: It cannot be used.
        """
        return self._embedder("dino", self.dino_model)

    def _embedder(self, kind: str, where: str | None) -> Embedder:
        from lora_lab.metrics.embed import Embedder, find_model

        return Embedder(kind, find_model(kind, where or ""), self.cache, self.device)


@dataclass(frozen=True)
class PreviewSet:
    """All previews of a checkpoint, what they are held against, and the models.

    Attributes:
        references: Images that previews should be like; best ones that were not trained on.
        training: Images that were trained on, for the copy check.
    """

    shown: Sequence[Shown]
    references: Sequence[Image.Image]
    training: Sequence[Image.Image]
    models: Models


@dataclass
class SetNumbers:
    """Numbers of each preview, in order, and of the checkpoint; `flags` are of previews."""

    each: list[Numbers]
    whole: Numbers = field(default_factory=dict)
    flags: list[list[str]] = field(default_factory=list)


def measure_set(previews: PreviewSet, names: list[str]) -> SetNumbers:
    """Apply all named metrics of sets.

    Raises:
        ModelError: A model cannot be used.
    """
    total = SetNumbers([{} for _ in previews.shown], {}, [[] for _ in previews.shown])
    for name in set_names(names):
        found: SetNumbers = METRICS[name].function()(previews)
        for mine, new in zip(total.each, found.each, strict=True):
            mine.update(new)
        total.whole.update(found.whole)
        for flags, new_flags in zip(total.flags, found.flags or [[] for _ in total.flags], strict=True):
            flags += new_flags
    return total


def clip_i(previews: PreviewSet) -> SetNumbers:
    """Mean cosine of a preview's and every reference's CLIP embeddings."""
    return _to_references("clip_i", previews, previews.models.clip)


def dino(previews: PreviewSet) -> SetNumbers:
    """Mean cosine of a preview's and every reference's DINO embeddings."""
    return _to_references("dino", previews, previews.models.dino)


def _to_references(name: str, previews: PreviewSet, model: Embedder) -> SetNumbers:
    if not previews.references:
        return SetNumbers([{name: None} for _ in previews.shown])
    cosines = model.images(_images(previews)) @ model.images(previews.references).T
    return _each(name, cosines.mean(axis=1))


def clip_t(previews: PreviewSet) -> SetNumbers:
    """Cosine of a preview's and its prompt's CLIP embeddings."""
    images = previews.models.clip.images(_images(previews))
    texts = previews.models.clip.texts([item.text for item in previews.shown])
    return _each("clip_t", (images * texts).sum(axis=1))


def drift(previews: PreviewSet) -> SetNumbers:
    """Half of 1 - cosine of a preview's and the base model's DINO embeddings, as PEFT's comparison has it."""
    pairs = [item for item in previews.shown if item.base is not None]
    own = previews.models.dino.images([item.image for item in pairs]) if pairs else np.zeros((0, 1))
    bases = previews.models.dino.images([item.base for item in pairs if item.base]) if pairs else own
    values = iter((1 - (own * bases).sum(axis=1)) / 2)
    return SetNumbers(
        [{"drift": None if item.base is None else float(next(values))} for item in previews.shown]
    )


def diversity(previews: PreviewSet) -> SetNumbers:
    """Mean 1 - cosine of DINO embeddings over pairs of seeds of one prompt, at the strength nearest 1."""
    nothing: list[Numbers] = [{} for _ in previews.shown]
    at = min((item.strength for item in previews.shown), key=lambda value: abs(value - 1), default=1.0)
    shown = [item for item in previews.shown if item.strength == at]
    pairs = [
        (one, other)
        for one, other in combinations(range(len(shown)), 2)
        if shown[one].prompt == shown[other].prompt
    ]
    if not pairs:
        return SetNumbers(nothing, {"diversity": None})
    vectors = previews.models.dino.images([item.image for item in shown])
    distances = [1 - float(vectors[one] @ vectors[other]) for one, other in pairs]
    return SetNumbers(nothing, {"diversity": sum(distances) / len(distances)})


def copies(previews: PreviewSet) -> SetNumbers:
    """How like the nearest training image a preview is, mirrored ones included; 1 is the same image."""
    if not previews.training:
        return SetNumbers([{"copy_phash": None} for _ in previews.shown])
    alike = [nearest(item.image, previews.training) for item in previews.shown]
    found = _each("copy_phash", alike)
    found.flags = [[COPY] if value >= COPY_FROM else [] for value in alike]
    if previews.models.dino_model:
        model = previews.models.dino
        cosines = model.images(_images(previews)) @ model.images(previews.training).T
        for numbers, value in zip(found.each, cosines.max(axis=1), strict=True):
            numbers["copy_dino"] = float(value)
    return found


def _images(previews: PreviewSet) -> list[Image.Image]:
    return [item.image for item in previews.shown]


def _each(name: str, values: Any) -> SetNumbers:
    return SetNumbers([{name: float(value)} for value in values])
