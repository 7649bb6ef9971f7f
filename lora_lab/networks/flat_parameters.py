"""One flat row of numbers per adapter, and the views that layers, optimizers and files have on it.

Legend: K adapters (rows), P numbers per row, r rank, i fan-in (channels x kernel area), o fan-out.

Order of a row: part (te1, te2, unet), then side (all downs, then all ups), then shape, so that an optimizer
sees one contiguous piece per (part, side), and the modules of one shape lie side by side. A module's down is
`A[K, r, i]`, its up is stored transposed, `Bt[K, r, o]`: unused ranks are then the tail of a piece, and are
zero, always. Every form of adapter (see `forms`) has a layout of its own, from the start of the row: a row
holds one adapter, and is as long as the longest layout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lora_lab.networks.forms import SIDES, kernel_of, room_for, shape_of
from lora_lab.networks.spec import AdapterSpec
from lora_lab.networks.targets import Target

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
    """An adapted module with its pieces by side. `kernel` is () for linears, (kh, kw) for convolutions."""

    target: Target
    form: str
    kernel: tuple[int, ...]
    pieces: Mapping[str, Piece]

    @property
    def down(self) -> Piece:
        """The piece of lora's first factor."""
        return self.pieces["down"]

    @property
    def up(self) -> Piece:
        """The piece of lora's second factor."""
        return self.pieces["up"]

    def shape(self, side: str, spec: AdapterSpec) -> tuple[int, ...] | None:
        """Shape of a side without padding, as optimizers see it; None where `spec` has no such side here.

        Lora: (r, i), (r, c, kh, kw), (r, o) or (r, o, 1, 1); other forms: see `forms.shape_of`.
        """
        return shape_of(self.target, side, spec)

    def used(self, side: str, spec: AdapterSpec) -> int:
        """How many numbers of a piece an adapter uses, from its start."""
        shape = self.shape(side, spec)
        return 0 if shape is None else math.prod(shape)


@dataclass(frozen=True)
class Layout:
    """The plan of a row: its length, its sites in traversal order, and the range of each (part, side)."""

    sites: tuple[Site, ...]
    segments: dict[tuple[str, str], slice]
    length: int


def plan_layout(targets: Sequence[Target], specs: Sequence[AdapterSpec]) -> Layout:
    """Lay out `targets` for adapters of one form: every piece can hold the largest of `specs`."""
    form = specs[0].form
    pieces: dict[str, dict[str, Piece]] = {target.name: {} for target in targets}
    segments: dict[tuple[str, str], slice] = {}
    offset = 0
    for part in sorted({target.part for target in targets}):
        members = [(order, t) for order, t in enumerate(targets) if t.part == part]
        for side in SIDES[form]:
            rooms = [(room_for(target, side, specs), order, target) for order, target in members]
            start = offset
            for (lines, width), _, target in sorted(rooms, key=lambda m: _order_in_segment(m[2], m[0], m[1])):
                if lines:
                    pieces[target.name][side] = Piece(offset, lines, width)
                    offset = pieces[target.name][side].stop
            if offset > start:
                segments[part, side] = slice(start, offset)
    sites = tuple(Site(t, form, kernel_of(t), pieces[t.name]) for t in targets)
    return Layout(sites, segments, -(-offset // _LINE) * _LINE)


def _order_in_segment(target: Target, room: tuple[int, int], order: int) -> tuple[str | int, ...]:
    module = target.module
    if isinstance(module, nn.Linear):
        fans = (module.out_features, module.in_features)
    else:
        fans = (module.out_channels, module.in_channels * math.prod(module.kernel_size))
    return (target.kind, room[1], *fans, target.tier, order)


class FlatParameters:
    """The numbers of K adapters: masters, the copy that layers compute with, and both gradients.

    With equal dtypes `compute` is `masters` and `grads` is `compute_grads`: nothing is copied.
    Shapes (K, P). Rows of unused slots are zero.
    """

    def __init__(
        self,
        length: int,
        slots: int,
        device: torch.device,
        compute_dtype: torch.dtype,
        master_dtype: torch.dtype,
    ) -> None:
        shape = (slots, length)
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

    def factor(self, numbers: Tensor, piece: Piece, shape: Sequence[int]) -> Tensor:
        """`(K, *shape)` view of the start of a piece of all rows."""
        return numbers[:, piece.offset : piece.offset + math.prod(shape)].unflatten(1, tuple(shape))

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
