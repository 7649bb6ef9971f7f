"""Base layer plus every adapter's low-rank term, forward and backward, in as few products as possible.

Legend: N samples, T tokens, G adapters in a block, n samples of each, r rank, i fan-in, o fan-out, L
positions.

One autograd function holds base and adapters. Base weights are frozen, so that the base needs only its input
gradient; the adapters' weight gradients are accumulated in place inside the products (no
temporary, no accumulation nodes); their input gradient is added inside the product to the base's. Adapters
are told apart by index alone: no value of one sample is ever multiplied, even by zero, into another's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lora_lab.networks.batching import Block
from lora_lab.networks.convolve import flat, is_viewable
from lora_lab.networks.dropout import apply_mask

if TYPE_CHECKING:
    from lora_lab.networks.layers import Bound, Masks, PackedLayer

Gradients = tuple[Tensor | None, ...]
"""Of an autograd function's arguments, in their order; None of those that are no tensor."""


class LinearFunction(torch.autograd.Function):
    """Linear layers: x `(N, ..., i)` to `(N, ..., o)`; adapters work on `(G, n T, i)`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, anchor: Tensor, layer: PackedLayer, bounds: tuple[Bound, ...], fused: bool
    ) -> Tensor:
        module = cast(nn.Linear, layer.module)
        y = _base_linear(x, module) if fused else x.new_zeros(*x.shape[:-1], module.out_features)
        hiddens, masks = [], []
        for bound in bounds:
            block = bound.block
            down, up = bound.weights()
            tokens = block.take(x).reshape(block.groups, -1, x.shape[-1])
            hidden = scaled_product(layer.nothing, block, tokens, down.mT)
            masks.append(layer.draw_masks(block, hidden, 2))
            _add_tokens(y, block, hidden, up)
            hiddens.append(hidden)
        _remember(ctx, layer, bounds, fused, (x, hiddens, masks))
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        layer, bounds = ctx.layer, ctx.bounds
        x, hiddens, masks = _recall(ctx)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = _base_linear_grad(grad, x, layer.module) if ctx.fused else torch.zeros_like(x)
        for bound, hidden, applied in zip(bounds, hiddens, masks, strict=True):
            block = bound.block
            down, up = bound.weights()
            grad_out = block.take(grad).reshape(block.groups, -1, grad.shape[-1])
            grad_hidden = scaled_product(layer.nothing, block, grad_out, up.mT)
            _reapply(block, grad_hidden, applied, 2)
            bound.add_product(bound.up_grad, hidden.mT, grad_out)
            tokens = block.take(x).reshape(block.groups, -1, x.shape[-1])
            bound.add_product(bound.down_grad, grad_hidden.mT, tokens)
            if grad_x is not None:
                _add_tokens(grad_x, block, grad_hidden, down)
        return grad_x, None, None, None, None


class ConvFunction(torch.autograd.Function):
    """Convolutions: x `(N, C, H, W)`; adapters work on `(G n, C, L)` with one weight matrix per sample."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, anchor: Tensor, layer: PackedLayer, bounds: tuple[Bound, ...], fused: bool
    ) -> Tensor:
        geometry = layer.geometry
        y = _base_conv(x, cast(nn.Conv2d, layer.module)) if fused else _zeros_like_output(x, layer)
        y = y if is_viewable(y) else y.contiguous()
        hiddens, masks = [], []
        for bound in bounds:
            block = bound.block
            down, up = bound.weights()
            matrix = _per_sample(geometry.matrix(down), block)
            taps = scaled_product(layer.nothing, block, matrix, geometry.columns(block.take(x)))
            hidden = geometry.gather(taps, y.shape[2:])
            masks.append(layer.draw_masks(block, hidden, 1))
            _add_maps(y, block, _per_sample(up, block).mT, hidden)
            hiddens.append(hidden)
        _remember(ctx, layer, bounds, fused, (x, hiddens, masks))
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        layer, bounds = ctx.layer, ctx.bounds
        x, hiddens, masks = _recall(ctx)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = _base_conv_grad(grad, x, layer.module) if ctx.fused else torch.zeros_like(x)
            grad_x = grad_x if is_viewable(grad_x) else grad_x.contiguous()
        for bound, hidden, applied in zip(bounds, hiddens, masks, strict=True):
            block = bound.block
            down, up = bound.weights()
            grad_out = flat(block.take(grad))
            grad_hidden = scaled_product(layer.nothing, block, _per_sample(up, block), grad_out)
            _reapply(block, grad_hidden, applied, 1)
            _accumulate_maps(bound, bound.up_grad, hidden, grad_out)
            taps = layer.geometry.spread(grad_hidden, grad.shape[2:])
            _accumulate_down(layer, bound, taps, x)
            if grad_x is not None:
                _add_input_grad(layer, block, down, taps, grad_x)
        return grad_x, None, None, None, None


def _remember(
    ctx: Any,
    layer: PackedLayer,
    bounds: tuple[Bound, ...],
    fused: bool,
    values: tuple[Tensor, list[Tensor], list[Masks]],
) -> None:
    """Keep what backward needs; tensors by `save_for_backward`, so that checkpointing can drop them."""
    x, hiddens, masks = values
    ctx.layer, ctx.bounds, ctx.fused = layer, bounds, fused
    ctx.mask_groups = [[(group, mask is not None) for group, mask in applied] for applied in masks]
    tensors = [mask for applied in masks for _, mask in applied if mask is not None]
    ctx.save_for_backward(x, *hiddens, *tensors)


def _recall(ctx: Any) -> tuple[Tensor, list[Tensor], list[Masks]]:
    if torch.is_grad_enabled():
        raise RuntimeError("packed layers have no second derivative")
    x, *rest = ctx.saved_tensors
    count = len(ctx.bounds)
    tensors = iter(rest[count:])
    masks = [
        [(group, next(tensors) if kept else None) for group, kept in applied] for applied in ctx.mask_groups
    ]
    return x, rest[:count], masks


def _reapply(block: Block, hidden: Tensor, masks: Masks, rank_dim: int) -> None:
    if masks:
        groups = hidden.view(block.groups, block.size, -1, hidden.shape[2])
        for group, mask in masks:
            apply_mask(groups[group], mask, rank_dim)


def scaled_product(nothing: Tensor, block: Block, left: Tensor, right: Tensor) -> Tensor:
    """scale x left @ right, with one scale for the block or one per sample; `nothing` is a zero."""
    scale = block.scale
    if isinstance(scale, float):
        if scale == 1.0:
            return torch.bmm(left, right)
        return torch.baddbmm(nothing, left, right, beta=0, alpha=scale)
    product = torch.bmm(left, right)
    product.view(scale.shape[0], -1, product.shape[2]).mul_(scale)
    return product


def _add_tokens(target: Tensor, block: Block, left: Tensor, right: Tensor) -> None:
    """target[samples] += left @ right."""
    if isinstance(block.samples, slice):
        block.take(target).view(block.groups, -1, target.shape[-1]).baddbmm_(left, right)
    else:
        target.index_add_(0, block.samples, torch.bmm(left, right).view(-1, *target.shape[1:]))


def _add_maps(target: Tensor, block: Block, left: Tensor, right: Tensor) -> None:
    """target[samples] += left @ right, in the target's memory format."""
    if isinstance(block.samples, slice):
        flat(block.take(target)).baddbmm_(left, right)
    else:
        target.index_add_(0, block.samples, torch.bmm(left, right).view(-1, *target.shape[1:]))


def _accumulate_down(layer: PackedLayer, bound: Bound, taps: Tensor, x: Tensor) -> None:
    geometry = layer.geometry
    columns = geometry.columns(bound.block.take(x))
    if geometry.method != "shifted":
        _accumulate_maps(bound, bound.down_grad, taps, columns)
        return
    product = _sum_over_samples(torch.bmm(taps, columns.mT), bound.block)
    bound.add(bound.down_grad, geometry.stored(product))


def _accumulate_maps(bound: Bound, grad: Tensor, left: Tensor, right: Tensor) -> None:
    """grad += left `(G n, r, L)` @ right^T `(G n, L, width)`, summed over each run's samples."""
    if bound.block.size == 1:
        bound.add_product(grad, left, right.mT)
    else:
        bound.add(grad, _sum_over_samples(torch.bmm(left, right.mT), bound.block))


def _sum_over_samples(product: Tensor, block: Block) -> Tensor:
    if block.size == 1:
        return product
    return product.view(block.groups, block.size, *product.shape[1:]).sum(1)


def _add_input_grad(layer: PackedLayer, block: Block, down: Tensor, taps: Tensor, grad_x: Tensor) -> None:
    geometry = layer.geometry
    matrix = _per_sample(geometry.matrix(down), block)
    if geometry.method != "unfolded":
        _add_maps(grad_x, block, matrix.mT, taps)
        return
    patches = geometry.patches_to_map(torch.bmm(matrix.mT, taps), grad_x.shape[2:])
    if isinstance(block.samples, slice):
        grad_x[block.samples] += patches
    else:
        grad_x.index_add_(0, block.samples, patches)


def _per_sample(weights: Tensor, block: Block) -> Tensor:
    """One matrix per sample from one per run."""
    return weights if block.size == 1 else weights.repeat_interleave(block.size, 0)


def _base_linear(x: Tensor, linear: nn.Linear) -> Tensor:
    """The frozen layer as one product of matrices: with more dimensions, torch adds copies and views."""
    tokens = x.reshape(-1, x.shape[-1])
    if linear.bias is None:
        y = torch.mm(tokens, linear.weight.t())
    else:
        y = torch.addmm(linear.bias, tokens, linear.weight.t())
    return y.view(*x.shape[:-1], y.shape[1])


def _base_linear_grad(grad: Tensor, x: Tensor, linear: nn.Linear) -> Tensor:
    return torch.mm(grad.reshape(-1, grad.shape[-1]), linear.weight).view(x.shape)


def _base_conv(x: Tensor, conv: nn.Conv2d) -> Tensor:
    return F.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation)


def _base_conv_grad(grad: Tensor, x: Tensor, conv: nn.Conv2d) -> Tensor:
    wanted = [True, False, False]
    return torch.ops.aten.convolution_backward(
        grad, x, conv.weight, None, conv.stride, conv.padding, conv.dilation, False, [0, 0], 1, wanted
    )[0]


def _zeros_like_output(x: Tensor, layer: PackedLayer) -> Tensor:
    g = layer.geometry
    size = [
        (length + 2 * p - d * (k - 1) - 1) // s + 1
        for length, k, s, p, d in zip(x.shape[2:], g.kernel, g.stride, g.padding, g.dilation, strict=True)
    ]
    return x.new_zeros(x.shape[0], layer.site.up.width, *size)
