"""Max-norm regularisation (`scale_weight_norms`).

Without building any weight difference, where that can be avoided:
lora, dora: ||U D||_F^2 = sum((U^T U) * (D D^T)), two small Gram matrices, in float64 because their product
cancels. lokr: a Kronecker product's norm is the product of the norms. loha is built, one module at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lora_lab.networks.flat_parameters import FlatParameters, Site
from lora_lab.networks.forms import SIDES, kronecker_factors, low_rank, scale_of
from lora_lab.networks.spec import AdapterSpec


@dataclass(frozen=True)
class MaxNorm:
    """How many modules were scaled down, and mean and largest norm of alpha / dim * up @ down after it.

    For dora that is the norm of what `up` and `down` add, before the magnitudes are applied; for loha and
    lokr of the whole difference.
    """

    scaled: int
    mean: float
    max: float


def limit_norms(
    parameters: FlatParameters, sites: Sequence[Site], slot: int, spec: AdapterSpec, limit: float | None
) -> MaxNorm:
    """Scale every module whose norm n exceeds `limit` to it, each of its f factors by (limit / n)^(1 / f).

    That is sd-scripts' rule for lora and LyCORIS' for lokr. `limit` None only measures. One synchronisation
    with the device.
    """
    by_shape: dict[tuple[object, ...], list[Site]] = {}
    for site in sites:
        shapes = tuple(site.shape(side, spec) for side in SIDES[spec.form])
        by_shape.setdefault((*shapes, scale_of(site.target, spec)), []).append(site)
    norms = []
    for members in by_shape.values():
        norms.append(_limit_shape(parameters, members, slot, spec, limit))
    found = torch.cat(norms)
    if limit is None:
        return _summary(found, torch.zeros_like(found, dtype=torch.bool))
    return _summary(found.clamp(max=limit), found > limit)


def _limit_shape(
    parameters: FlatParameters, sites: list[Site], slot: int, spec: AdapterSpec, limit: float | None
) -> torch.Tensor:
    factors: dict[str, list[torch.Tensor]] = {}
    for side in SIDES[spec.form]:
        shape = sites[0].shape(side, spec)
        if shape is not None and side != "magnitude":
            factors[side] = [
                parameters.factor(parameters.masters, s.pieces[side], shape)[slot] for s in sites
            ]
    norms = _norms(spec.form, factors) * scale_of(sites[0].target, spec)
    if limit is not None:
        ratios = (limit / norms.clamp(min=limit)).pow(1 / len(factors)).to(parameters.masters.dtype)
        for tensors in factors.values():
            torch._foreach_mul_(tensors, list(ratios.unbind()))
    return norms


def _norms(form: str, factors: dict[str, list[torch.Tensor]]) -> torch.Tensor:
    if form == "loha":
        count = len(factors["w1_a"])
        single = [{side: ts[i][None].double() for side, ts in factors.items()} for i in range(count)]
        return torch.cat([low_rank(form, each).norm()[None] for each in single])
    wide = {side: torch.stack(tensors).double() for side, tensors in factors.items()}
    if form == "lokr":
        w1, w2 = kronecker_factors(wide)
        return w1.flatten(1).norm(dim=1) * w2.flatten(1).norm(dim=1)
    down, up = wide["down"].flatten(2), wide["up"].flatten(2)
    squares = (torch.bmm(down, down.mT) * torch.bmm(up, up.mT)).sum((1, 2))
    return squares.clamp(min=0).sqrt()


def _summary(norms: torch.Tensor, scaled: torch.Tensor) -> MaxNorm:
    count, mean, largest = torch.stack([scaled.sum().double(), norms.mean(), norms.max()]).tolist()
    return MaxNorm(int(count), mean, largest)
