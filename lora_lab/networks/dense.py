"""Adapters whose weight difference is built for every pass: DoRA, LoHa and LoKr.

Legend: N samples, T tokens, G adapters in a block, n samples of each, i fan-in, o fan-out.

The difference `(G, o, i)` of all adapters of a block is made at once, in float32 or wider, from the masters;
it is not kept: the backward pass makes it again, and leads its gradient back into the factors. Adapters are
told apart by index alone, as in `autograd`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lora_lab.networks.autograd import Gradients
from lora_lab.networks.batching import Block
from lora_lab.networks.convolve import geometry_of
from lora_lab.networks.flat_parameters import FlatParameters, Site
from lora_lab.networks.forms import SIDES, base_weight, fans, low_rank, rescaled, scale_of
from lora_lab.networks.layers import Patch
from lora_lab.networks.spec import AdapterSpec
from lora_lab.networks.targets import AdaptedModule

if TYPE_CHECKING:
    from lora_lab.networks.routes import Routes


@dataclass(frozen=True)
class Chunk:
    """Groups of a block whose factors have one shape, with views by side.

    `samples` are the numbers of their samples, `(g, n)`, and `neighbours` their range where they are one.
    `strengths` are those of the samples, `(g, n)` or one for all; `scale` is alpha / dim of each group,
    `(g, 1, 1)`; `values` and `grads` are views `(K, ...)` of all slots.
    """

    slot_list: list[int]
    slots: Tensor
    samples: Tensor
    neighbours: slice | None
    strengths: Tensor | float
    scale: Tensor
    on_output: bool
    values: dict[str, Tensor]
    grads: dict[str, Tensor]


@dataclass(frozen=True)
class Drops:
    """Dropout of a chunk in one pass: rows of the differences that stay `(g, o, 1)`, modules left out."""

    rows: Tensor | None
    modules: list[int]


class DenseLayer:
    """One module that adapters of one such form sit on: adds their terms to the module's output.

    `users` has bit s set when the adapter in slot s has this module.
    """

    def __init__(
        self,
        site: Site,
        parameters: FlatParameters,
        routes: Routes,
        spec_of: Callable[[int], AdapterSpec],
    ) -> None:
        self.site, self.parameters, self.routes, self._spec_of = site, parameters, routes, spec_of
        self.module = site.target.module
        self.users = 0
        self.wide = torch.promote_types(parameters.masters.dtype, torch.float32)
        self.patch = Patch(self.module, self.forward)
        geometry_of(self.module)  # refuses convolutions that cannot be adapted

    def scale_of(self, slot: int) -> float:
        """1: alpha / dim is part of the weight difference."""
        return 1.0

    def bind(self, block: Block) -> list[Chunk]:
        """The block with the factors of its adapters, in chunks of one shape."""
        alike: dict[tuple[object, ...], list[int]] = {}
        for group, slot in enumerate(block.slot_list):
            alike.setdefault(self._shapes(self._spec_of(slot)), []).append(group)
        return [self._chunk(block, groups) for groups in alike.values()]

    def _shapes(self, spec: AdapterSpec) -> tuple[object, ...]:
        """What adapters have to have in common for one product; padded ranks need not agree."""
        if spec.form == "lokr":
            return tuple(self.site.shape(side, spec) for side in SIDES[spec.form])
        return (spec.wd_on_output,)

    def _chunk(self, block: Block, groups: list[int]) -> Chunk:
        slots = [block.slot_list[group] for group in groups]
        specs = [self._spec_of(slot) for slot in slots]
        shapes = {}
        for side in SIDES[specs[0].form]:
            shape = self.site.shape(side, specs[0])
            if shape is not None:
                piece = self.site.pieces[side]
                shapes[side] = (piece.rank, piece.width) if piece.rank > 1 else shape
        device = self.parameters.masters.device
        scales = [scale_of(self.site.target, spec) for spec in specs]
        whole = isinstance(block.samples, slice) and len(groups) == block.groups
        return Chunk(
            slots,
            torch.tensor(slots, device=device),
            _samples(block, device)[groups],
            block.samples if whole and isinstance(block.samples, slice) else None,
            block.scale.view(block.groups, -1)[groups] if isinstance(block.scale, Tensor) else block.scale,
            torch.tensor(scales, device=device, dtype=self.wide).view(-1, 1, 1),
            specs[0].wd_on_output,
            *(self._views(numbers, shapes) for numbers in (self.parameters.masters, self.parameters.grads)),
        )

    def _views(self, numbers: Tensor, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
        return {
            side: self.parameters.factor(numbers, self.site.pieces[side], shape)
            for side, shape in shapes.items()
        }

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The output of base and other adapters, plus the terms of the routed adapters of this form."""
        y = self.patch.original(x, *args, **kwargs)
        bounds = self.routes.bounds(self, x.shape[0]) if self.users else ()
        if not bounds:
            return y
        with torch.autocast(x.device.type, enabled=False):
            inner = x.to(self.parameters.compute.dtype)
            chunks = [chunk for bound in bounds for chunk in bound]
            term = DenseTerm.apply(inner, self.routes.anchor, self, chunks, y.shape)
        return y + term.to(y.dtype)

    def difference(self, chunk: Chunk, factors: dict[str, Tensor], drops: Drops) -> Tensor:
        """Weight differences `(g, o, i)` of a chunk, of factors `(g, ...)` as `chunk.values` has them."""
        form = self.site.form
        found = low_rank(form, factors) * chunk.scale
        if drops.rows is not None:
            found = found * drops.rows
        if form == "dora":
            found = rescaled(base_weight(self.site.target), found, factors["magnitude"], chunk.on_output)
        return found

    def factors(self, chunk: Chunk) -> dict[str, Tensor]:
        """Copies of a chunk's factors, `(g, ...)`."""
        return {side: values[chunk.slots].to(self.wide) for side, values in chunk.values.items()}

    def draw(self, chunk: Chunk) -> Drops:
        """The micro-step's dropout."""
        draws, name, outputs = self.routes.draws, self.site.target.name, fans(self.site.target)[0]
        if not draws:
            return Drops(None, [])
        rows, dropped = [], []
        rows_there = False
        for index, slot in enumerate(chunk.slot_list):
            kept = None
            if slot in draws:
                kept = draws[slot].kept_rows(name, outputs, chunk.scale)
                if draws[slot].drops_module(name):
                    dropped.append(index)
            rows_there = rows_there or kept is not None
            rows.append(chunk.scale.new_ones(outputs) if kept is None else kept)
        return Drops(torch.stack(rows)[:, :, None] if rows_there else None, dropped)


class DenseTerm(torch.autograd.Function):
    """The adapters' terms: x `(N, ..., i)` or `(N, C, H, W)` to a term of the output's shape."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, anchor: Tensor, layer: DenseLayer, chunks: list[Chunk], shape: torch.Size
    ) -> Tensor:
        total = _Total(x, shape)
        drops = [layer.draw(chunk) for chunk in chunks]
        for chunk, drop in zip(chunks, drops, strict=True):
            difference = layer.difference(chunk, layer.factors(chunk), drop).to(x.dtype)
            product = _apply(layer.module, _grouped(x, chunk), difference)
            total.add(chunk, _weighed(product, chunk, drop))
        ctx.layer, ctx.chunks, ctx.drops = layer, chunks, drops
        ctx.save_for_backward(x)
        return total.value()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        if torch.is_grad_enabled():
            raise RuntimeError("packed layers have no second derivative")
        layer, (x,) = ctx.layer, ctx.saved_tensors
        total = _Total(x, x.shape) if ctx.needs_input_grad[0] else None
        for chunk, drop in zip(ctx.chunks, ctx.drops, strict=True):
            own_grad = _weighed(_grouped(grad, chunk), chunk, drop)
            leaves = {side: t.requires_grad_() for side, t in layer.factors(chunk).items()}
            with torch.enable_grad():
                difference = layer.difference(chunk, leaves, drop)
            inner = difference.detach().to(x.dtype)
            grad_x, grad_inner = _gradients(
                layer.module, _grouped(x, chunk), inner, own_grad, total is not None
            )
            grads = torch.autograd.grad(difference, list(leaves.values()), grad_inner.to(layer.wide))
            for side, one in zip(leaves, grads, strict=True):
                one[drop.modules] = 0
                chunk.grads[side].index_add_(0, chunk.slots, one.to(chunk.grads[side].dtype))
            if total is not None:
                grad_x[drop.modules] = 0
                total.add(chunk, grad_x)
        return None if total is None else total.value(), None, None, None, None


class _Total:
    """A batch that is the sum of chunks; one chunk that is all of it is not copied."""

    def __init__(self, like: Tensor, shape: torch.Size) -> None:
        self._like, self._shape = like, shape
        self._sum: Tensor | None = None

    def add(self, chunk: Chunk, values: Tensor) -> None:
        """Add `(g, n, ...)` to the chunk's samples; `values` may be kept."""
        flat = values.flatten(0, 1)
        if self._sum is None and chunk.neighbours is not None and flat.shape[0] == self._shape[0]:
            self._sum = flat
            return
        if self._sum is None:
            self._sum = self._like.new_zeros(self._shape)
        if chunk.neighbours is not None:
            self._sum[chunk.neighbours] += flat
        else:
            self._sum.index_add_(0, chunk.samples.flatten(), flat)

    def value(self) -> Tensor:
        """The sum."""
        return self._like.new_zeros(self._shape) if self._sum is None else self._sum


def _samples(block: Block, device: torch.device) -> Tensor:
    """Numbers of a block's samples, `(G, n)`."""
    samples = block.samples
    if isinstance(samples, slice):
        samples = torch.arange(samples.start, samples.stop, device=device)
    return samples.view(block.groups, block.size)


def _grouped(batch: Tensor, chunk: Chunk) -> Tensor:
    """`(g, n, ...)` of a chunk's samples; a view where they are neighbours."""
    shape = tuple(chunk.samples.shape)
    if chunk.neighbours is not None:
        return batch[chunk.neighbours].unflatten(0, shape)
    return batch.index_select(0, chunk.samples.flatten()).unflatten(0, shape)


def _weighed(values: Tensor, chunk: Chunk, drop: Drops) -> Tensor:
    """`(g, n, ...)` times the strengths of the samples, and zero where a module is left out."""
    if isinstance(chunk.strengths, Tensor):
        values = values * chunk.strengths.view(*chunk.strengths.shape, *(1,) * (values.dim() - 2))
    elif chunk.strengths != 1.0:
        values = values * chunk.strengths
    if drop.modules:
        values = values.clone()
        values[drop.modules] = 0
    return values


def _apply(module: AdaptedModule, x: Tensor, difference: Tensor) -> Tensor:
    """`(g, n, ...)` outputs of inputs `(g, n, ...)`, each group with its own weight and no bias."""
    if isinstance(module, nn.Linear):
        tokens = x.flatten(1, -2)
        return torch.bmm(tokens, difference.mT).view(*x.shape[:-1], difference.shape[1])
    weights = difference.view(-1, *module.weight.shape)
    maps = [F.conv2d(one, weight, None, *_geometry(module)) for one, weight in zip(x, weights, strict=True)]
    return torch.stack(maps)


def _gradients(
    module: AdaptedModule, x: Tensor, difference: Tensor, grad: Tensor, of_input: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of `_apply` for inputs (where `of_input`) and differences `(g, o, i)`."""
    if isinstance(module, nn.Linear):
        flat_grad = grad.flatten(1, -2)
        grad_in = torch.bmm(flat_grad, difference).view(x.shape) if of_input else x
        return grad_in, torch.bmm(flat_grad.mT, x.flatten(1, -2))
    inputs, weights = [], []
    for own_grad, own_x, weight in zip(grad, x, difference.view(-1, *module.weight.shape), strict=True):
        found = _conv_backward(module, own_grad, own_x, weight, of_input)
        inputs.append(found[0] if of_input else own_x)
        weights.append(found[1])
    return torch.stack(inputs), torch.stack(weights).flatten(2)


def _conv_backward(
    conv: nn.Conv2d, grad: Tensor, x: Tensor, weight: Tensor, of_input: bool
) -> Sequence[Tensor]:
    wanted = [of_input, True, False]
    return torch.ops.aten.convolution_backward(
        grad, x, weight, None, *_geometry(conv), False, [0, 0], 1, wanted
    )


def _geometry(conv: nn.Conv2d) -> tuple[Any, ...]:
    return conv.stride, conv.padding, conv.dilation
