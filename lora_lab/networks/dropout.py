"""Dropout masks of sd-scripts' three kinds, and LyCORIS', each run's from its own stream.

A run's masks are a function of (its seed for this micro-step, the module's name, its own batch): they do not
depend on pack-mates, on padding, or on the order in which modules run, and a recomputed forward (gradient
checkpointing) draws the same ones again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_lab.networks.spec import AdapterSpec


def stream_seed(seed: int, name: str) -> int:
    """A 63-bit seed for one module's stream, the same on every machine."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@dataclass(frozen=True)
class Draw:
    """The dropout of one run in one micro-step."""

    spec: AdapterSpec
    seed: int

    def mask(self, name: str, kind: str, hidden: Tensor, rank_dim: int, part: int) -> Tensor | None:
        """The factor on a run's hidden values, or None when its whole module is dropped.

        `hidden` is `(n, T, r_max)` with `rank_dim` 2, or `(n, r_max, L)` with `rank_dim` 1. The mask covers
        the run's own ranks only. `part` counts the pieces into which a batch of the run is cut (0 as a rule).
        Rules (sd-scripts LoRAModule): module dropout is one draw per module and batch; network dropout one
        per activation, scaled by 1 / (1 - p); rank dropout one per sample and rank, scaled likewise.
        """
        spec, device = self.spec, hidden.device
        seed = stream_seed(self.seed, name if part == 0 else f"{name}/{part}")
        if self.drops_module(name):
            return None
        generator = torch.Generator(device).manual_seed(seed)
        shape = list(hidden.shape)
        shape[rank_dim] = spec.rank(kind, name)
        mask = torch.ones((), device=device, dtype=hidden.dtype)
        if spec.network_dropout:
            keep = torch.rand(shape, device=device, generator=generator) >= spec.network_dropout
            mask = keep.to(hidden.dtype).div_(1 - spec.network_dropout)
        if spec.rank_dropout:
            shape[3 - rank_dim] = 1
            keep = torch.rand(shape, device=device, generator=generator) >= spec.rank_dropout
            mask = keep.to(hidden.dtype).div_(1 - spec.rank_dropout) * mask
        return mask.expand(1, 1, 1) if mask.dim() == 0 else mask

    def drops_module(self, name: str) -> bool:
        """Whether module dropout takes this module out for the run's whole batch."""
        rate = self.spec.module_dropout
        return rate > 0 and _unit(stream_seed(self.seed, name + "/module")) < rate

    def kept_rows(self, name: str, rows: int, like: Tensor) -> Tensor | None:
        """LyCORIS' rank dropout: which rows of a weight difference stay, `(rows,)` of 0 and 1; None for all.

        One draw per module and batch, not scaled up (LyCORIS' `rank_dropout_scale` off).
        """
        if not self.spec.rank_dropout:
            return None
        generator = torch.Generator(like.device).manual_seed(stream_seed(self.seed, name))
        kept = torch.rand(rows, device=like.device, generator=generator) >= self.spec.rank_dropout
        return kept.to(like.dtype)


def apply_mask(hidden: Tensor, mask: Tensor | None, rank_dim: int) -> None:
    """Multiply a run's `hidden` in place by its mask; None sets it to zero (also where it is not finite)."""
    if mask is None:
        hidden.zero_()
    elif mask.shape[rank_dim] == 1:
        hidden.mul_(mask)
    else:
        hidden.narrow(rank_dim, 0, mask.shape[rank_dim]).mul_(mask)


def _unit(seed: int) -> float:
    return seed / 2.0**63
