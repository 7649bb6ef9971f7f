"""The patched module: which adapters act on its input, and the views of its weights that they need."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lora_lab.networks.autograd import ConvFunction, LinearFunction
from lora_lab.networks.batching import Block
from lora_lab.networks.convolve import geometry_of
from lora_lab.networks.dropout import apply_mask
from lora_lab.networks.flat_parameters import FlatParameters, Site

if TYPE_CHECKING:
    from lora_lab.networks.routes import Routes
    from lora_lab.networks.siblings import Siblings

Masks = list[tuple[int, Tensor | None]]


class Bound:
    """A block of samples together with its rows of one layer's weights and gradients."""

    __slots__ = ("_slots", "block", "down", "down_grad", "up", "up_grad")

    def __init__(self, block: Block, layer: PackedLayer) -> None:
        self.block = block
        self._slots = None if isinstance(block.slots, slice) else block.slots
        rows = block.slots if isinstance(block.slots, slice) else slice(None)
        self.down, self.up = layer.down[rows], layer.up[rows]
        self.down_grad, self.up_grad = layer.down_grad[rows], layer.up_grad[rows]

    def weights(self) -> tuple[Tensor, Tensor]:
        """Downs `(G, r, i)` and ups `(G, r, o)` of the block's adapters; views where slots are neighbours."""
        if self._slots is None:
            return self.down, self.up
        return self.down.index_select(0, self._slots), self.up.index_select(0, self._slots)

    def add_product(self, grad: Tensor, left: Tensor, right: Tensor) -> None:
        """Accumulate the batched product `left @ right` in `down_grad` or `up_grad`."""
        if self._slots is not None:
            grad.index_add_(0, self._slots, torch.bmm(left, right))
        elif grad.is_cpu and len(grad) > 1:
            grad.add_(
                torch.bmm(left, right)
            )  # CPUs write into strided batches one by one: up to 3 times slower
        else:
            grad.baddbmm_(left, right)

    def add(self, grad: Tensor, amount: Tensor) -> None:
        """Accumulate `amount` `(G, r, width)` in `down_grad` or `up_grad`."""
        if self._slots is None:
            grad += amount
        else:
            grad.index_add_(0, self._slots, amount)


class Patch:
    """Replaces a module's `forward` and puts back what it found; later patches go around earlier ones."""

    def __init__(self, module: nn.Module, forward: Callable[..., Tensor]) -> None:
        self._module, self._forward = module, forward
        self.original: Callable[..., Tensor] = module.forward
        self.found: Callable[..., Tensor] | None = None

    def attach(self) -> None:
        """Replace the module's `forward`."""
        self.found = self._module.__dict__.get("forward")
        self.original = self._module.forward
        self._module.__dict__["forward"] = self._forward

    def detach(self) -> None:
        """Put back what `attach` found."""
        if self.found is None:
            del self._module.__dict__["forward"]
        else:
            self._module.__dict__["forward"] = self.found


class PackedLayer:
    """One module that low-rank adapters (lora, LoCon) sit on: what replaces its `forward`.

    `users` has bit s set when the adapter in slot s has this module; `scale_of(slot)` is its alpha / dim.
    `siblings` are layers that read the same input, if there are any. Views: down `(K, r, i)`, up `(K, r, o)`.
    """

    def __init__(
        self, site: Site, parameters: FlatParameters, routes: Routes, scale_of: Callable[[int], float]
    ) -> None:
        self.site, self.routes, self.scale_of = site, routes, scale_of
        self.module = site.target.module
        self.name, self.kind = site.target.name, site.target.kind
        self.down = parameters.stacked(parameters.compute, site.down)
        self.up = parameters.stacked(parameters.compute, site.up)
        self.down_grad = parameters.stacked(parameters.compute_grads, site.down)
        self.up_grad = parameters.stacked(parameters.compute_grads, site.up)
        self.dtype = parameters.compute.dtype
        self.nothing = parameters.compute.new_zeros(())
        self.users = 0
        self.siblings: Siblings | None = None
        self.geometry = geometry_of(self.module)
        self._product = LinearFunction if self.kind == "linear" else ConvFunction
        self._plain = type(self.module) in (nn.Linear, nn.Conv2d)
        self._may_autocast = torch.amp.is_autocast_available(parameters.compute.device.type)
        self.patch = Patch(self.module, self.forward)

    def bind(self, block: Block) -> Bound:
        """The block with this layer's weights."""
        return Bound(block, self)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Base output plus the routed adapters' terms; the bare base's own forward where no adapter acts."""
        bounds = self.routes.bounds(self, x.shape[0]) if self.users else ()
        if not bounds:
            return self.patch.original(x, *args, **kwargs)
        if self.is_fusable(x):
            if self.siblings is not None:
                found = self.siblings.answer(self, x, bounds)
                if found is not None:
                    return found
            return self._product.apply(x, self.routes.anchor, self, bounds, True)
        y = self.patch.original(x, *args, **kwargs)
        with torch.autocast(x.device.type, enabled=False):
            term = self._product.apply(x.to(self.dtype), self.routes.anchor, self, bounds, False)
        return y + term.to(y.dtype)

    def is_fusable(self, x: Tensor) -> bool:
        """Whether the base can be computed inside our function: not quantised, hooked, autocast or cast."""
        weight = self.module.weight
        return (
            self._plain
            and self.patch.found is None
            and weight.dtype == x.dtype == self.dtype
            and not weight.requires_grad
            and not (self._may_autocast and torch.is_autocast_enabled(x.device.type))
        )

    def draw_masks(self, block: Block, hidden: Tensor, rank_dim: int) -> Masks:
        """Apply the micro-step's dropout to `hidden` in place; what was applied, as (group, mask)."""
        draws = self.routes.draws
        applied: Masks = []
        if draws:
            groups = split_groups(block, hidden)
            for group, slot in enumerate(block.slot_list):
                if slot in draws:
                    part = block.parts[group]
                    mask = draws[slot].mask(self.name, self.kind, groups[group], rank_dim, part)
                    apply_mask(groups[group], mask, rank_dim)
                    applied.append((group, mask))
        return applied


def split_groups(block: Block, hidden: Tensor) -> Tensor:
    """`(G, n, T, r)` or `(G, n, r, L)` view of hidden values `(G, n T, r)` or `(G n, r, L)`."""
    first = hidden.shape[0] * hidden.shape[1] // (block.groups * block.size)
    return hidden.view(block.groups, block.size, first, hidden.shape[2])
