"""What the step of every optimizer of our own is around its update of one tensor."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

Update = Callable[[Tensor, Tensor, dict[str, Any], dict[str, Any]], None]
"""Changes a parameter in place, by its gradient, its group and its state, which is empty at first."""


@torch.no_grad()
def step_each(optimizer: Optimizer, closure: Callable[[], float] | None, update: Update) -> float | None:
    """Update every parameter that has a gradient; returns what the closure gives, if there is one."""
    loss = None
    if closure is not None:
        with torch.enable_grad():
            loss = closure()
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                update(parameter, parameter.grad, group, optimizer.state[parameter])
    return loss
