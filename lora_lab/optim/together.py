"""One set of operations for the optimizers of several runs, each with its own rate, decay and state.

The runs of a pack have the same leaves at the same distance in memory. What `step` would do to each of them
is done here to all at once: on a view `(K, *shape)` of the leaves, with numbers `(K, 1, ...)` where the runs
differ. State stays in each run's own optimizer, so that storing and leaving do not change; it is laid out
side by side the first time that runs step together, and is a view from then on.

A leaf's first step is left to its optimizer, which makes the state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from lora_lab.optim.adafactor import Adafactor, update_rows
from lora_lab.optim.lion import Lion

_OWN = {"params", "lr", "initial_lr", "weight_decay", "part"}
"""What runs of one set of operations may differ in; all other arguments have to be equal."""
Leaf = tuple[dict[str, Any], Tensor, dict[str, Any]]
"""A parameter with its group and its state."""


@dataclass(frozen=True)
class Rows:
    """The same leaf of K runs: views `(K, *shape)` of weights and gradients, and the runs' own groups."""

    weights: Tensor
    grads: Tensor
    groups: Sequence[dict[str, Any]]
    states: Sequence[dict[str, Any]]

    def numbers(self, values: Iterable[float]) -> Tensor:
        """One number for each run, to multiply its row by: `(K, 1, ...)`."""
        weights = self.weights
        made = torch.tensor(list(values), dtype=weights.dtype, device=weights.device)
        return made.view(-1, *[1] * (weights.dim() - 1))

    def state(self, key: str) -> Tensor:
        """A state of all runs, `(K, ...)`; writing to it is writing to theirs."""
        own = [state[key] for state in self.states]
        side_by_side = in_one_view(own)
        if side_by_side is None:
            side_by_side = torch.stack(own)
            for state, row in zip(self.states, side_by_side.unbind(), strict=True):
                state[key] = row
        return side_by_side

    def decay(self) -> Tensor | None:
        """The weight decay of each run; None where no run has any."""
        decays = [group["weight_decay"] for group in self.groups]
        return self.numbers(decays) if any(decays) else None


def in_one_view(tensors: Sequence[Tensor]) -> Tensor | None:
    """`(K, *shape)` without a copy, of tensors that lie at equal distances in one storage; else None."""
    first = tensors[0]
    storage = first.untyped_storage().data_ptr()
    for tensor in tensors[1:]:
        alike = tensor.shape == first.shape and tensor.stride() == first.stride()
        if not alike or tensor.dtype != first.dtype or tensor.untyped_storage().data_ptr() != storage:
            return None
    steps = {b.storage_offset() - a.storage_offset() for a, b in pairwise(tensors)}
    if len(steps) > 1 or min(steps, default=1) <= 0:
        return None
    stride = (min(steps, default=1), *first.stride())
    return first.detach().as_strided((len(tensors), *first.shape), stride, first.storage_offset())


def joins(optimizer: Optimizer) -> bool:
    """Whether `step_together` takes this optimizer: a class it knows, in fp32 or wider, without copies."""
    if type(optimizer) not in _UPDATES or optimizer._optimizer_step_pre_hooks:
        return False
    return all(
        parameter.dtype in (torch.float32, torch.float64)
        for group in optimizer.param_groups
        for parameter in group["params"]
    )


@torch.no_grad()
def step_together(optimizers: Sequence[Optimizer]) -> None:
    """Make the step of every optimizer; all must be of those that `joins` names, with gradients in place."""
    begun = [optimizer for optimizer in optimizers if _has_begun(optimizer)]
    for optimizer in optimizers:
        if optimizer not in begun:
            optimizer.step()
    bundles: dict[tuple[Any, ...], list[Leaf]] = {}
    for optimizer in begun:
        for group in optimizer.param_groups:
            kind = (type(optimizer), group.get("part"), _arguments(group))
            for index, weight in enumerate(group["params"]):
                key = (*kind, index, weight.shape, weight.stride(), weight.dtype)
                bundles.setdefault(key, []).append((group, weight, optimizer.state.get(weight, {})))
    for key, leaves in bundles.items():
        for rows in _evenly_spaced(leaves):
            _UPDATES[key[0]](rows)


def _has_begun(optimizer: Optimizer) -> bool:
    """Whether every leaf has what its class keeps."""
    if isinstance(optimizer, SGD) and not optimizer.param_groups[0]["momentum"]:
        return True
    return all(weight in optimizer.state for group in optimizer.param_groups for weight in group["params"])


def _arguments(group: dict[str, Any]) -> tuple[Any, ...]:
    values = ((name, value) for name, value in sorted(group.items()) if name not in _OWN)
    return tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in values)


def _evenly_spaced(leaves: Sequence[Leaf]) -> Iterator[Rows]:
    """The leaves in their order in memory, in as few views as there are changes of distance."""
    waiting = sorted(leaves, key=lambda leaf: leaf[1].data_ptr())
    while waiting:
        count = len(waiting)
        while (weights := in_one_view([leaf[1] for leaf in waiting[:count]])) is None:
            count -= 1
        taken, waiting = waiting[:count], waiting[count:]
        grads = [leaf[1].grad for leaf in taken]
        found = in_one_view([grad for grad in grads if grad is not None])
        assert found is not None and len(found) == count, "gradients lie as their weights do"
        yield Rows(weights, found, [leaf[0] for leaf in taken], [leaf[2] for leaf in taken])


def _lion(rows: Rows) -> None:
    """Lion's program, as in `lion`."""
    beta1, beta2 = rows.groups[0]["betas"]
    momentum, decay = rows.state("exp_avg"), rows.decay()
    rates = rows.numbers(group["lr"] for group in rows.groups)
    direction = torch.lerp(rows.grads, momentum, beta1).sign_()
    if decay is not None:
        rows.weights.mul_(1 - rates * decay)
    rows.weights.addcmul_(direction, rates, value=-1)
    momentum.lerp_(rows.grads, 1 - beta2)


def _sgd(rows: Rows) -> None:
    """Gradient descent as `torch.optim.SGD` has it."""
    group, decay = rows.groups[0], rows.decay()
    grads = -rows.grads if group["maximize"] else rows.grads
    if decay is not None:
        grads = torch.addcmul(grads, rows.weights, decay)
    if group["momentum"]:
        momentum = rows.state("momentum_buffer").mul_(group["momentum"])
        momentum.add_(grads, alpha=1 - group["dampening"])
        grads = grads.add(momentum, alpha=group["momentum"]) if group["nesterov"] else momentum
    rates = rows.numbers(group["lr"] for group in rows.groups)
    rows.weights.addcmul_(grads, rates, value=-1)


_UPDATES: dict[type[Optimizer], Callable[[Rows], None]] = {Adafactor: update_rows, Lion: _lion, SGD: _sgd}
