"""What patched layers look up in a forward pass: who uses which adapter, how strongly, with which dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from lora_lab.networks.batching import Block, plan_blocks
from lora_lab.networks.dropout import Draw
from lora_lab.networks.flat_parameters import Site

_MAX_REMEMBERED = 16


class Routed(Protocol):
    """A patched layer, as routes see it. `users` has bit s set when the adapter in slot s has the module."""

    site: Site
    users: int

    def scale_of(self, slot: int) -> float:
        """The factor on the layer's term for the adapter in `slot`, at strength 1."""

    def bind(self, block: Block) -> Any:
        """The block with the layer's weights."""


class Route:
    """One assignment of samples to slots, with the blocks that layers of each class of users need."""

    def __init__(self, slots: tuple[int, ...], strengths: tuple[float, ...]) -> None:
        self.slots, self.strengths = slots, strengths
        self.plans: dict[tuple[tuple[int, ...], tuple[float, ...]], tuple[Block, ...]] = {}
        self.bounds: dict[tuple[str, str], tuple[Any, ...]] = {}


class Routes:
    """The current route of one part of the model (U-Net, a text encoder) and the dropout draws.

    `anchor` is a leaf that makes autograd visit the layers.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.anchor = torch.zeros((), device=device, dtype=dtype, requires_grad=True)
        self.draws: dict[int, Draw] = {}
        self._known: dict[tuple[object, ...], Route] = {}
        self._current: Route | None = None

    def set(self, slots: Sequence[int], strengths: Sequence[float] | None) -> None:
        """Make this the route of the next forward passes."""
        key = (tuple(slots), tuple(strengths) if strengths is not None else (1.0,) * len(slots))
        if len(key[0]) != len(key[1]):
            raise ValueError(f"{len(key[0])} slots, but {len(key[1])} strengths")
        if key not in self._known:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[key] = Route(*key)
        self._current = self._known[key]

    def forget(self) -> None:
        """Drop all routes: the slots' adapters have changed."""
        self._known.clear()
        if self._current is not None:
            self._current = Route(self._current.slots, self._current.strengths)

    def bounds(self, layer: Routed, batch: int) -> tuple[Any, ...]:
        """The blocks of `layer` in the current route, bound to it; `batch` is the number of samples."""
        route, name = self._current, layer.site.target.name
        if route is None:
            raise RuntimeError(f"{name} was called before Pack.route()")
        if batch != len(route.slots):
            raise ValueError(f"{name} got {batch} samples, but the route has {len(route.slots)}")
        found = route.bounds.get((layer.site.form, name))
        if found is None:
            key = _used(route, layer)
            if key not in route.plans:
                route.plans[key] = plan_blocks(*key, self.anchor.device, self.anchor.dtype)
            found = tuple(layer.bind(block) for block in route.plans[key])
            route.bounds[layer.site.form, name] = found
        return found


def _used(route: Route, layer: Routed) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Slot (-1: none) and factor of every sample in this layer."""
    slots, scales = [], []
    for slot, strength in zip(route.slots, route.strengths, strict=True):
        used = slot >= 0 and strength != 0 and layer.users >> slot & 1
        slots.append(slot if used else -1)
        scales.append(strength * layer.scale_of(slot) if used else 0.0)
    return tuple(slots), tuple(scales)
