"""What patched layers look up in a forward pass: who uses which adapter, how strongly, with which dropout."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from lora_lab.networks.dropout import Draw
from lora_lab.networks.layers import Bound, PackedLayer
from lora_lab.networks.routing import Block, plan_blocks

_MAX_REMEMBERED = 16


class Route:
    """One assignment of samples to slots, with the blocks that layers of each class of users need."""

    def __init__(self, slots: tuple[int, ...], strengths: tuple[float, ...]) -> None:
        self.slots, self.strengths = slots, strengths
        self.plans: dict[tuple[int, bool], tuple[Block, ...]] = {}
        self.bounds: dict[str, tuple[Bound, ...]] = {}


class Routes:
    """The current route of one part of the model (U-Net, a text encoder) and the dropout draws.

    `scale_of(slot, kind)` is alpha / dim. `anchor` is a leaf that makes autograd visit the layers.
    """

    def __init__(
        self, device: torch.device, dtype: torch.dtype, scale_of: Callable[[int, str], float]
    ) -> None:
        self.anchor = torch.zeros((), device=device, dtype=dtype, requires_grad=True)
        self.draws: dict[int, Draw] = {}
        self._scale_of = scale_of
        self._known: dict[tuple, Route] = {}
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

    def bounds(self, layer: PackedLayer, batch: int) -> tuple[Bound, ...]:
        """The blocks of `layer` in the current route; `batch` is the number of samples it was given."""
        route = self._current
        if route is None:
            raise RuntimeError(f"{layer.name} was called before Pack.route()")
        if batch != len(route.slots):
            raise ValueError(f"{layer.name} got {batch} samples, but the route has {len(route.slots)}")
        found = route.bounds.get(layer.name)
        if found is None:
            key = (layer.users, layer.kind == "conv")
            if key not in route.plans:
                route.plans[key] = self._plan(route, layer)
            found = route.bounds[layer.name] = tuple(Bound(block, layer) for block in route.plans[key])
        return found

    def _plan(self, route: Route, layer: PackedLayer) -> tuple[Block, ...]:
        slots, scales = [], []
        for slot, strength in zip(route.slots, route.strengths, strict=True):
            used = slot >= 0 and strength != 0 and layer.users >> slot & 1
            slots.append(slot if used else -1)
            scales.append(strength * self._scale_of(slot, layer.kind) if used else 0.0)
        return plan_blocks(slots, scales, self.anchor.device, self.anchor.dtype)
