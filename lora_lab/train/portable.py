"""An optimizer's state in a form that does not depend on the pack: no padding, one entry per module.

Two packs may pad a run's dims differently and lay its modules out differently; a run can leave one and go on
in the other. Tensors of the "flat" layout are stored without padding, "stacked" ones one module at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lora_lab.networks.groups import ParamGroup
from lora_lab.networks.pack import Pack
from lora_lab.optim.build import given_parameters


@dataclass(frozen=True)
class Leaf:
    """One parameter of an optimizer: the modules in it, and where they belong."""

    part: str
    side: str
    names: list[str]
    numel: int


@dataclass(frozen=True)
class Portable:
    """Translates the optimizer state of the run in `slot`."""

    pack: Pack
    slot: int
    layout: str
    leaves: list[Leaf]

    def store(self, optimizer: Optimizer) -> dict[str, Any]:
        """The state, cloned, as {'groups': ..., 'state': {(part side [module]): {key: value}}}."""
        whole = optimizer.state_dict()
        stored: dict[str, dict[str, Any]] = {}
        for index, values in whole["state"].items():
            leaf = self.leaves[index]
            for place in self._places(leaf):
                stored[place] = {key: self._take(value, leaf, place) for key, value in values.items()}
        groups = [{key: _copied(v) for key, v in g.items() if key != "params"} for g in whole["param_groups"]]
        return {"groups": groups, "state": stored}

    def restore(self, optimizer: Optimizer, stored: Mapping[str, Any]) -> None:
        """Put a stored state into a fresh optimizer of the same job."""
        state = {}
        for index, leaf in enumerate(self.leaves):
            entries = [stored["state"][place] for place in self._places(leaf) if place in stored["state"]]
            if entries:
                state[index] = {
                    key: self._give(leaf, [entry[key] for entry in entries]) for key in entries[0]
                }
        groups = [
            {**kept, "params": fresh["params"]}
            for kept, fresh in zip(stored["groups"], optimizer.state_dict()["param_groups"], strict=True)
        ]
        optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _places(self, leaf: Leaf) -> list[str]:
        if self.layout == "flat":
            return [f"{leaf.part} {leaf.side}"]
        return [f"{leaf.part} {leaf.side} {name}" for name in leaf.names]

    def _take(self, value: Any, leaf: Leaf, place: str) -> Any:
        if not isinstance(value, Tensor) or value.dim() == 0:
            return _copied(value)
        if self.layout == "flat":
            padded = value.numel() == leaf.numel
            return self.pack.unpad(self.slot, leaf.part, leaf.side, value) if padded else _copied(value)
        if self.layout == "stacked":
            return value[leaf.names.index(place.split()[-1])].clone()
        return value.clone()

    def _give(self, leaf: Leaf, values: list[Any]) -> Any:
        first = values[0]
        if not isinstance(first, Tensor) or (self.layout != "stacked" and first.dim() == 0):
            return _copied(first)
        if self.layout == "flat":
            own = first.numel() == self._unpadded(leaf)
            return self.pack.pad(self.slot, leaf.part, leaf.side, first) if own else first.clone()
        return torch.stack(values) if self.layout == "stacked" else first.clone()

    def _unpadded(self, leaf: Leaf) -> int:
        return self.pack.unpad(
            self.slot, leaf.part, leaf.side, torch.empty(leaf.numel, device="meta")
        ).numel()


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def leaves_of(optimizer: Optimizer, groups: list[ParamGroup]) -> list[Leaf]:
    """The optimizer's parameters in its own order, each with its modules."""
    known = {
        id(param): Leaf(group.part, group.side, names, param.numel())
        for group in groups
        for param, names in zip(group.params, group.names, strict=True)
    }
    return [known[id(param)] for param in given_parameters(optimizer)]
