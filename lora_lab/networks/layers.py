"""The packed layer: base module plus every adapter's low-rank term, forward and backward, in few products.

Legend: N samples, T tokens, G adapters in a block, n samples of each, r rank, i fan-in, o fan-out, L
positions.

One autograd function holds base and adapters. Base weights are frozen, so that the base needs only its input
gradient; the adapters' weight gradients are accumulated in place in the arena, inside the products (no
temporary, no accumulation nodes); their input gradient is added inside the product to the base's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lora_lab.networks.arena import Arena, Site
from lora_lab.networks.convolve import flat, geometry_of, is_viewable
from lora_lab.networks.dropout import apply_mask
from lora_lab.networks.routing import Block

if TYPE_CHECKING:
    from lora_lab.networks.pack import Routes


class PackedLayer:
    """One patched module: its views on the arena and its replacement for `forward`."""

    def __init__(self, site: Site, arena: Arena, routes: Routes) -> None:
        self.site, self.routes = site, routes
        self.module = site.target.module
        self.name, self.kind = site.target.name, site.target.kind
        self.down = arena.stacked(arena.compute, site.down)
        self.up = arena.stacked(arena.compute, site.up)
        self.down_grad = arena.stacked(arena.compute_grads, site.down)
        self.up_grad = arena.stacked(arena.compute_grads, site.up)
        self.dtype = arena.compute.dtype
        self.users = 0
        self.geometry = None if self.kind == "linear" else geometry_of(self.module)
        self.product = _TokenProduct if self.kind == "linear" else _MapProduct
        self._plain = type(self.module) in (nn.Linear, nn.Conv2d)

    def attach(self) -> None:
        """Replace the module's `forward`."""
        self._own = self.module.__dict__.get("forward")
        self.original = self.module.forward
        self.module.forward = self.forward

    def detach(self) -> None:
        """Put back what `attach` found."""
        if self._own is None:
            del self.module.forward
        else:
            self.module.forward = self._own

    def forward(self, x: Tensor, *args, **kwargs) -> Tensor:
        """Base output plus the routed adapters' terms."""
        blocks = self.routes.blocks(self, x.shape[0]) if self.users else ()
        if not blocks:
            return self.original(x, *args, **kwargs)
        if self._is_fusable(x):
            return self.product.apply(x, self.routes.anchor, self, blocks, True)
        y = self.original(x, *args, **kwargs)
        with torch.autocast(x.device.type, enabled=False):
            term = self.product.apply(x.to(self.dtype), self.routes.anchor, self, blocks, False)
        return y + term.to(y.dtype)

    def _is_fusable(self, x: Tensor) -> bool:
        weight = self.module.weight
        return (
            self._plain
            and self._own is None
            and weight.dtype == x.dtype == self.dtype
            and not weight.requires_grad
            and not torch.is_autocast_enabled(x.device.type)
        )

    def masked(self, block: Block, hidden: Tensor, rank_dim: int) -> list[tuple[int, Tensor | None]]:
        """Apply the dropout of this micro-step to `hidden`; what was applied, as (group, mask)."""
        draws = self.routes.draws
        if not draws:
            return []
        per_group = hidden.view(block.groups, block.size, *_per_sample(hidden, block))
        applied = []
        for group, slot in enumerate(block.slot_list):
            if slot in draws:
                mask = draws[slot].mask(self.name, self.kind, per_group[group], rank_dim, block.parts[group])
                apply_mask(per_group[group], mask, rank_dim)
                applied.append((group, mask))
        return applied


def _per_sample(hidden: Tensor, block: Block) -> tuple[int, int]:
    if hidden.shape[0] == block.groups:
        return (hidden.shape[1] // block.size, hidden.shape[2])
    return (hidden.shape[1], hidden.shape[2])


class _Tape:
    """Packs hidden values and masks of all blocks for `save_for_backward`, and unpacks them."""

    @staticmethod
    def save(ctx, x: Tensor, hiddens: list[Tensor], masks: list[list[tuple[int, Tensor | None]]]) -> None:
        ctx.mask_groups = [[(group, mask is not None) for group, mask in block] for block in masks]
        tensors = [mask for block in masks for _, mask in block if mask is not None]
        ctx.save_for_backward(x, *hiddens, *tensors)

    @staticmethod
    def load(ctx, blocks: tuple[Block, ...]):
        x, *rest = ctx.saved_tensors
        hiddens, tensors = rest[: len(blocks)], iter(rest[len(blocks) :])
        masks = [[(g, next(tensors) if kept else None) for g, kept in block] for block in ctx.mask_groups]
        return x, hiddens, masks


def _remask(block: Block, hidden: Tensor, masks: list[tuple[int, Tensor | None]], rank_dim: int) -> None:
    if masks:
        per_group = hidden.view(block.groups, block.size, *_per_sample(hidden, block))
        for group, mask in masks:
            apply_mask(per_group[group], mask, rank_dim)


class _TokenProduct(torch.autograd.Function):
    """Linear layers: x `(N, ..., i)` to `(N, ..., o)`; adapters work on `(G, n T, i)`."""

    @staticmethod
    def forward(ctx, x, anchor, layer, blocks, fused):
        module = layer.module
        out = module.out_features
        y = F.linear(x, module.weight, module.bias) if fused else x.new_zeros(*x.shape[:-1], out)
        hiddens, masks = [], []
        for block in blocks:
            tokens = block.take(x).reshape(block.groups, -1, x.shape[-1])
            hidden = block.scaled(torch.bmm(tokens, block.weights(layer.down).mT))
            masks.append(layer.masked(block, hidden, 2))
            _add_tokens(y, block, hidden, block.weights(layer.up))
            hiddens.append(hidden)
        ctx.layer, ctx.blocks, ctx.fused = layer, blocks, fused
        _Tape.save(ctx, x, hiddens, masks)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        layer, blocks = ctx.layer, ctx.blocks
        x, hiddens, masks = _Tape.load(ctx, blocks)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.matmul(grad, layer.module.weight) if ctx.fused else torch.zeros_like(x)
        for block, hidden, applied in zip(blocks, hiddens, masks, strict=True):
            grad_out = block.take(grad).reshape(block.groups, -1, grad.shape[-1])
            grad_hidden = block.scaled(torch.bmm(grad_out, block.weights(layer.up).mT))
            _remask(block, grad_hidden, applied, 2)
            block.accumulate(layer.up_grad, hidden.mT, grad_out)
            tokens = block.take(x).reshape(block.groups, -1, x.shape[-1])
            block.accumulate(layer.down_grad, grad_hidden.mT, tokens)
            if grad_x is not None:
                _add_tokens(grad_x, block, grad_hidden, block.weights(layer.down))
        return grad_x, None, None, None, None


def _add_tokens(target: Tensor, block: Block, left: Tensor, right: Tensor) -> None:
    """target[samples] += left @ right."""
    if isinstance(block.samples, slice):
        target[block.samples].view(block.groups, -1, target.shape[-1]).baddbmm_(left, right)
    else:
        target.index_add_(0, block.samples, torch.bmm(left, right).view(-1, *target.shape[1:]))


class _MapProduct(torch.autograd.Function):
    """Convolutions: x `(N, C, H, W)`; adapters work on `(G n, C, L)` with one weight matrix per sample."""

    @staticmethod
    def forward(ctx, x, anchor, layer, blocks, fused):
        y = _base_conv(x, layer.module) if fused else _zeros_like_output(x, layer)
        y = y if is_viewable(y) else y.contiguous()
        hiddens, masks = [], []
        for block in blocks:
            matrix = _repeat(layer.geometry.matrix(block.weights(layer.down)), block.size)
            taps = torch.bmm(matrix, layer.geometry.columns(block.take(x)))
            hidden = block.scaled(layer.geometry.gather(taps, y.shape[2:]))
            masks.append(layer.masked(block, hidden, 1))
            up = _repeat(block.weights(layer.up), block.size)
            _add_maps(y, block, up.mT, hidden)
            hiddens.append(hidden)
        ctx.layer, ctx.blocks, ctx.fused = layer, blocks, fused
        _Tape.save(ctx, x, hiddens, masks)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        layer, blocks = ctx.layer, ctx.blocks
        x, hiddens, masks = _Tape.load(ctx, blocks)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = _base_conv_grad(grad, x, layer.module) if ctx.fused else torch.zeros_like(x)
            grad_x = grad_x if is_viewable(grad_x) else grad_x.contiguous()
        for block, hidden, applied in zip(blocks, hiddens, masks, strict=True):
            grad_out = flat(block.take(grad))
            up = _repeat(block.weights(layer.up), block.size)
            grad_hidden = block.scaled(torch.bmm(up, grad_out))
            _remask(block, grad_hidden, applied, 1)
            _accumulate_maps(block, layer.up_grad, hidden, grad_out)
            _backward_down(layer, block, grad_hidden, x, grad_x, grad.shape[2:])
        return grad_x, None, None, None, None


def _backward_down(layer: PackedLayer, block: Block, grad_hidden: Tensor, x: Tensor, grad_x, size) -> None:
    """Gradients of the down weights and, where wanted, of the input."""
    geometry = layer.geometry
    taps = geometry.spread(grad_hidden, size)
    samples = block.take(x)
    stored = geometry.stored if geometry.method == "shifted" else None
    _accumulate_maps(block, layer.down_grad, taps, geometry.columns(samples), stored)
    if grad_x is None:
        return
    matrix = _repeat(geometry.matrix(block.weights(layer.down)), block.size)
    if geometry.method == "unfolded":
        patches = geometry.patches_to_map(torch.bmm(matrix.mT, taps), x.shape[2:])
        if isinstance(block.samples, slice):
            grad_x[block.samples] += patches
        else:
            grad_x.index_add_(0, block.samples, patches)
    else:
        _add_maps(grad_x, block, matrix.mT, taps)


def _accumulate_maps(block: Block, stacked_grad: Tensor, left: Tensor, right: Tensor, stored=None) -> None:
    """Add left `(G n, rows, L)` @ right^T `(G n, L, columns)`, summed over each run's samples, to a gradient."""
    if block.size == 1 and stored is None:
        block.accumulate(stacked_grad, left, right.mT)
        return
    product = torch.bmm(left, right.mT)
    if block.size > 1:
        product = product.view(block.groups, block.size, *product.shape[1:]).sum(1)
    if stored is not None:
        product = stored(product)
    if isinstance(block.slots, slice):
        stacked_grad[block.slots] += product
    else:
        stacked_grad.index_add_(0, block.slots, product)


def _add_maps(target: Tensor, block: Block, left: Tensor, right: Tensor) -> None:
    """target[samples] += left @ right, in the target's memory format."""
    if isinstance(block.samples, slice):
        flat(target[block.samples]).baddbmm_(left, right)
    else:
        product = torch.bmm(left, right)
        target.index_add_(0, block.samples, product.view(-1, *target.shape[1:]))


def _repeat(weights: Tensor, size: int) -> Tensor:
    """One matrix per sample from one per run."""
    return weights if size == 1 else weights.repeat_interleave(size, 0)


def _base_conv(x: Tensor, conv: nn.Conv2d) -> Tensor:
    return F.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation)


def _base_conv_grad(grad: Tensor, x: Tensor, conv: nn.Conv2d) -> Tensor:
    mask = [True, False, False]
    return torch.ops.aten.convolution_backward(
        grad, x, conv.weight, None, conv.stride, conv.padding, conv.dilation, False, [0, 0], 1, mask
    )[0]


def _zeros_like_output(x: Tensor, layer: PackedLayer) -> Tensor:
    g = layer.geometry
    size = [
        (length + 2 * p - d * (k - 1) - 1) // s + 1
        for length, k, s, p, d in zip(x.shape[2:], g.kernel, g.stride, g.padding, g.dilation, strict=True)
    ]
    return x.new_zeros(x.shape[0], layer.module.out_channels, *size)
