"""Lion (Chen et al. 2023, arXiv 2302.06675, program 1) for many or few tensors of any shape."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from lora_lab.optim.stepping import step_each


class Lion(torch.optim.Optimizer):
    """Sign of an interpolated momentum, with decoupled weight decay. The momentum is at least fp32."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        """Arguments as in the paper: `betas[0]` interpolates the update, `betas[1]` keeps the momentum."""
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        return step_each(self, closure, _update)


def _update(weight: Tensor, grad: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
    beta1, beta2 = group["betas"]
    if not state:
        wide = torch.float64 if weight.dtype == torch.float64 else torch.float32
        state["exp_avg"] = torch.zeros_like(weight, dtype=wide)
    momentum = state["exp_avg"]
    grad = grad.to(momentum.dtype)
    direction = torch.lerp(grad, momentum, beta1).sign_()
    if group["weight_decay"] != 0:
        weight.mul_(1 - group["lr"] * group["weight_decay"])
    weight.add_(direction, alpha=-group["lr"])
    momentum.lerp_(grad, 1 - beta2)
