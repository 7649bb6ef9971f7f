"""D-Adaptation (arXiv 2301.07733) for several runs at once; see `estimates`.

Each class is `dadaptation`'s of that name. `DAdaptAdanIP` is not here: its d is a tensor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lora_lab.optim.estimates import Group, Method, Run, bias_correction, couple, decouple, take, total

if TYPE_CHECKING:
    from lora_lab.optim.together import Rows


def _grown(group: Group, found: float) -> float:
    """D-Adaptation's new d: it never falls, and rises by `growth_rate` at most."""
    d = group["d"]
    return float(max(d, min(found, d * group.get("growth_rate", math.inf))))


class _Adam(Method):
    """What both forms of D-Adaptation of Adam have in common."""

    structure = frozenset({"betas", "eps", "decouple"})

    def move(self, rows: Rows, runs: Sequence[Run]) -> None:
        """Adam's step; its first moment holds the rates."""
        root = rows.state("exp_avg_sq").sqrt().add_(rows.groups[0]["eps"])
        if rows.groups[0]["decouple"]:
            decouple(rows, runs)
        rows.weights.addcdiv_(rows.state("exp_avg"), root, value=-1)


class DAdaptAdam(_Adam):
    """`dadaptation.DAdaptAdam`."""

    numbers = frozenset({"numerator_weighted", "growth_rate", "use_bias_correction", "layer_scale"})

    def rate(self, group: Group, lr: float) -> float:
        """With the correction of Adam's start, where that is on."""
        return float(group["d"] * lr * bias_correction(group))

    def measure(self, rows: Rows, runs: Sequence[Run]) -> Sequence[Tensor]:
        """Sums: the gradients times s, weighted, and the l1 norm of s."""
        group, (beta1, beta2) = rows.groups[0], rows.groups[0]["betas"]
        if not group["decouple"]:
            couple(rows)
        grads, s, square = rows.grads, rows.state("s"), rows.state("exp_avg_sq")
        progress = total((s / square.sqrt().add_(group["eps"])).mul_(grads))
        take(rows.state("exp_avg"), beta1, grads, rows.numbers(run.rate * (1 - beta1) for run in runs))
        square.mul_(beta2).addcmul_(grads, grads, value=1 - beta2)
        keep = beta2**0.5
        take(s, keep, grads, rows.numbers(run.rate * (1 - keep) for run in runs))
        return progress, total(s.abs())

    def settle(self, run: Run, sums: Sequence[float]) -> Mapping[str, float] | None:
        """By inner products."""
        return _by_inner_products(run, *sums)


def _by_inner_products(run: Run, progress: float, norm: float) -> Mapping[str, float] | None:
    group, keep = run.group, run.group["betas"][1] ** 0.5
    if norm == 0:
        return None
    weighted = keep * group["numerator_weighted"] + (1 - keep) * (run.rate * progress)
    new = {"numerator_weighted": weighted}
    return {**new, "d": _grown(group, weighted / ((1 - keep) * norm))} if run.lr > 0 else new


class DAdaptAdamPreprint(_Adam):
    """`dadaptation.experimental.DAdaptAdamPreprint`, which is meant by `dadaptation`."""

    numbers = frozenset({"gsq_weighted", "growth_rate"})

    def measure(self, rows: Rows, runs: Sequence[Run]) -> Sequence[Tensor]:
        """Sums: the squares of the gradients and of s, both weighted, and the l1 norm of s."""
        group, (beta1, beta2) = rows.groups[0], rows.groups[0]["betas"]
        if not group["decouple"]:
            couple(rows)
        grads, s, square = rows.grads, rows.state("s"), rows.state("exp_avg_sq")
        grad_square = grads * grads
        take(rows.state("exp_avg"), beta1, grads, rows.numbers(run.rate * (1 - beta1) for run in runs))
        square.mul_(beta2).add_(grad_square, alpha=1 - beta2)
        root = square.sqrt().add_(group["eps"])
        of_grads = total(grad_square.div_(root))
        take(s, beta2, grads, rows.numbers(run.rate * (1 - beta2) for run in runs))
        return of_grads, total((s * s).div_(root)), total(s.abs())

    def settle(self, run: Run, sums: Sequence[float]) -> Mapping[str, float] | None:
        """By squares."""
        return _by_squares(run, run.group["betas"][1], sums)


def _by_squares(run: Run, keep: float, sums: Sequence[float]) -> Mapping[str, float] | None:
    (of_grads, of_s, norm), group = sums, run.group
    if norm == 0:
        return None
    weighted = keep * group["gsq_weighted"] + of_grads * run.rate**2 * (1 - keep)
    new = {"gsq_weighted": weighted}
    return {**new, "d": _grown(group, (of_s / (1 - keep) - weighted) / norm)} if run.lr > 0 else new


class DAdaptLion(Method):
    """`dadaptation.DAdaptLion`: it moves before it estimates."""

    numbers = frozenset({"numerator_weighted"})
    structure = frozenset({"betas"})
    rests_at_rate_zero = False

    def measure(self, rows: Rows, runs: Sequence[Run]) -> Sequence[Tensor]:
        """Sums: the signs times s, and the l1 norm of s."""
        beta1, beta2 = rows.groups[0]["betas"]
        keep, rates = beta2**0.5, rows.numbers(run.rate for run in runs)
        momentum, s, decay = rows.state("exp_avg"), rows.state("s"), rows.decay()
        if decay is not None:
            rows.weights.mul_(1 - rates * decay)
        signs = (momentum * beta1).add_(rows.grads, alpha=1 - beta1).sign_()
        rows.weights.addcmul_(signs, rates, value=-1)
        take(momentum, beta2, rows.grads, rates * (1 - beta2))
        progress = total(signs * s)
        take(s, keep, signs, rates * (1 - keep))
        return progress, total(s.abs())

    def settle(self, run: Run, sums: Sequence[float]) -> Mapping[str, float] | None:
        """By inner products."""
        return _by_inner_products(run, *sums)

    def move(self, rows: Rows, runs: Sequence[Run]) -> None:
        """Done."""


class DAdaptSGD(Method):
    """`dadaptation.DAdaptSGD`, which `build` lets rest at rate 0."""

    numbers = frozenset({"numerator_weighted", "growth_rate", "g0_norm"})
    structure = frozenset({"momentum"})

    def rate(self, group: Group, lr: float) -> float:
        """Over the norm of the first gradients."""
        return float(group["d"] * lr / group["g0_norm"])

    def measure(self, rows: Rows, runs: Sequence[Run]) -> Sequence[Tensor]:
        """Sums: the gradients times s, and the squares of s."""
        couple(rows)
        s = rows.state("s")
        progress = total(rows.grads * s)
        s.addcmul_(rows.grads, rows.numbers(run.rate for run in runs))
        return progress, total(s * s)

    def settle(self, run: Run, sums: Sequence[float]) -> Mapping[str, float] | None:
        """By inner products that nothing fades out of."""
        (progress, square), group = sums, run.group
        weighted = group["numerator_weighted"] + run.rate * progress
        return {"numerator_weighted": weighted, "d": _grown(group, 2 * weighted / math.sqrt(square))}

    def move(self, rows: Rows, runs: Sequence[Run]) -> None:
        """Dual averaging, mixed by the momentum."""
        share = 1 - rows.groups[0]["momentum"]
        z = torch.sub(rows.state("x0"), rows.state("s"), out=rows.state("z"))
        rows.weights.mul_(1 - share).add_(z, alpha=share)


class DAdaptAdaGrad(Method):
    """`dadaptation.DAdaptAdaGrad`, for gradients that are not sparse."""

    numbers = frozenset({"gsq_weighted", "sksq_weighted", "skl1", "growth_rate"})
    structure = frozenset({"momentum", "eps"})
    rests_at_rate_zero = False

    def measure(self, rows: Rows, runs: Sequence[Run]) -> Sequence[Tensor]:
        """Sums: the weighted squares of the gradients, then how s's weighted squares and l1 norm change."""
        couple(rows)
        sk, alphak, eps = rows.state("sk"), rows.state("alphak"), rows.groups[0]["eps"]
        square_before = total((sk * sk).div_(alphak.sqrt().add_(eps)))
        norm_before = total(sk.abs())
        grad_square = rows.grads * rows.grads
        root = alphak.add_(grad_square).sqrt().add_(eps)
        of_grads = total(grad_square.div_(root))
        sk.addcmul_(rows.grads, rows.numbers(run.rate for run in runs))
        square_after = total((sk * sk).div_(root))
        return of_grads, square_before, square_after, norm_before, total(sk.abs())

    def settle(self, run: Run, sums: Sequence[float]) -> Mapping[str, float] | None:
        """By squares that nothing fades out of."""
        (of_grads, square_before, square_after, norm_before, norm_after), group = sums, run.group
        square = group["sksq_weighted"] + (square_after - square_before)
        norm = group["skl1"] + (norm_after - norm_before)
        if norm == 0:
            return None
        weighted = group["gsq_weighted"] + run.rate * run.rate * of_grads
        new = {"gsq_weighted": weighted, "sksq_weighted": square, "skl1": norm}
        return {**new, "d": _grown(group, (square - weighted) / norm)} if run.lr > 0 else new

    def move(self, rows: Rows, runs: Sequence[Run]) -> None:
        """AdaGrad by dual averaging, mixed by the momentum."""
        group = rows.groups[0]
        z = rows.state("x0") - rows.state("sk") / rows.state("alphak").sqrt().add_(group["eps"])
        share = 1 - group["momentum"]
        rows.weights.mul_(1 - share).add_(z, alpha=share) if share != 1 else rows.weights.copy_(z)


class DAdaptAdan(Method):
    """`dadaptation.DAdaptAdan`."""

    numbers = frozenset({"gsq_weighted", "growth_rate"})
    structure = frozenset({"betas", "eps", "no_prox"})
    rests_at_rate_zero = False

    def has_begun(self, states: Iterable[Mapping[str, Any]]) -> bool:
        """Until its first step counts, it takes the gradients themselves for those before."""
        return all(state and state["step"] for state in states)

    def measure(self, rows: Rows, runs: Sequence[Run]) -> Sequence[Tensor]:
        """Sums: the squares of the gradients and of s, both weighted, and the l1 norm of s."""
        group, (beta1, beta2, beta3) = rows.groups[0], rows.groups[0]["betas"]
        grads, s, square = rows.grads, rows.state("s"), rows.state("exp_avg_sq")
        change = grads - rows.state("pre_grad")
        ahead = grads + change * beta2
        rates = rows.numbers(run.rate for run in runs)
        take(rows.state("exp_avg"), beta1, grads, rates * (1 - beta1))
        take(rows.state("exp_avg_diff"), beta2, change, rates * (1 - beta2))
        root = square.mul_(beta3).addcmul_(ahead, ahead, value=1 - beta3).sqrt().add_(group["eps"])
        of_grads = total((grads * grads).div_(root))
        take(s, beta3, grads, rates * (1 - beta3))
        return of_grads, total((s * s).div_(root)), total(s.abs())

    def settle(self, run: Run, sums: Sequence[float]) -> Mapping[str, float] | None:
        """By squares."""
        return _by_squares(run, run.group["betas"][2], sums)

    def move(self, rows: Rows, runs: Sequence[Run]) -> None:
        """Adan's step, with its decay before or behind."""
        group, beta2 = rows.groups[0], rows.groups[0]["betas"][1]
        root = rows.state("exp_avg_sq").sqrt().add_(group["eps"])
        step = torch.add(rows.state("exp_avg"), rows.state("exp_avg_diff"), alpha=beta2).div_(root)
        each = zip(rows.groups, runs, strict=True)
        decays = rows.numbers(run.rate * group["weight_decay"] for group, run in each)
        if group["no_prox"]:
            rows.weights.mul_(1 - decays).sub_(step)
        else:
            rows.weights.sub_(step).div_(1 + decays)
        rows.state("pre_grad").copy_(rows.grads)
