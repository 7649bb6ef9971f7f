"""Adafactor on stacks of tensors (Shazeer and Stern 2018, arXiv 1804.04235).

One parameter is a stack `[n, ...]` of n tensors of one shape; every leading index has its own statistics,
clipping and rate, so that a stack gives what n separate parameters give in `transformers.Adafactor`, in
about 30 operations instead of 30 n. As there, the last two dimensions of a tensor are factored, however
many it has (a 3x3 convolution over its 3x3 taps; a 1x1 convolution not at all, in effect), and tensors of
one dimension are not.

Shape suffixes: N tensors of the stack, D their other dimensions, R rows, C columns (the last two
dimensions).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


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

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    _update(parameter, parameter.grad, group, self.state[parameter])
        return loss


def _update(weight_NDRC: Tensor, grad_NDRC: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
    half = weight_NDRC.dtype in (torch.float16, torch.bfloat16)
    grad_NDRC = grad_NDRC.float() if half else grad_NDRC
    work_NDRC = weight_NDRC.float() if half else weight_NDRC
    if not state:
        _start(state, grad_NDRC, group["beta1"] is not None)
    state["step"] += 1
    rate_N = _rates(work_NDRC, group, state["step"])
    state["rate"] = rate_N
    update_NDRC = _normalised(grad_NDRC, group, state)
    rms_N = _rms(update_NDRC)
    shrink_N = rate_N / (rms_N / group["clip_threshold"]).clamp_(min=1.0)
    update_NDRC.mul_(_spread(shrink_N, update_NDRC))
    if group["beta1"] is not None:
        momentum_NDRC = state["exp_avg"]
        momentum_NDRC.mul_(group["beta1"]).add_(update_NDRC, alpha=1 - group["beta1"])
        update_NDRC = momentum_NDRC
    if group["weight_decay"] != 0:
        work_NDRC.addcmul_(work_NDRC, _spread(rate_N, work_NDRC), value=-group["weight_decay"])
    work_NDRC.sub_(update_NDRC)
    if half:
        weight_NDRC.copy_(work_NDRC)


def _start(state: dict[str, Any], grad_NDRC: Tensor, momentum: bool) -> None:
    state["step"] = 0
    if grad_NDRC.dim() > 2:
        state["exp_avg_sq_row"] = grad_NDRC.new_zeros(grad_NDRC.shape[:-1])
        state["exp_avg_sq_col"] = grad_NDRC.new_zeros(grad_NDRC.shape[:-2] + grad_NDRC.shape[-1:])
    else:
        state["exp_avg_sq"] = grad_NDRC.new_zeros(grad_NDRC.shape)
    if momentum:
        state["exp_avg"] = grad_NDRC.new_zeros(grad_NDRC.shape)


def _rates(weight_NDRC: Tensor, group: dict[str, Any], step: int) -> Tensor:
    """The rate of each tensor: section 8, algorithm 5 of the paper."""
    rate = group["lr"]
    if group["relative_step"]:
        rate = min(1e-6 * step if group["warmup_init"] else 1e-2, 1.0 / math.sqrt(step))
    if group["scale_parameter"]:
        return _rms(weight_NDRC).clamp_(min=group["eps"][1]).mul_(rate)
    return weight_NDRC.new_full((weight_NDRC.shape[0],), rate)


def _normalised(grad_NDRC: Tensor, group: dict[str, Any], state: dict[str, Any]) -> Tensor:
    """The gradient over the root of its second moment: algorithm 4 of the paper where it is factored."""
    keep = 1.0 - math.pow(state["step"], group["decay_rate"])
    square_NDRC = grad_NDRC.square().add_(group["eps"][0])
    if grad_NDRC.dim() <= 2:
        moment_ND: Tensor = state["exp_avg_sq"].mul_(keep).add_(square_NDRC, alpha=1.0 - keep)
        return moment_ND.rsqrt().mul_(grad_NDRC)
    row_NDR = state["exp_avg_sq_row"].mul_(keep).add_(square_NDRC.mean(dim=-1), alpha=1.0 - keep)
    column_NDC = state["exp_avg_sq_col"].mul_(keep).add_(square_NDRC.mean(dim=-2), alpha=1.0 - keep)
    row_factor_NDR = (row_NDR / row_NDR.mean(dim=-1, keepdim=True)).rsqrt_()
    update_NDRC = torch.mul(row_factor_NDR.unsqueeze(-1), column_NDC.rsqrt().unsqueeze(-2))
    return update_NDRC.mul_(grad_NDRC)


def _rms(stack_NDRC: Tensor) -> Tensor:
    per_tensor = stack_NDRC.numel() // stack_NDRC.shape[0]
    inner = tuple(range(1, stack_NDRC.dim()))
    norm_N = torch.linalg.vector_norm(stack_NDRC, dim=inner) if inner else stack_NDRC.abs()
    return norm_N.div_(per_tensor**0.5)


def _spread(value_N: Tensor, like: Tensor) -> Tensor:
    return value_N.view(-1, *[1] * (like.dim() - 1))
