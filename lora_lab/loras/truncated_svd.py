"""Best approximation of a whole weight difference: exact if small, by subspace iteration if large.

Subspace iteration (Halko, Martinsson and Tropp 2011): a block of random columns, a few of them to spare, is
multiplied by W W^T until the energy that it catches stands still. What it catches is counted exactly, since
the energy of W is known; where it does not settle, the exact way is taken.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lora_lab.lora_files.factors import Factors
from lora_lab.loras.algebra import Kept

_SMALL = 384
"""Up to this smaller side an exact decomposition takes no time."""
_SPARE = 16
_ROUNDS = 24
_SETTLED = 1e-6
"""Share of the whole energy by which a round may still improve at the end."""


def truncated_svd(weight: Tensor, rank: int, seed: int) -> tuple[Factors, Kept]:
    """The best `rank` ranks of a weight difference (o, i) or (o, i, kh, kw), float32; alpha = rank.

    Args:
        seed: Of the random start for large matrices, so that equal input gives equal output.
    """
    flat = weight.flatten(1).float()
    rank = min(rank, *flat.shape)
    wide = rank + max(_SPARE, rank // 4)
    found = None
    if min(flat.shape) > max(_SMALL, 3 * wide):
        found = _iterated(flat, rank, wide, seed)
    up, values, down = found or _exact(flat, rank)
    whole = energy(flat)
    root = values.clamp(min=0).sqrt()
    factors = Factors(
        (root[:, None] * down).reshape(rank, *weight.shape[1:]).contiguous(),
        (up * root).contiguous(),
        float(rank),
    )
    lost = max(0.0, whole - float(values.double().square().sum()))
    return factors, Kept(rank, whole, lost)


def energy(weight: Tensor) -> float:
    """Sum of squares in float64, without a float64 copy of the whole."""
    return math.fsum(float(part.double().square().sum()) for part in weight.flatten().split(1 << 20))


def _exact(flat: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """By the eigenvectors of the smaller Gram matrix, in float64: far beyond what float32 weights hold."""
    if flat.shape[0] > flat.shape[1]:
        up, values, down = _exact(flat.T, rank)
        return down.T, values, up.T
    double = flat.double()
    squares, vectors = torch.linalg.eigh(double @ double.T)
    top = vectors[:, -rank:].flip(1)
    values = squares[-rank:].flip(0).clamp(min=0).sqrt()
    down = top.T @ double
    unit = down.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    return top.float(), values.float(), (down / unit).float()


def _iterated(flat: Tensor, rank: int, wide: int, seed: int) -> tuple[Tensor, Tensor, Tensor] | None:
    generator = torch.Generator().manual_seed(seed)
    columns = flat @ torch.randn(flat.shape[1], wide, generator=generator)
    whole, before = energy(flat), -1.0
    for _ in range(_ROUNDS):
        basis = torch.linalg.qr(columns).Q
        caught = basis.T @ flat
        squares = torch.linalg.eigvalsh((caught @ caught.T).double())
        now = float(squares[-rank:].sum())
        if now - before <= _SETTLED * whole:
            top, values, down = torch.linalg.svd(caught, full_matrices=False)
            return basis @ top[:, :rank], values[:rank], down[:rank]
        before = now
        columns = flat @ torch.linalg.qr(caught.T).Q
    return None
