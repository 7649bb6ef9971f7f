"""One set of operations for the optimizers of several runs, each with its own rate, decay and state.

The runs of a pack have the same leaves at the same distance in memory. What `step` would do to each of them
is done here to all at once: on a view `(K, *shape)` of the leaves, with numbers `(K, 1, ...)` where the runs
differ. State stays in each run's own optimizer, so that storing and leaving do not change; it is laid out
side by side the first time that runs step together, and is a view from then on.

A leaf's first step is left to its optimizer, which makes the state.

Optimizers that estimate their rate (see `estimates`) step in two halves, with one transfer of all runs' sums
from the device in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from lora_lab.optim.adafactor import Adafactor, update_rows
from lora_lab.optim.d_adaptation import (
    DAdaptAdaGrad,
    DAdaptAdam,
    DAdaptAdamPreprint,
    DAdaptAdan,
    DAdaptLion,
    DAdaptSGD,
)
from lora_lab.optim.estimates import Method, Prodigy, Run
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

    def row(self, index: int) -> Rows:
        """The leaf of one of the runs."""
        one = slice(index, index + 1)
        return Rows(self.weights[one], self.grads[one], self.groups[one], self.states[one])

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


def _method_of(optimizer: Optimizer) -> Method | None:
    """What an optimizer's class does, in three parts; None for other classes."""
    kind = type(optimizer)
    return _METHODS.get(f"{kind.__module__}.{kind.__qualname__}")


def joins(optimizer: Optimizer) -> bool:
    """Whether `step_together` takes this optimizer: a class it knows, in fp32 or wider, without copies."""
    method = _method_of(optimizer)
    if method is None and type(optimizer) not in _UPDATES:
        return False
    if optimizer._optimizer_step_pre_hooks or (method and not method.takes(optimizer)):
        return False
    return all(
        parameter.dtype in (torch.float32, torch.float64)
        for group in optimizer.param_groups
        for parameter in group["params"]
    )


@torch.no_grad()
def step_together(optimizers: Sequence[Optimizer]) -> dict[Optimizer, Exception]:
    """Make the step of every optimizer; all must be of those that `joins` names, with gradients in place.

    Returns what went wrong with single ones; the others have made their steps.
    """
    failed: dict[Optimizer, Exception] = {}
    begun, estimating = list[Optimizer](), list[Optimizer]()
    for optimizer in optimizers:
        if not _has_begun(optimizer):
            try:
                optimizer.step()
            except Exception as error:
                failed[optimizer] = error
        else:
            (estimating if _method_of(optimizer) else begun).append(optimizer)
    bundles: dict[tuple[Any, ...], list[Leaf]] = {}
    for optimizer in begun:
        for group in optimizer.param_groups:
            _bundle(bundles, (type(optimizer), _arguments(group)), optimizer, group)
    for key, leaves in bundles.items():
        for rows in _evenly_spaced(leaves):
            _UPDATES[key[0]](rows)
    _step_estimating(estimating, failed)
    return failed


def _has_begun(optimizer: Optimizer) -> bool:
    """Whether every leaf has what its class keeps."""
    groups, method = optimizer.param_groups, _method_of(optimizer)
    if isinstance(optimizer, SGD) and not groups[0]["momentum"]:
        return True
    states = (optimizer.state.get(weight, {}) for group in groups for weight in group["params"])
    if method:
        # Their classes have words of their own for groups of several rates.
        return len({group["lr"] for group in groups}) == 1 and method.has_begun(states)
    return all(weight in optimizer.state for group in groups for weight in group["params"])


def _bundle(
    bundles: dict[tuple[Any, ...], list[Leaf]],
    kind: tuple[Any, ...],
    optimizer: Optimizer,
    group: dict[str, Any],
) -> None:
    """Sort the leaves of a group to those of other runs that one set of operations can serve."""
    for index, weight in enumerate(group["params"]):
        state = optimizer.state.get(weight, {})
        method = _method_of(optimizer)
        own = method.structure_of(group, state) if method else ()
        key = (*kind, *own, group.get("part"), index, weight.shape, weight.stride(), weight.dtype)
        bundles.setdefault(key, []).append((group, weight, state))


@dataclass(frozen=True)
class _Measured:
    """A leaf of several runs between the halves of a step: `sums` are its method's, each `(K,)`."""

    method: Method
    rows: Rows
    runs: list[Run]
    sums: Sequence[Tensor]


def _step_estimating(optimizers: Sequence[Optimizer], failed: dict[Optimizer, Exception]) -> None:
    """The step of optimizers that estimate their rate; what goes wrong with one is put into `failed`."""
    bundles: dict[tuple[Any, ...], list[Leaf]] = {}
    runs: dict[int, Run] = {}
    for optimizer in optimizers:
        method, lr = _method_of(optimizer), optimizer.param_groups[0]["lr"]
        assert method
        if lr == 0 and method.rests_at_rate_zero:
            continue
        run = Run(optimizer, lr, method.rate(optimizer.param_groups[0], lr))
        for group in optimizer.param_groups:
            runs[id(group)] = run
            _bundle(bundles, (method,), optimizer, group)
    leaves: list[_Measured] = []
    for key, bundle in bundles.items():
        for rows in _evenly_spaced(bundle):
            own = [runs[id(group)] for group in rows.groups]
            leaves.append(_Measured(key[0], rows, own, key[0].measure(rows, own)))
    moving = _settled(leaves, failed)
    for leaf in leaves:
        here = [index for index, run in enumerate(leaf.runs) if run in moving]
        for index in here:
            if "step" in leaf.rows.states[index]:
                leaf.rows.states[index]["step"] += 1
        if len(here) == len(leaf.runs):
            leaf.method.move(leaf.rows, leaf.runs)
        else:
            for index in here:
                leaf.method.move(leaf.rows.row(index), [leaf.runs[index]])


def _settled(leaves: Sequence[_Measured], failed: dict[Optimizer, Exception]) -> set[Run]:
    """Read all sums at once, and give the groups their new numbers; returns the runs that move."""
    if not leaves:
        return set()
    numbers = iter(torch.cat([sums for leaf in leaves for sums in leaf.sums]).tolist())
    totals: dict[Run, list[float]] = {}
    methods: dict[Run, Method] = {}
    for leaf in leaves:
        for place in range(len(leaf.sums)):
            for run in leaf.runs:
                methods[run] = leaf.method
                own = totals.setdefault(run, [0.0] * len(leaf.sums))
                own[place] += next(numbers)
    moving: set[Run] = set()
    for run, sums in totals.items():
        try:
            new = methods[run].settle(run, sums)
        except ArithmeticError as error:
            failed[run.optimizer] = error
            continue
        if new is None:
            continue
        moving.add(run)
        for group in run.optimizer.param_groups:
            group.update(new)
            group["k"] += 1
    return moving


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

_METHODS: Mapping[str, Method] = {
    "prodigyopt.prodigy.Prodigy": Prodigy(),
    "dadaptation.dadapt_adam.DAdaptAdam": DAdaptAdam(),
    "dadaptation.experimental.dadapt_adam_preprint.DAdaptAdamPreprint": DAdaptAdamPreprint(),
    "dadaptation.dadapt_lion.DAdaptLion": DAdaptLion(),
    "dadaptation.dadapt_sgd.DAdaptSGD": DAdaptSGD(),
    "dadaptation.dadapt_adagrad.DAdaptAdaGrad": DAdaptAdaGrad(),
    "dadaptation.dadapt_adan.DAdaptAdan": DAdaptAdan(),
}
"""By the classes' places, so that packages which no run needs are not imported."""
