"""What optimizers get: views of one adapter's numbers, in three layouts, and state in a portable order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn

from lora_lab.errors import ConfigError
from lora_lab.networks.blocks import weight_of
from lora_lab.networks.flat_parameters import FlatParameters, Layout, Piece, Site, parameter
from lora_lab.networks.forms import SIDES
from lora_lab.networks.spec import AdapterSpec

LAYOUTS = ("flat", "stacked", "tensors")
View = tuple[tuple[int, ...], tuple[int, ...], int, list[str]]
"""Shape, strides, offset in the row, and names of the modules in a leaf."""


@dataclass(frozen=True)
class ParamGroup:
    """Leaves of one (part, side) of a run. `names[i]` are the modules in `params[i]`, in its order.

    `rate` is their learning rate as a share of the part's: block weights make several groups of one side.
    """

    part: str
    side: str
    params: list[nn.Parameter]
    names: list[list[str]]
    rate: float = 1.0


def make_groups(
    parameters: FlatParameters,
    plan: Layout,
    sites: Sequence[Site],
    slot: int,
    spec: AdapterSpec,
    layout: str,
) -> list[ParamGroup]:
    """Groups for the modules `sites` of the run in `slot`; every leaf is a view of the masters, `.grad` of
    the gradients.

    - "flat": one 1-D leaf per group, padding included (zeros with zero gradients).
    - "stacked": one leaf per shape, `(modules, r, width)`; convolutions `(modules, r, c, kh, kw)` and `(...,
      o, 1, 1)`.
    - "tensors": one leaf per module, `(r, width)`, convolutions 4-D.
    Ups are transposed against files: `(r, out)`. Groups without modules are left out. `plan` is the layout of
    the adapter's form. With block weights there is a group for every rate, and "flat" is not possible: see
    `usable_layout`.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"layout={layout!r} is unknown; known: {', '.join(LAYOUTS)}")
    if layout != usable_layout(layout, spec):
        raise ValueError("adapters with block weights have no flat leaves")
    found = []
    for part in sorted({site.target.part for site in sites}):
        members = [site for site in sites if site.target.part == part]
        for side in SIDES[spec.form]:
            having = [site for site in members if site.used(side, spec)]
            for rate, alike in _by_rate(having, spec).items():
                params, names = [], []
                for shape, strides, offset, held in _views(plan, alike, side, spec, layout):
                    data = parameters.masters[slot].as_strided(
                        shape, strides, _start(parameters.masters, slot) + offset
                    )
                    grad = parameters.grads[slot].as_strided(
                        shape, strides, _start(parameters.grads, slot) + offset
                    )
                    params.append(parameter(data, grad))
                    names.append(held)
                found.append(ParamGroup(part, side, params, names, rate))
    return found


def usable_layout(layout: str, spec: AdapterSpec) -> str:
    """The layout in place of `layout`: "flat" leaves cannot be divided by blocks."""
    return "tensors" if layout == "flat" and spec.blocks is not None else layout


def _by_rate(sites: Sequence[Site], spec: AdapterSpec) -> dict[float, list[Site]]:
    found: dict[float, list[Site]] = {}
    for site in sites:
        found.setdefault(weight_of(site.target.name, spec.blocks), []).append(site)
    return found


def _start(numbers: Tensor, slot: int) -> int:
    return int(numbers.storage_offset() + slot * numbers.stride(0))


def _views(plan: Layout, sites: list[Site], side: str, spec: AdapterSpec, layout: str) -> Iterator[View]:
    """The leaves of one group."""
    sites = sorted(sites, key=lambda site: site.pieces[side].offset)
    if layout == "flat":
        segment = plan.segments[sites[0].target.part, side]
        yield (segment.stop - segment.start,), (1,), segment.start, [s.target.name for s in sites]
        return
    runs = [[s] for s in sites] if layout == "tensors" else _evenly_spaced(sites, side, spec)
    for run in runs:
        first = run[0].pieces[side]
        shape = run[0].shape(side, spec)
        assert shape is not None
        strides = _contiguous_strides(shape)
        if layout == "stacked":
            shape, strides = (len(run), *shape), (first.stop - first.offset, *strides)
        yield shape, strides, first.offset, [s.target.name for s in run]


def _evenly_spaced(sites: list[Site], side: str, spec: AdapterSpec) -> Iterator[list[Site]]:
    """Neighbours of one kind and shape (all sides), in runs with a constant distance."""

    def shape(site: Site) -> tuple[object, ...]:
        piece = site.pieces[side]
        return (
            site.target.kind,
            piece.stop - piece.offset,
            *(site.shape(other, spec) for other in SIDES[spec.form]),
        )

    for _, members in groupby(sites, key=shape):
        run: list[Site] = []
        for site in members:
            if run and site.pieces[side].offset != run[-1].pieces[side].stop:
                yield run
                run = []
            run.append(site)
        yield run


def _contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1]
    for length in reversed(shape[1:]):
        strides.append(strides[-1] * length)
    return tuple(reversed(strides))


def _pieces(sites: Sequence[Site], part: str, side: str, spec: AdapterSpec) -> Iterator[tuple[Piece, int]]:
    """(piece, used numbers) of a run's modules in the canonical order: by name."""
    members = [site for site in sites if site.target.part == part and site.used(side, spec)]
    for site in sorted(members, key=lambda site: site.target.name):
        yield site.pieces[side], site.used(side, spec)


def unpad(
    segment: slice, sites: Sequence[Site], part: str, side: str, spec: AdapterSpec, flat: Tensor
) -> Tensor:
    """The numbers of a "flat" leaf (or of its state) without padding, modules in the order of their names."""
    numbers = [
        flat[piece.offset - segment.start :][:used] for piece, used in _pieces(sites, part, side, spec)
    ]
    return torch.cat(numbers)


def pad(
    segment: slice, sites: Sequence[Site], part: str, side: str, spec: AdapterSpec, canonical: Tensor
) -> Tensor:
    """The inverse of `unpad`, for a pack that may have other dims and modules; padding is zero."""
    pieces = list(_pieces(sites, part, side, spec))
    expected = sum(used for _, used in pieces)
    if expected != canonical.numel():
        raise ValueError(f"{part} {side}: {canonical.numel()} numbers, but the run has {expected}")
    flat = canonical.new_zeros(segment.stop - segment.start)
    for (piece, used), numbers in zip(pieces, canonical.split([used for _, used in pieces]), strict=True):
        flat[piece.offset - segment.start :][:used] = numbers
    return flat
