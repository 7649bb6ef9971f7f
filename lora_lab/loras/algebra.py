"""Singular values and best approximations of low-rank products, without ever building the product.

U (o, R) and D (R, i) are reduced by QR: U D = Qu (Ru Rd^T) Qd^T, where the middle is at most R x R. Its SVD
is the SVD of the product. The Qs are applied as Householder reflections, to the kept columns only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_lab.lora_files.factors import Factors

Chooser = Callable[[Tensor], int]
"""From singular values, largest first, to how many are kept."""


@dataclass(frozen=True)
class Kept:
    """What an approximation kept of one module: norms and energies of the weight difference."""

    rank: int
    energy: float
    """Sum of squares of all singular values, alpha / rank included."""
    lost: float
    """Sum of squares of what is missing now."""

    @property
    def share(self) -> float:
        """Retained energy, 0 to 1; 1 for a module of zeros."""
        return 1.0 if self.energy <= 0 else max(0.0, 1 - self.lost / self.energy)


def norm(factors: Factors) -> float:
    """Frobenius norm of the weight difference, by Gram matrices in float64, where their product cancels."""
    up, down = factors.up.flatten(1).double(), factors.down.flatten(1).double()
    square = ((up.T @ up) * (down @ down.T)).sum()
    return float(square.clamp(min=0).sqrt()) * abs(factors.scale)


def singular_values(factors: Factors) -> Tensor:
    """Singular values of the weight difference (float32, largest first, at most R)."""
    up, down = factors.up.flatten(1).float(), factors.down.flatten(1).float()
    upper = [torch.geqrf(side)[0] for side in (up, down.T.contiguous())]
    core = _upper(upper[0]) @ _upper(upper[1]).T
    return torch.linalg.svdvals(core) * abs(factors.scale)


def effective_rank(values: Tensor) -> float:
    """How many directions are really used: exp of the entropy of the squared singular values' shares.

    Source: Roy and Vetterli 2007, with energies in place of values. 0 for a module of zeros.
    """
    energies = values.double().square()
    total = energies.sum()
    if not total > 0:
        return 0.0
    shares = (energies / total).clamp(min=1e-300)
    return float((-(shares * shares.log()).sum()).exp())


def approximated(factors: Factors, choose: Chooser, new_scale: float) -> tuple[Factors, Kept]:
    """The best approximation of a product by so many ranks as `choose` says (at least 1).

    Args:
        new_scale: alpha / rank of the result; the factors hold the rest, evenly between them.
    """
    up, down = factors.up.flatten(1).float(), factors.down.flatten(1).float()
    left, right = torch.geqrf(up), torch.geqrf(down.T.contiguous())
    core_u, values, core_vh = torch.linalg.svd(_upper(left[0]) @ _upper(right[0]).T, full_matrices=False)
    whole = values * abs(factors.scale)
    rank = max(1, min(choose(whole), len(values)))
    root = (values[:rank] * abs(factors.scale / new_scale)).sqrt() if new_scale else values[:rank] * 0
    sign = -1.0 if factors.scale * new_scale < 0 else 1.0
    new_up = _reflected(left, core_u[:, :rank] * (root * sign))
    new_down = _reflected(right, core_vh[:rank].T * root).T.reshape(rank, *factors.down.shape[1:])
    squares = whole.double().square()
    kept = Kept(rank, float(squares.sum()), float(squares[rank:].sum()))
    return Factors(new_down.contiguous(), new_up.contiguous(), new_scale * rank), kept


def _upper(packed: Tensor) -> Tensor:
    """R of a packed QR, (min(m, n), n)."""
    return packed[: min(packed.shape)].triu()


def _reflected(packed: tuple[Tensor, Tensor], columns: Tensor) -> Tensor:
    """Q @ columns."""
    reflections, tau = packed
    padded = columns.new_zeros(reflections.shape[0], columns.shape[1])
    padded[: columns.shape[0]] = columns
    wide = min(reflections.shape)
    return torch.ormqr(reflections[:, :wide].contiguous(), tau, padded)


def clamped(factors: Factors, quantile: float) -> Factors:
    """As sd-scripts and its kin do after an SVD: no entry of U S and V^T beyond a quantile of all of them.

    The quantile is of signed values, so the result depends on the arbitrary signs of singular vectors; the
    peers' loss comes from here. Factors are taken as `approximated` leaves them.
    """
    up, down = factors.up.flatten(1), factors.down.flatten(1)
    values = down.norm(dim=1)  # sqrt(S) of each rank
    unit = torch.where(values > 0, values, torch.ones_like(values))
    up, down = up * values, down / unit[:, None]
    everything = torch.cat([up.flatten(), down.flatten()])
    limit = float(_quantile(everything, quantile))
    return Factors(
        down.clamp(-limit, limit).reshape(factors.down.shape), up.clamp(-limit, limit), factors.alpha
    )


def _quantile(values: Tensor, quantile: float) -> Tensor:
    """Linear between neighbours, as torch.quantile, which refuses more than 16 million numbers."""
    ordered = values.sort().values
    place = quantile * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return torch.lerp(ordered[low], ordered[high], place - low)


def difference_energy(first: Factors, second: Factors) -> float:
    """Squared Frobenius norm of the difference of two weight differences of one shape."""
    ups = [item.up.flatten(1).float() * item.scale for item in (first, second)]
    up = torch.cat([ups[0], -ups[1]], dim=1)
    down = torch.cat([item.down.flatten(1).float() for item in (first, second)])
    return norm(Factors(down, up)) ** 2
