"""Rendering a copier: the two LoRAs at the empty prompt, and their difference at several strengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from lora_lab.files import replacing
from lora_lab.lora_files.factors import Factors
from lora_lab.lora_files.reading import read
from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import AdapterSpec
from lora_lab.preview import Shot, render
from lora_lab.resolved import Resolved
from lora_lab.run.adapter import adapter_spec
from lora_lab.run.prepare import load_base, pick_device
from lora_lab.run.previews import render_settings

BARE, LORA_A, LORA_B, COPIER = -1, 0, 1, 2
"""Slots of the pack."""


@dataclass(frozen=True)
class Files:
    """The LoRA files that are shown."""

    a: Path
    b: Path
    copier: Path
    modules: dict[str, Factors]
    """The copier's modules: their largest rank is that of its slot."""


def shots(resolved: Resolved, strengths: Sequence[float], merged: bool) -> list[Shot]:
    """What is rendered: the bare model, A and B without a prompt, then prompts x seeds x strengths."""
    own, skip = resolved.preview, resolved.preview.clip_skip or 1
    seed = own.seeds[0]
    alone = [(BARE, 0.0), (LORA_A, 1.0)] + ([] if merged else [(LORA_B, 1.0)])
    found = [Shot(slot, "", seed, strength, skip) for slot, strength in alone]
    found += [
        Shot(COPIER if strength else BARE, text, seed, strength, skip, own.negative_prompt)
        for text in own.prompts
        for seed in own.seeds
        for strength in strengths
    ]
    return found


def show(resolved: Resolved, device: str, files: Files, wanted: Sequence[Shot]) -> Iterator[Image.Image]:
    """Render shots on the base model of a run (that of A: nothing is merged into it)."""
    base = load_base(resolved, pick_device(device))
    own = replace(adapter_spec(resolved, base), network_dropout=0.0, rank_dropout=0.0, module_dropout=0.0)
    specs = [own, own, _spec(own, files.modules)]
    pack = Pack(base.unet, base.text_encoders, base.family, specs,
                compute_dtype=base.dtype, master_dtype=base.dtype)  # fmt: skip
    pack.attach()
    for slot, (spec, file) in enumerate(zip(specs, (files.a, files.b, files.copier), strict=True)):
        pack.occupy(slot, spec)
        pack.load(slot, read(file))
    yield from render(base, pack, wanted, render_settings(resolved))


def _spec(own: AdapterSpec, modules: dict[str, Factors]) -> AdapterSpec:
    """The runs' adapter with room for the difference, whatever form they were trained in."""
    spatial = [item.rank for item in modules.values() if item.down.dim() == 4 and item.down.shape[2] > 1]
    plain = [item.rank for item in modules.values() if item.down.dim() == 2 or item.down.shape[2] == 1]
    dim = max(plain or spatial)
    conv = max(spatial, default=0) if own.conv_dim else 0
    return replace(
        own, form="lora", network_dim=dim, network_alpha=float(dim), conv_dim=conv, conv_alpha=float(conv)
    )


def keep(image: Image.Image, path: Path) -> Path:
    """Write an image as PNG, atomically."""
    with replacing(path) as temporary:
        image.save(temporary, "PNG")
    return path
