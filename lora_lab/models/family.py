"""What a base-model family is: data, no behaviour. Importable without torch."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class EncoderSpec:
    """One text encoder of a family, and how its states become the U-Net's condition."""

    component: str
    """Its folder in a diffusers model: `text_encoder` or `text_encoder_2`."""
    tokenizer: str
    """Its tokenizer's folder."""
    prefixes: tuple[str, ...]
    """Where its tensors stand in a single-file checkpoint; the first is the one that is written."""
    layout: str
    """`hf` (CLIP as transformers names it) or `open_clip` (fused projections)."""
    pad_id: int | None
    """Padding of the packaged tokenizer; None pads with the end-of-text id."""
    penultimate: bool = False
    """True: always the penultimate layer without final layer norm (SDXL); False: clip skip decides."""
    pooled: bool = False
    """True: its projected state at the first end-of-text token is the pooled condition."""


@dataclass(frozen=True)
class Family:
    """A base-model family. A new one is a module that defines `FAMILY`, and a row in `families.FAMILIES`."""

    name: str
    title: str
    encoders: tuple[EncoderSpec, ...]
    configs: Mapping[str, str]
    """Prediction type to the folder under `configs/` that describes a single file; the first is the guess."""
    pipeline_classes: tuple[str, ...]
    """Names of diffusers pipelines in `model_index.json`; the first is the one that `pipeline` makes."""
    width: int
    """Cross-attention width of the public models."""
    hidden_act: str
    """Activation of the first text encoder of the public models."""
    size_conditioning: bool = False
    """Whether the U-Net is told original size, crop and target size."""
