"""Leave out divisions by one: diffusers' blocks divide by factors that are 1 in every public U-Net."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

_FACTORS = ("output_scale_factor", "rescale_output_factor")
"""What resnets and attentions of diffusers divide their output by."""


class One:
    """A divisor that gives back what it divides, bit for bit, in no operation."""

    def __eq__(self, other: object) -> bool:
        return other == 1.0

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "1.0"

    @classmethod
    def __torch_function__(
        cls,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called by torch for every function that gets a `One`; a quotient is the only one there is."""
        if getattr(func, "__name__", "") not in ("div", "true_divide", "__truediv__") or len(args) != 2:
            return NotImplemented
        dividend, divisor = args
        return dividend if isinstance(divisor, cls) else NotImplemented


def leave_out_divisions(network: nn.Module) -> None:
    """Replace the factors that are 1 by a `One`; others stay."""
    for module in network.modules():
        for name in _FACTORS:
            if vars(module).get(name) in (1, 1.0):
                setattr(module, name, One())
