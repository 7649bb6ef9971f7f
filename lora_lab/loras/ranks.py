"""How many singular values to keep: a fixed number, or as few as a criterion allows.

The criteria are those of sd-scripts' resize_lora, counted exactly: the reference keeps one more than they
ask for, and never fewer than two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_lab.errors import ConfigError

METHODS = ("sv_ratio", "sv_cumulative", "sv_fro")


@dataclass(frozen=True)
class Ranks:
    """The wish for a file: at most `rank` (linear and 1 x 1), at most `conv_rank` (k x k; None: `rank`).

    With a `method`, a module keeps as few as the criterion allows: `sv_ratio` p keeps values of at least
    largest / p, `sv_cumulative` p as few as sum to p of the sum of all, `sv_fro` p as few as have p of the
    Frobenius norm. `conv1x1_as_conv` counts 1 x 1 convolutions as convolutions, as sd-scripts' resize does;
    otherwise they go with the linears, as in training, in svd-merge and in extract.
    """

    rank: int
    conv_rank: int | None = None
    method: str | None = None
    param: float = 0.0
    conv1x1_as_conv: bool = False

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise ConfigError("\n".join(problems))

    def limit(self, kernel: tuple[int, ...]) -> int:
        """The most ranks of a module with this kernel: () for a linear layer."""
        convolution = bool(kernel) and (kernel != (1, 1) or self.conv1x1_as_conv)
        return self.conv_rank if convolution and self.conv_rank is not None else self.rank

    def choose(self, values: Tensor, kernel: tuple[int, ...]) -> int:
        """How many of these singular values (largest first) a module keeps; at least 1."""
        wanted = len(values) if self.method is None else wanted_by(self.method, self.param, values)
        return max(1, min(wanted, self.limit(kernel)))


def wanted_by(method: str, param: float, values: Tensor) -> int:
    """The smallest number of leading values that meets a criterion; 1 for zeros.

    Sums are in float64; a criterion met up to float32 rounding counts as met.
    """
    exact = values.double()
    if not float(exact[0]) > 0:
        return 1
    if method == "sv_ratio":
        return int((exact * (param * (1 + 1e-7)) >= exact[0]).sum())
    weights = exact if method == "sv_cumulative" else exact.square()
    share = param if method == "sv_cumulative" else param**2
    reached = weights.cumsum(0) / weights.sum() >= share * (1 - 1e-7)
    return int(torch.nonzero(reached)[0]) + 1


def _problems(wish: Ranks) -> Iterator[str]:
    for name, value in (("--new-rank", wish.rank), ("--new-conv-rank", wish.conv_rank)):
        if value is not None and value < 1:
            yield f"{name} must be at least 1, got {value}"
    if wish.method is None:
        return
    if wish.method not in METHODS:
        yield f"--dynamic-method must be one of {', '.join(METHODS)}, got {wish.method!r}"
    elif wish.method == "sv_ratio" and not wish.param >= 1:
        yield f"--dynamic-param of sv_ratio is largest / smallest kept value, at least 1; got {wish.param:g}"
    elif wish.method != "sv_ratio" and not 0 < wish.param <= 1:
        yield f"--dynamic-param of {wish.method} is a share, above 0 and at most 1; got {wish.param:g}"
