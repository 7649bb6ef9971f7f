"""Linear layers that read one input (an attention's queries, keys and values) in shared products.

Legend: N samples, T tokens, G adapters in the block, n samples of each, S siblings, r rank, i fan-in, o
fan-out.

The first sibling that is called does the work of all; the others hand out what is waiting for them, if they
are called with the same tensor. A layout keeps the factors of siblings side by side, so that their downs are
one matrix `(S r, i)`, and so does `Siblings` with their frozen weights, `(S o, i)`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lora_lab.networks.autograd import Gradients, scaled_product
from lora_lab.networks.batching import Block

if TYPE_CHECKING:
    from lora_lab.networks.layers import Bound, PackedLayer

_FAMILIES = (("to_q", "to_k", "to_v"), ("q_proj", "k_proj", "v_proj"))
"""What siblings are called in the libraries' attention blocks, in the order in which these call them."""


def cross_attentions(models: Mapping[str, nn.Module]) -> set[tuple[str, str]]:
    """The attention blocks whose queries see another input than their keys and values, by part and path.

    Args:
        models: By part, as `Target.part` has it.
    """
    return {
        (part, path)
        for part, model in models.items()
        for path, module in model.named_modules()
        if getattr(module, "is_cross_attention", False) is True
    }


def find_siblings(
    layers: Sequence[PackedLayer], crossed: Collection[tuple[str, str]] = ()
) -> Iterator[list[PackedLayer]]:
    """Neighbours that may read the same input: those of one attention block, of one shape.

    Args:
        crossed: What `cross_attentions` found: found out by the first pass instead, that pass would be other
            products than the later ones, and a run that goes on would end in other last bits.
    """
    by_place: dict[tuple[str, str, str], PackedLayer] = {}
    for layer in layers:
        parent, _, own = layer.site.target.path.rpartition(".")
        by_place[layer.site.target.part, parent, own] = layer
    for part, parent, own in by_place:
        for family in _FAMILIES:
            if own == family[1] and (part, parent, family[2]) in by_place:
                names = family[1:] if (part, parent) in crossed else family
                members = [by_place[part, parent, name] for name in names if (part, parent, name) in by_place]
                alike = [one for one in members if _shape(one) == _shape(members[-1])]
                if len(alike) > 1 and alike[-1] is members[-1]:
                    yield alike


def _shape(layer: PackedLayer) -> tuple[object, ...]:
    bias = getattr(layer.module, "bias", None)
    return (tuple(layer.module.weight.shape), bias is None, layer.site.down.rank, layer.kind)


@dataclass(frozen=True)
class JointBound:
    """The siblings' factors of a block: downs `(G, S r, i)`, ups `(G, S, r, o)`, both with gradients."""

    bounds: tuple[Bound, ...]
    block: Block
    nothing: Tensor
    down: Tensor
    down_grad: Tensor
    ups: Tensor
    up_grads: Tensor


class Siblings:
    """Layers of one shape that are called one after the other with one input, as far as is known.

    `_layers` in the order in which they are called, `_stored` in the order of their factors in a row.
    """

    def __init__(self, layers: Sequence[PackedLayer]) -> None:
        self._layers = list(layers)
        self._stored = sorted(layers, key=lambda layer: layer.site.down.offset)
        self._input: Tensor | None = None
        self._waiting: dict[int, Tensor] = {}
        self._weight: Tensor | None = None
        self._bias: Tensor | None = None
        self._joined: tuple[tuple[Bound, ...], JointBound | None] | None = None
        for layer in layers:
            layer.siblings = self

    def answer(self, layer: PackedLayer, x: Tensor, bounds: tuple[Bound, ...]) -> Tensor | None:
        """The output of `layer`, or None where it has to compute it alone."""
        if id(layer) in self._waiting:
            found = self._waiting.pop(id(layer))
            same = x is self._input
            if not self._waiting:
                self._input = None
            if same:
                return found
            self._part()
        if not self._layers or layer is not self._layers[0]:
            return None
        joint = self._joint(x, bounds)
        if joint is None:
            return None
        whole = SiblingFunction.apply(x, layer.routes.anchor, self._frozen(), joint)
        outputs = whole.split(layer.module.weight.shape[0], dim=-1)
        self._input = x
        self._waiting = {id(one): y for one, y in zip(self._stored, outputs, strict=True)}
        return self._waiting.pop(id(layer))

    def _part(self) -> None:
        """Let the first go its own way: it is called with another input than the rest."""
        self._layers = self._layers[1:] if len(self._layers) > 2 else []
        self._stored = [layer for layer in self._stored if layer in self._layers]
        self._input, self._waiting, self._weight, self._joined = None, {}, None, None

    def _joint(self, x: Tensor, bounds: tuple[Bound, ...]) -> JointBound | None:
        """The bounds of all siblings as one, remembered as long as the first one's are the same."""
        first = self._layers[0]
        if first.routes.draws or not all(one.is_fusable(x) for one in self._layers):
            return None
        if self._joined is None or self._joined[0] is not bounds:
            every = [first.routes.bounds(one, x.shape[0]) if one.users else () for one in self._stored]
            self._joined = (bounds, _join(self._stored, every, x.shape[0]))
        return self._joined[1]

    def _frozen(self) -> tuple[Tensor, Tensor | None]:
        """The frozen weights as one, `(S o, i)`, and biases; the modules' own become views of it."""
        modules = [layer.module for layer in self._stored]
        length = modules[0].weight.nbytes
        weight = self._weight
        if weight is None or any(
            module.weight.data_ptr() != weight.data_ptr() + number * length
            for number, module in enumerate(modules)
        ):
            weight = self._weight = torch.cat([module.weight.detach() for module in modules])
            for module, own in zip(modules, weight.chunk(len(modules)), strict=True):
                module.weight.data = own
            biases = [module.bias.detach() for module in modules if module.bias is not None]
            self._bias = torch.cat(biases) if biases else None
        return weight, self._bias


def _join(layers: Sequence[PackedLayer], every: Sequence[tuple[Bound, ...]], batch: int) -> JointBound | None:
    """The siblings' bounds as one, where one block serves all and their factors lie side by side."""
    if any(len(bounds) != 1 for bounds in every):
        return None
    bounds = tuple(own[0] for own in every)
    block, first = bounds[0].block, layers[0]
    whole = isinstance(block.samples, slice) and block.groups * block.size == batch
    if not whole or not isinstance(block.slots, slice) or any(one.block is not block for one in bounds):
        return None
    if block.groups == 1 and not isinstance(block.scale, float):
        return None
    downs = _side_by_side([one.down for one in bounds])
    down_grads = _side_by_side([one.down_grad for one in bounds])
    ups = _side_by_side([one.up for one in bounds])
    up_grads = _side_by_side([one.up_grad for one in bounds])
    if downs is None or down_grads is None or ups is None or up_grads is None:
        return None
    if downs.stride(1) != downs.shape[2] * downs.stride(2):
        return None
    return JointBound(
        bounds, block, first.nothing, downs.flatten(1, 2), down_grads.flatten(1, 2), ups, up_grads
    )


def _side_by_side(views: Sequence[Tensor]) -> Tensor | None:
    """`(G, S, r, width)` of views `(G, r, width)` at equal distances in one storage, without a copy."""
    first, *rest = (view.storage_offset() for view in views)
    step = rest[0] - first
    if any(offset != first + step * (number + 1) for number, offset in enumerate(rest)) or step <= 0:
        return None
    shape, strides = views[0].shape, views[0].stride()
    return views[0].as_strided((shape[0], len(views), *shape[1:]), (strides[0], step, *strides[1:]), first)


class SiblingFunction(torch.autograd.Function):
    """x `(N, ..., i)` to `(N, ..., S o)`: frozen layers and adapters of all siblings."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, anchor: Tensor, frozen: tuple[Tensor, Tensor | None], joint: JointBound
    ) -> Tensor:
        weight, bias = frozen
        tokens = x.reshape(-1, x.shape[-1])
        y = torch.mm(tokens, weight.t()) if bias is None else torch.addmm(bias, tokens, weight.t())
        groups, siblings, rank, width = joint.ups.shape
        grouped = tokens.view(groups, -1, tokens.shape[1])
        hidden = scaled_product(joint.nothing, joint.block, grouped, joint.down.mT)
        if groups == 1:
            by_sibling = y.view(-1, siblings, width).transpose(0, 1)
            by_sibling.baddbmm_(hidden.view(-1, siblings, rank).transpose(0, 1), joint.ups[0])
        else:
            targets = y.view(groups, -1, siblings * width).split(width, dim=2)
            parts = zip(targets, hidden.split(rank, dim=2), joint.bounds, strict=True)
            for target, own, bound in parts:
                target.baddbmm_(own, bound.up)
        ctx.weight, ctx.joint = weight, joint
        ctx.save_for_backward(tokens, hidden)
        ctx.shape = x.shape
        return y.view(*x.shape[:-1], siblings * width)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Gradients:
        if torch.is_grad_enabled():
            raise RuntimeError("packed layers have no second derivative")
        tokens, hidden = ctx.saved_tensors
        flat_grad = grad.reshape(-1, grad.shape[-1])
        grad_x = torch.mm(flat_grad, ctx.weight) if ctx.needs_input_grad[0] else None
        accumulate = _accumulate_alone if ctx.joint.ups.shape[0] == 1 else _accumulate
        accumulate(ctx.joint, flat_grad, tokens, hidden, grad_x)
        return None if grad_x is None else grad_x.view(ctx.shape), None, None, None


def _accumulate_alone(
    joint: JointBound, grad: Tensor, tokens: Tensor, hidden: Tensor, grad_x: Tensor | None
) -> None:
    """Of one run: siblings are the batch of the products over `o`."""
    _, siblings, rank, width = joint.ups.shape
    by_sibling = grad.view(-1, siblings, width).transpose(0, 1)
    grad_hidden = scaled_product(joint.nothing, joint.block, joint.ups[0], by_sibling.mT).flatten(0, 1)
    joint.up_grads[0].baddbmm_(hidden.view(-1, siblings, rank).permute(1, 2, 0), by_sibling)
    joint.down_grad[0].addmm_(grad_hidden, tokens)
    if grad_x is not None:
        grad_x.addmm_(grad_hidden.t(), joint.down[0])


def _accumulate(
    joint: JointBound, grad: Tensor, tokens: Tensor, hidden: Tensor, grad_x: Tensor | None
) -> None:
    """Of several runs: runs are the batch, and siblings follow each other."""
    groups, _, rank, width = joint.ups.shape
    grads = grad.view(groups, -1, grad.shape[1]).split(width, dim=2)
    parts = []
    for own, own_hidden, bound in zip(grads, hidden.split(rank, dim=2), joint.bounds, strict=True):
        parts.append(scaled_product(joint.nothing, joint.block, own, bound.up.mT))
        bound.add_product(bound.up_grad, own_hidden.mT, own)
    grad_hidden = torch.cat(parts, dim=2)
    grouped = tokens.view(groups, -1, tokens.shape[1])
    joint.bounds[0].add_product(joint.down_grad, grad_hidden.mT, grouped)
    if grad_x is not None:
        grad_x.view(groups, -1, grad_x.shape[1]).baddbmm_(grad_hidden, joint.down)
