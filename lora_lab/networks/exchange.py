"""Adapters to and from tensors with the names that files use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_lab.errors import ModelError
from lora_lab.networks import keys
from lora_lab.networks.arena import Arena, Site
from lora_lab.networks.spec import AdapterSpec


@dataclass
class Factors:
    """The low-rank term of one module of a file, up @ down x alpha / rank (alpha None: rank)."""

    down: Tensor
    up: Tensor
    alpha: float | None = None

    @property
    def rank(self) -> int:
        """Number of rows of `down`."""
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        """alpha / rank."""
        return 1.0 if self.alpha is None else self.alpha / self.rank


def to_file(
    arena: Arena, sites: Sequence[Site], slot: int, spec: AdapterSpec, dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """CPU copies in kohya's names and shapes: down `(r, i)`, `(r, c, kh, kw)`; up `(o, r)` or 4-D."""
    tensors: dict[str, Tensor] = {}
    for site in sites:
        kind, name = site.target.kind, site.target.name
        rank = spec.rank(kind, name)
        down = arena.stacked(arena.masters, site.down)[slot, :rank]
        up = arena.stacked(arena.masters, site.up)[slot, :rank].mT
        up_shape = (site.up.width, rank, 1, 1) if site.kernel else (site.up.width, rank)
        own = dtype or arena.masters.dtype
        down_shape = (rank, -1, *site.kernel) if site.kernel else (rank, -1)
        tensors[f"{name}.lora_down.weight"] = down.reshape(down_shape).to("cpu", own, copy=True)
        tensors[f"{name}.lora_up.weight"] = up.to("cpu", own, copy=True).contiguous().view(up_shape)
        tensors[f"{name}.alpha"] = torch.tensor(spec.alpha(kind, name), dtype=own)
    return tensors


def from_file(
    arena: Arena, sites: Sequence[Site], slot: int, spec: AdapterSpec, tensors: Mapping[str, Tensor]
) -> None:
    """Put a file's tensors into a run's row, so that the weight differences are the file's.

    A smaller rank fills the first ranks and leaves the rest as it was initialised, with zero ups; another
    alpha is made up for in the ups. Raises `ModelError` that names every module that is unknown, missing or
    misshapen.
    """
    factors = read_factors(tensors, {site.target.name: site.target.path for site in sites})
    problems = list(_mismatches(sites, spec, factors))
    if problems:
        more = f"\n... and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise ModelError("the LoRA file does not fit this network:\n" + "\n".join(problems[:8]) + more)
    for site in sites:
        found = factors[site.target.name]
        factor = found.scale / spec.scale(site.target.kind, site.target.name)
        row_down = arena.stacked(arena.masters, site.down)[slot]
        row_up = arena.stacked(arena.masters, site.up)[slot]
        row_down[: found.rank].copy_(found.down.reshape(found.rank, -1))
        row_up.zero_()
        row_up[: found.rank].copy_(found.up.reshape(-1, found.rank).mT)
        if factor != 1.0:
            row_up[: found.rank].mul_(factor)


def read_factors(tensors: Mapping[str, Tensor], paths: Mapping[str, str]) -> dict[str, Factors]:
    """Group a file's tensors by module, under kohya's names as the base model of `paths` (name -> module
    path) has them.

    Understands kohya and LyCORIS LoCon names (for SDXL with either block naming) and those of diffusers and
    PEFT.
    """
    aliases = _aliases(paths)
    sides: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        module, what = _split(key)
        sides.setdefault(aliases.get(module, module), {})[what] = value
    incomplete = sorted(name for name, found in sides.items() if not {"down", "up"} <= found.keys())
    if incomplete:
        raise ModelError(f"the LoRA file lacks lora_down or lora_up of: {', '.join(incomplete[:5])}")
    return {
        name: Factors(found["down"], found["up"], float(found["alpha"]) if "alpha" in found else None)
        for name, found in sides.items()
    }


def _aliases(paths: Mapping[str, str]) -> dict[str, str]:
    """Other names of the same modules: underscored diffusers paths."""
    aliases = {}
    for name, path in paths.items():
        prefix = re.match(r"lora_(unet|te1|te2|te)_", name)
        inner = (
            path
            if prefix is None or prefix[1] == "unet" or path.startswith("text_model.")
            else "text_model." + path
        )
        part = {"te": "te1"}.get(prefix[1], prefix[1]) if prefix else "unet"
        aliases[f"lora_{part}_{inner.replace('.', '_')}"] = name
        aliases[f"lora_{part}_{inner.replace('.', '_').removeprefix('text_model_')}"] = name
    return aliases


def _split(key: str) -> tuple[str, str]:
    """(module name in kohya's spelling, "down" | "up" | "alpha") of a tensor's key."""
    found = keys.split(key)
    if found is None:
        raise ModelError(f"{key}: not the name of a LoRA tensor")
    if found[1] not in ("down", "up", "alpha"):
        kind = keys.network_kind(found[1])
        raise ModelError(f"{key}: this is a {kind} network; only LoRA and LoCon can be read")
    return found


def _mismatches(sites: Sequence[Site], spec: AdapterSpec, factors: Mapping[str, Factors]):
    known = {site.target.name for site in sites}
    for name in sorted(factors.keys() - known):
        hint = "" if spec.train_text_encoder or "_te" not in name else "; the run trains the U-Net only"
        yield f"{name}: not a module of this network (network.preset={spec.preset}){hint}"
    for site in sites:
        name, found = site.target.name, factors.get(site.target.name)
        if found is None:
            yield f"{name}: missing in the file"
            continue
        rank = found.rank
        largest = spec.rank(site.target.kind, name)
        key = "conv_dim" if site.target.kind == "conv" else "network_dim"
        if rank > largest:
            yield f"{name}: rank {rank} in the file, network.{key}={largest}; set network.{key}={rank}"
        elif found.down.numel() != rank * site.down.width or found.up.numel() != rank * site.up.width:
            shapes = f"{tuple(found.down.shape)}, {tuple(found.up.shape)}"
            yield f"{name}: shapes {shapes}; the base model needs {site.down.width} in, {site.up.width} out"
