"""Max-norm regularisation (`scale_weight_norms`) without building any weight difference.

||U D||_F^2 = sum((U^T U) * (D D^T)): two small Gram matrices, in float64 because their product cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lora_lab.networks.arena import Arena, Site
from lora_lab.networks.spec import AdapterSpec


@dataclass(frozen=True)
class MaxNorm:
    """How many modules were scaled down, and mean and largest norm of alpha / dim * up @ down after it."""

    scaled: int
    mean: float
    max: float


def limit_norms(
    arena: Arena, sites: Sequence[Site], slot: int, spec: AdapterSpec, limit: float | None
) -> MaxNorm:
    """Scale both factors of every module whose norm n exceeds `limit` by sqrt(limit / n) (sd-scripts).

    `limit` None only measures. One synchronisation with the device.
    """
    by_shape: dict[tuple, list[Site]] = {}
    for site in sites:
        by_shape.setdefault((site.down.width, site.up.width, site.target.kind), []).append(site)
    norms = []
    for members in by_shape.values():
        norms.append(_limit_shape(arena, members, slot, spec, limit))
    found = torch.cat(norms)
    if limit is None:
        return _summary(found, torch.zeros_like(found, dtype=torch.bool))
    return _summary(found.clamp(max=limit), found > limit)


def _limit_shape(arena: Arena, sites: list[Site], slot: int, spec: AdapterSpec, limit: float | None):
    kind = sites[0].target.kind
    rank = spec.rank(kind)
    downs = [arena.stacked(arena.masters, site.down)[slot, :rank] for site in sites]
    ups = [arena.stacked(arena.masters, site.up)[slot, :rank] for site in sites]
    down, up = torch.stack(downs).double(), torch.stack(ups).double()
    squares = (torch.bmm(down, down.mT) * torch.bmm(up, up.mT)).sum((1, 2))
    norms = squares.clamp(min=0).sqrt() * spec.scale(kind)
    if limit is not None:
        factors = (limit / norms.clamp(min=limit)).sqrt().to(arena.masters.dtype)
        torch._foreach_mul_(downs, list(factors.unbind()))
        torch._foreach_mul_(ups, list(factors.unbind()))
    return norms


def _summary(norms: torch.Tensor, scaled: torch.Tensor) -> MaxNorm:
    count, mean, largest = torch.stack([scaled.sum().double(), norms.mean(), norms.max()]).tolist()
    return MaxNorm(int(count), mean, largest)
