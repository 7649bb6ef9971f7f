"""Adafactor on stacks of tensors (Shazeer and Stern 2018, arXiv 1804.04235).

One parameter is a stack `[n, ...]` of n tensors of one shape; every leading index has its own statistics,
clipping and rate, so that a stack gives what n separate parameters give in `transformers.Adafactor`, in
about 30 operations instead of 30 n. As there, the last two dimensions of a tensor are factored, however
many it has (a 3x3 convolution over its 3x3 taps; a 1x1 convolution not at all, in effect), and tensors of
one dimension are not.

Shape suffixes: K runs that step together, N tensors of the stack, D their other dimensions, R rows, C columns
(the last two dimensions).
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lora_lab.optim.stepping import step_each

if TYPE_CHECKING:
    from lora_lab.optim.together import Rows


class Adafactor(torch.optim.Optimizer):
    """Adafactor in both modes: with `relative_step` it sets its own rate and `lr` is not used."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | None = None,
        *,
        eps: tuple[float, float] = (1e-30, 1e-3),
        clip_threshold: float = 1.0,
        decay_rate: float = -0.8,
        beta1: float | None = None,
        weight_decay: float = 0.0,
        scale_parameter: bool = True,
        relative_step: bool = True,
        warmup_init: bool = False,
    ) -> None:
        """Take stacks `[n, ...]` as parameters; arguments as in the paper (eps: its epsilon 1 and 2).

        They are those of `transformers.Adafactor`, one by one as torch's optimizers have them: any class gets
        `optimizer.args` by name.

        Args:
            decay_rate: Exponent of the second moment's decay, 1 - t^decay_rate.
            scale_parameter: Multiply the rate by max(eps[1], RMS of the tensor).
            warmup_init: Start the relative step at 1e-6 t instead of 1e-2.
        """
        defaults = {
            "lr": lr, "eps": eps, "clip_threshold": clip_threshold, "decay_rate": decay_rate, "beta1": beta1,
            "weight_decay": weight_decay, "scale_parameter": scale_parameter, "relative_step": relative_step,
            "warmup_init": warmup_init,
        }  # fmt: skip
        super().__init__(params, defaults)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        return step_each(self, closure, _update)


def _update(weight_NDRC: Tensor, grad_NDRC: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
    half = weight_NDRC.dtype in (torch.float16, torch.bfloat16)
    grad_NDRC = grad_NDRC.float() if half else grad_NDRC
    work_NDRC = weight_NDRC.float() if half else weight_NDRC
    if not state:
        _start(state, grad_NDRC, group["beta1"] is not None)
    state["step"] += 1
    keep = _keep(group, state["step"])
    numbers = _Numbers(_rate(group, state["step"]), keep, 1.0 - keep, group["weight_decay"])
    state["rate"] = _change(work_NDRC, grad_NDRC, group, state, numbers)
    if half:
        weight_NDRC.copy_(work_NDRC)


@dataclass(frozen=True)
class _Numbers:
    """What runs may differ in: a number, or one for each of K runs, `(K, 1, ...)`.

    `keep` and `rest` are the shares of the old and the new second moment; `decay` is None for no decay.
    """

    rate: float | Tensor
    keep: float | Tensor
    rest: float | Tensor
    decay: float | Tensor | None


def update_rows(rows: "Rows") -> None:
    """The step of K runs at once, on stacks `(K, n, ...)` of theirs; see `together`."""
    groups, states = rows.groups, rows.states
    for state in states:
        state["step"] += 1
    keeps = [_keep(group, state["step"]) for group, state in zip(groups, states, strict=True)]
    numbers = _Numbers(
        rows.numbers(_rate(group, state["step"]) for group, state in zip(groups, states, strict=True)),
        rows.numbers(keeps),
        rows.numbers(1.0 - keep for keep in keeps),
        rows.decay(),
    )
    kept = {key: rows.state(key) for key in states[0] if key.startswith("exp_avg")}
    rates_KN = _change(rows.weights, rows.grads, groups[0], kept, numbers)
    for state, rate_N in zip(states, rates_KN.unbind(), strict=True):
        state["rate"] = rate_N


def _change(
    weight: Tensor, grad: Tensor, group: dict[str, Any], state: Mapping[str, Tensor], numbers: _Numbers
) -> Tensor:
    """Change stacks `(N, ...)`, or `(K, N, ...)` of several runs, in place; returns the tensors' rates."""
    lead = 2 if isinstance(numbers.keep, Tensor) else 1
    rate_N = _rates(weight, group, numbers.rate, lead)
    update = _normalised(grad, group, state, numbers, lead)
    shrink_N = rate_N / (_rms(update, lead) / group["clip_threshold"]).clamp_(min=1.0)
    update.mul_(_spread(shrink_N, update))
    if group["beta1"] is not None:
        momentum = state["exp_avg"]
        update = momentum.mul_(group["beta1"]).add_(update, alpha=1 - group["beta1"])
    if isinstance(numbers.decay, Tensor):
        weight.addcmul_(weight, _spread(rate_N * _fit(numbers.decay, rate_N), weight), value=-1)
    elif numbers.decay:
        weight.addcmul_(weight, _spread(rate_N, weight), value=-numbers.decay)
    weight.sub_(update)
    return rate_N


def _start(state: dict[str, Any], grad_NDRC: Tensor, momentum: bool) -> None:
    state["step"] = 0
    if grad_NDRC.dim() > 2:
        state["exp_avg_sq_row"] = grad_NDRC.new_zeros(grad_NDRC.shape[:-1])
        state["exp_avg_sq_col"] = grad_NDRC.new_zeros(grad_NDRC.shape[:-2] + grad_NDRC.shape[-1:])
    else:
        state["exp_avg_sq"] = grad_NDRC.new_zeros(grad_NDRC.shape)
    if momentum:
        state["exp_avg"] = grad_NDRC.new_zeros(grad_NDRC.shape)


def _keep(group: dict[str, Any], step: int) -> float:
    return 1.0 - math.pow(step, group["decay_rate"])


def _rate(group: dict[str, Any], step: int) -> float:
    """The rate before it is scaled by the tensors: section 8, algorithm 5 of the paper."""
    if group["relative_step"]:
        return min(1e-6 * step if group["warmup_init"] else 1e-2, 1.0 / math.sqrt(step))
    return float(group["lr"])


def _rates(weight: Tensor, group: dict[str, Any], rate: float | Tensor, lead: int) -> Tensor:
    """The rate of each tensor."""
    if group["scale_parameter"]:
        found = _rms(weight, lead).clamp_(min=group["eps"][1])
    else:
        found = weight.new_ones(weight.shape[:lead])
    return found.mul_(_fit(rate, found))


def _normalised(
    grad: Tensor, group: dict[str, Any], state: Mapping[str, Tensor], numbers: _Numbers, lead: int
) -> Tensor:
    """The gradient over the root of its second moment: algorithm 4 of the paper where it is factored."""
    square = grad.square().add_(group["eps"][0])
    if grad.dim() <= lead + 1:
        return _blend(state["exp_avg_sq"], square, numbers).rsqrt().mul_(grad)
    row = _blend(state["exp_avg_sq_row"], square.mean(dim=-1), numbers)
    column = _blend(state["exp_avg_sq_col"], square.mean(dim=-2), numbers)
    row_factor = (row / row.mean(dim=-1, keepdim=True)).rsqrt_()
    return torch.mul(row_factor.unsqueeze(-1), column.rsqrt().unsqueeze(-2)).mul_(grad)


def _blend(moment: Tensor, new: Tensor, numbers: _Numbers) -> Tensor:
    """The running mean, in place."""
    moment.mul_(_fit(numbers.keep, moment))
    if isinstance(numbers.rest, Tensor):
        return moment.addcmul_(new, _fit(numbers.rest, moment))
    return moment.add_(new, alpha=numbers.rest)


def _rms(stack: Tensor, lead: int) -> Tensor:
    inner = tuple(range(lead, stack.dim()))
    norm_N = torch.linalg.vector_norm(stack, dim=inner) if inner else stack.abs()
    return norm_N.div_(math.prod(stack.shape[lead:]) ** 0.5)


def _fit(number: Any, like: Tensor) -> Any:
    """A number as it is; numbers of K runs with as many dimensions as `like`."""
    return _spread(number.flatten(), like) if isinstance(number, Tensor) else number


def _spread(values: Tensor, like: Tensor) -> Tensor:
    """Values of the first dimensions of `like`, to multiply it by."""
    return values.view(*values.shape, *[1] * (like.dim() - values.dim()))
