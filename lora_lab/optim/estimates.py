"""Optimizers that estimate their rate, for several runs at once; Prodigy (arXiv 2306.06101).

These classes estimate their rate, d, from sums over all weights of a run: first the moments take in the
gradients and the sums are measured, then the host works out every run's new d, then the weights move. Here
the sums of all leaves of all runs are read at once, so that the host waits once a step, whatever the number
of runs and leaves.

The state is that of the packages' classes, name by name, in each run's own optimizer; d and what belongs to
it are plain numbers in the groups, as there.

`Method` is what a class does in those three parts; `d_adaptation` has more of them.

Shapes: K runs, sums `(K,)`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor
from torch.optim import Optimizer

if TYPE_CHECKING:
    from lora_lab.optim.together import Rows

Group = dict[str, Any]
_ANY = frozenset({"params", "lr", "initial_lr", "weight_decay", "part", "d", "k", "log_every", "fsdp_in_use"})
"""What the groups of all these classes have, and ours besides."""


@dataclass(eq=False)
class Run:
    """One run in a step. `rate` is what its moments are weighted by: d times the learning rate, or as the
    class has it."""

    optimizer: Optimizer
    lr: float
    rate: float

    @property
    def group(self) -> Group:
        """The group that these classes take their numbers from."""
        group: Group = self.optimizer.param_groups[0]
        return group


class Method:
    """A class in three parts: `measure`, `settle`, `move`.

    Attributes:
        numbers: Names of its group in which runs of one set of operations may differ.
        structure: Names in which they may not.
        rests_at_rate_zero: Whether a step at rate 0 changes nothing.
    """

    numbers: ClassVar[frozenset[str]]
    structure: ClassVar[frozenset[str]]
    rests_at_rate_zero: ClassVar[bool] = True

    def takes(self, optimizer: Optimizer) -> bool:
        """Whether all that is set is known here, and needs no number on the way but these.

        `log_every` prints while it steps, `fsdp_in_use` asks other machines, and a layer scale is nothing
        that a run can set; names that are not known are of another version of the package.
        """
        known = _ANY | self.numbers | self.structure
        return all(
            known.issuperset(group)
            and not group.get("log_every")
            and not group.get("fsdp_in_use")
            and group.get("layer_scale", 1.0) == 1.0
            for group in optimizer.param_groups
        )

    def has_begun(self, states: Iterable[Mapping[str, Any]]) -> bool:
        """Whether the states of a run hold all that its next step needs."""
        return all(states)

    def structure_of(self, group: Group, state: Mapping[str, Any]) -> tuple[object, ...]:
        """What the leaves of one set of operations have in common."""
        values = (group[name] for name in sorted(self.structure))
        return tuple(tuple(value) if isinstance(value, list) else value for value in values)

    def rate(self, group: Group, lr: float) -> float:
        """The rate that the moments are weighted by."""
        return float(group["d"] * lr)

    def measure(self, rows: Rows, runs: Sequence[Run]) -> Sequence[Tensor]:
        """Take the gradients into the moments; returns the sums that d is estimated from, each `(K,)`."""
        raise NotImplementedError

    def settle(self, run: Run, sums: Sequence[float]) -> Mapping[str, float] | None:
        """The new numbers of a run's groups; None where nothing was learnt: then the weights stay."""
        raise NotImplementedError

    def move(self, rows: Rows, runs: Sequence[Run]) -> None:
        """Move the weights of the runs whose numbers are settled."""
        raise NotImplementedError


def total(values: Tensor) -> Tensor:
    """The sum of each run's values, `(K,)`."""
    return values.flatten(1).sum(1)


def take(moment: Tensor, keep: float, grads: Tensor, share: Tensor) -> None:
    """A running mean, in place, in which every run's gradients have a weight of their own."""
    moment.mul_(keep).addcmul_(grads, share)


def couple(rows: Rows) -> None:
    """Weight decay as part of the gradient."""
    if (decay := rows.decay()) is not None:
        rows.grads.addcmul_(rows.weights, decay)


def decouple(rows: Rows, runs: Sequence[Run]) -> None:
    """Weight decay beside the gradient, at the rate before the new estimate."""
    if any(run.group["weight_decay"] for run in runs):
        shares = (-group["weight_decay"] * run.rate for group, run in zip(rows.groups, runs, strict=True))
        rows.weights.addcmul_(rows.weights, rows.numbers(shares))


def bias_correction(group: Group) -> float:
    """Adam's correction of its start; 1 where it is off."""
    if not group["use_bias_correction"]:
        return 1.0
    (beta1, beta2), steps = group["betas"], group["k"] + 1
    return float((1 - beta2**steps) ** 0.5 / (1 - beta1**steps))


class Prodigy(Method):
    """`prodigyopt.Prodigy`."""

    numbers = frozenset({
        "d0", "d_max", "d_numerator", "d_denom", "d_hat", "d_coef", "growth_rate", "eps",
        "use_bias_correction", "safeguard_warmup",
    })  # fmt: skip
    structure = frozenset({"betas", "beta3", "decouple", "slice_p"})

    def structure_of(self, group: Group, state: Mapping[str, Any]) -> tuple[object, ...]:
        """Weights that began as zeros have one zero in place of their beginning."""
        return (*super().structure_of(group, state), state["p0"].dim())

    def rate(self, group: Group, lr: float) -> float:
        """With the correction of Adam's start, where that is on."""
        return float(group["d"] * lr * bias_correction(group))

    @staticmethod
    def _beta3(group: Group) -> float:
        return float(math.sqrt(group["betas"][1]) if group["beta3"] is None else group["beta3"])

    def measure(self, rows: Rows, runs: Sequence[Run]) -> Sequence[Tensor]:
        """Sums: the gradients times the way from the beginning, and the l1 norm of s."""
        group, (beta1, beta2) = rows.groups[0], rows.groups[0]["betas"]
        if not group["decouple"]:
            couple(rows)
        grads = rows.grads
        sliced = grads.flatten(1)[:, :: group["slice_p"]]
        begun = rows.state("p0")
        way = begun.view(len(runs), -1) - rows.weights.flatten(1)[:, :: group["slice_p"]]
        progress = way.mul_(sliced).sum(1)
        if beta1 > 0:
            share = rows.numbers(run.group["d"] * (1 - beta1) for run in runs)
            take(rows.state("exp_avg"), beta1, grads, share)
        share = rows.numbers(run.group["d"] * run.group["d"] * (1 - beta2) for run in runs)
        take(rows.state("exp_avg_sq"), beta2, grads, grads * share)
        s = rows.state("s")
        share = rows.numbers(map(self._weight_of_s, runs))
        take(s, self._beta3(group), sliced, share.view(-1, 1))
        return progress, s.abs().sum(1)

    @staticmethod
    def _weight_of_s(run: Run) -> float:
        group = run.group
        return float(group["d"] / group["d0"] * (group["d"] if group["safeguard_warmup"] else run.rate))

    def settle(self, run: Run, sums: Sequence[float]) -> Mapping[str, float] | None:
        """`d_max` is the largest estimate so far, which d follows as fast as `growth_rate` lets it."""
        (progress, norm), group = sums, run.group
        if norm == 0:
            return None
        d, weight = group["d"], group["d"] / group["d0"] * run.rate
        numerator = group["d_numerator"] * self._beta3(group) + weight * progress
        found = group["d_coef"] * numerator / norm
        if d == group["d0"]:
            d = max(d, found)
        largest = max(group["d_max"], found)
        return {
            "d_numerator": numerator, "d_denom": norm, "d_hat": found, "d_max": largest,
            "d": min(largest, d * group["growth_rate"]),
        }  # fmt: skip

    def move(self, rows: Rows, runs: Sequence[Run]) -> None:
        """Adam's step."""
        group = rows.groups[0]
        floor = rows.numbers(run.group["d"] * run.group["eps"] for run in runs)
        root = rows.state("exp_avg_sq").sqrt().add_(floor)
        if group["decouple"]:
            decouple(rows, runs)
        if group["betas"][0] > 0:
            step, rates = rows.state("exp_avg") / root, (-run.rate for run in runs)
        else:
            step, rates = rows.grads / root, (-run.rate * run.group["d"] for run in runs)
        rows.weights.addcmul_(step, rows.numbers(rates))
