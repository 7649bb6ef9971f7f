"""One flat row of numbers per adapter, and the views that layers, optimizers and files have on it.

Legend: K adapters (rows), P numbers per row, r rank, i fan-in (channels x kernel area), o fan-out.

Order of a row: part (te1, te2, unet), then side (all downs, then all ups), then shape, so that an optimizer
sees one contiguous piece per (part, side), and the modules of one shape lie side by side. A module's down is
`A[K, r, i]`, its up is stored transposed, `Bt[K, r, o]`: unused ranks are then the tail of a piece, and are
zero, always.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lora_lab.networks.targets import Target

PARTS = ("te1", "te2", "unet")
SIDES = ("down", "up")
_ALIGN = 16
_LINE = 256
"""A row is a multiple of this, so that its norm can be taken line by line."""


@dataclass(frozen=True)
class Piece:
    """Where one side of one module lies in a row: `rank` lines of `width` numbers from `offset`."""

    offset: int
    rank: int
    width: int

    @property
    def stop(self) -> int:
        """First number behind the piece, alignment included."""
        return self.offset + -(-self.rank * self.width // _ALIGN) * _ALIGN


@dataclass(frozen=True)
class Site:
    """An adapted module with its two pieces. `kernel` is () for linears, (kh, kw) for convolutions."""

    target: Target
    kernel: tuple[int, ...]
    down: Piece
    up: Piece

    def piece(self, side: str) -> Piece:
        """The piece of side "down" or "up"."""
        return self.down if side == "down" else self.up

    def shape(self, side: str, rank: int) -> tuple[int, ...]:
        """Shape of the unpadded side as optimizers see it: (r, i), (r, c, kh, kw), (r, o) or (r, o, 1, 1)."""
        if not self.kernel:
            return (rank, self.piece(side).width)
        if side == "up":
            return (rank, self.up.width, 1, 1)
        return (rank, self.down.width // (self.kernel[0] * self.kernel[1]), *self.kernel)


@dataclass(frozen=True)
class Layout:
    """The plan of a row: its length, its sites in traversal order, and the range of each (part, side)."""

    sites: tuple[Site, ...]
    segments: dict[tuple[str, str], slice]
    length: int


def plan_row(targets: Sequence[Target], ranks: dict[str, int]) -> Layout:
    """Lay out `targets` for the largest rank per kind (`ranks["linear" | "conv1x1" | "conv"]`)."""
    pieces: dict[tuple[str, str], Piece] = {}
    segments: dict[tuple[str, str], slice] = {}
    offset = 0
    for part in PARTS:
        members = [(order, t) for order, t in enumerate(targets) if t.part == part]
        for side in SIDES:
            start = offset
            for _, target in sorted(members, key=lambda m: _order_in_segment(m[1], side, m[0])):
                piece = Piece(offset, ranks[target.kind], _width(target, side))
                pieces[target.name, side] = piece
                offset = piece.stop
            if offset > start:
                segments[part, side] = slice(start, offset)
    sites = tuple(
        Site(
            t,
            _kernel(t),
            pieces[t.name, "down"],
            pieces[t.name, "up"],
        )
        for t in targets
    )
    return Layout(sites, segments, -(-offset // _LINE) * _LINE)


def _kernel(target: Target) -> tuple[int, ...]:
    return () if isinstance(target.module, nn.Linear) else tuple(target.module.kernel_size)


def _order_in_segment(target: Target, side: str, order: int) -> tuple:
    return (
        target.kind,
        _width(target, side),
        _width(target, "up"),
        _width(target, "down"),
        target.tier,
        order,
    )


def _width(target: Target, side: str) -> int:
    module = target.module
    if isinstance(module, nn.Linear):
        return module.in_features if side == "down" else module.out_features
    if side == "up":
        return module.out_channels
    return module.in_channels * module.kernel_size[0] * module.kernel_size[1]


class Arena:
    """The numbers of K adapters: masters, the copy that layers compute with, and both gradients.

    With equal dtypes `compute` is `masters` and `grads` is `compute_grads`: nothing is copied.
    Shapes (K, P). Rows of unused slots are zero.
    """

    def __init__(self, layout: Layout, slots: int, device: torch.device, compute_dtype, master_dtype) -> None:
        self.layout = layout
        shape = (slots, layout.length)
        self.masters = torch.zeros(shape, device=device, dtype=master_dtype)
        self.grads = torch.zeros_like(self.masters)
        self.shared = compute_dtype == master_dtype
        self.compute = self.masters if self.shared else torch.zeros(shape, device=device, dtype=compute_dtype)
        self.compute_grads = self.grads if self.shared else torch.zeros_like(self.compute)

    def stacked(self, numbers: Tensor, piece: Piece) -> Tensor:
        """`(K, r, width)` view of a piece of all rows."""
        return numbers[:, piece.offset : piece.offset + piece.rank * piece.width].view(
            -1, piece.rank, piece.width
        )

    def grad_norms(self) -> Tensor:
        """L2 norm of every row's gradients, `(K,)`, in float32 or wider.

        Line by line: one pass over millions of float32 numbers is off by up to 1e-3 on a CPU.
        """
        wide = torch.promote_types(self.grads.dtype, torch.float32)
        lines = self.grads.view(self.grads.shape[0], -1, _LINE)
        return torch.linalg.vector_norm(torch.linalg.vector_norm(lines, dim=2, dtype=wide), dim=1)

    def sync(self) -> None:
        """Masters to the compute copy, in one cast."""
        if not self.shared:
            self.compute.copy_(self.masters)

    def collect(self) -> None:
        """Add the gradients of the last backward pass to the masters' gradients."""
        if not self.shared:
            self.grads.add_(self.compute_grads)
            self.compute_grads.zero_()


def parameter(numbers: Tensor, grads: Tensor) -> nn.Parameter:
    """A leaf on `numbers` (no copy) whose `.grad` is `grads` (no copy)."""
    leaf = nn.Parameter(numbers)
    leaf.grad = grads
    return leaf
