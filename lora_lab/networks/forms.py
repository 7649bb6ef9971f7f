"""The forms of an adapter: which factors a module has, their shapes, and how they begin.

Legend: r rank, o fan-out, c input channels, a kernel area, i = c a fan-in; l k = o and m n = c for LoKr.

- lora: up @ down. `down` (r, i), `up` (r, o).
- dora: W + up @ down, rescaled to the norms `magnitude`, of every output or of every input channel.
- loha: (w1_a @ w1_b) * (w2_a @ w2_b), elementwise. `w1_a`, `w2_a` (r, o); `w1_b`, `w2_b` (r, i).
- lokr: the Kronecker product of `w1` (l, m) and `w2` (k, n, kernel), each whole or `_a @ _b`.

Factors whose ranks are padded in packs have the rank first, so that padding is the tail of a piece. Sources
of shapes, rules and initial values: LyCORIS' modules of these names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lora_lab.errors import ModelError
from lora_lab.networks.spec import AdapterSpec
from lora_lab.networks.targets import Target

SIDES: dict[str, tuple[str, ...]] = {
    "lora": ("down", "up"),
    "dora": ("down", "up", "magnitude"),
    "loha": ("w1_a", "w1_b", "w2_a", "w2_b"),
    "lokr": ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b"),
}
"""The factors of each form, in the order in which a row holds them."""

_FROM_INPUT = ("down", "w1_b", "w2_b")


def kernel_of(target: Target) -> tuple[int, ...]:
    """() for linears, (kh, kw) for convolutions."""
    return () if isinstance(target.module, nn.Linear) else tuple(target.module.kernel_size)


def fans(target: Target) -> tuple[int, int]:
    """(outputs, input channels) of a module; the fan-in of a convolution is channels x kernel area."""
    module = target.module
    if isinstance(module, nn.Linear):
        return module.out_features, module.in_features
    return module.out_channels, module.in_channels


def shape_of(target: Target, side: str, spec: AdapterSpec) -> tuple[int, ...] | None:
    """Shape of a factor as optimizers see it, or None where the module has no such factor.

    Ranks come first: the ups of lora and the `_a` factors of loha are transposed against files.
    """
    if side not in SIDES[spec.form]:
        return None
    rank, kernel = spec.rank(target.kind, target.name), kernel_of(target)
    out, channels = fans(target)
    if spec.form == "lokr":
        return _kronecker(target, spec).get(side)
    if side == "magnitude":
        ones = (1,) * len(kernel)
        return (out, 1, *ones) if spec.wd_on_output else (1, channels, *ones)
    if spec.form == "loha":
        return (rank, channels * math.prod(kernel) if side in _FROM_INPUT else out)
    if side == "up":
        return (rank, out, *(1,) * len(kernel))
    return (rank, channels, *kernel)


def room_for(target: Target, side: str, specs: Sequence[AdapterSpec]) -> tuple[int, int]:
    """Lines and width of the piece that can hold a factor of any of `specs`; (0, 0) if none has it."""
    if side in ("down", "up") or specs[0].form == "loha":
        out, channels = fans(target)
        width = channels * math.prod(kernel_of(target)) if side in _FROM_INPUT else out
        return max(spec.rank(target.kind) for spec in specs), width
    shapes = [shape for spec in specs if (shape := shape_of(target, side, spec)) is not None]
    return (1, max(math.prod(shape) for shape in shapes)) if shapes else (0, 0)


def factorization(dimension: int, factor: int) -> tuple[int, int]:
    """A dimension as a product, smaller number first, as LyCORIS divides it for LoKr.

    A `factor` that divides it is one of the two. Else the smaller one is the largest divisor that is neither
    above `factor` nor above the square root; -1 means no limit, which is as square as possible.
    """
    if factor > 0 and dimension % factor == 0:
        return min(factor, dimension // factor), max(factor, dimension // factor)
    limit = math.isqrt(dimension) if factor < 0 else min(factor, math.isqrt(dimension))
    small = next(number for number in range(limit, 0, -1) if dimension % number == 0)
    return small, dimension // small


def _kronecker(target: Target, spec: AdapterSpec) -> dict[str, tuple[int, ...]]:
    """The factors that a LoKr module has: whole where factors of this rank would not be smaller."""
    rank, kernel = spec.rank(target.kind, target.name), kernel_of(target)
    out, channels = fans(target)
    (l, k), (m, n) = factorization(out, spec.factor), factorization(channels, spec.factor)  # noqa: E741
    found: dict[str, tuple[int, ...]] = {}
    if spec.decompose_both and rank < max(l, m) / 2:
        found |= {"w1_a": (l, rank), "w1_b": (rank, m)}
    else:
        found["w1"] = (l, m)
    if rank < max(k, n) / 2:
        found |= {"w2_a": (k, rank), "w2_b": (rank, n * math.prod(kernel))}
    else:
        found["w2"] = (k, n, *kernel)
    return found


def scale_of(target: Target, spec: AdapterSpec) -> float:
    """The factor on a module's weight difference: alpha / dim, but 1 for a LoKr of two whole factors."""
    if spec.form == "lokr" and {"w1", "w2"} <= _kronecker(target, spec).keys():
        return 1.0
    return spec.scale(target.kind, target.name)


def initial(target: Target, spec: AdapterSpec, generator: torch.Generator) -> dict[str, Tensor]:
    """First values of a module's factors, float32 on the CPU, in the shapes of `shape_of`.

    The weight difference is zero: ups, `w2_a` of LoHa and the second factor of LoKr begin with zeros.
    """
    found = {}
    for side in SIDES[spec.form]:
        shape = shape_of(target, side, spec)
        if shape is not None:
            found[side] = _values(side, spec, shape, generator)
    if spec.form == "dora":
        found["magnitude"] = weight_norms(base_weight(target)[None], spec.wd_on_output)[0].float().cpu()
    return found


def _values(side: str, spec: AdapterSpec, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    zero = {"lora": ("up",), "dora": ("up", "magnitude"), "loha": ("w2_a",), "lokr": ("w2", "w2_b")}
    if side in zero[spec.form]:
        return torch.zeros(shape)
    if spec.form == "loha":
        return torch.randn(shape, generator=generator).mul_(0.1 if side == "w1_a" else 1.0)
    # kaiming-uniform with a = sqrt 5
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    return torch.rand(shape, generator=generator).mul_(2 * bound).sub_(bound)


def base_weight(target: Target) -> Tensor:
    """The frozen weight as `(o, c, a)`, in float32 or wider.

    Raises:
        ModelError: The weight is not there as numbers of its own (4-bit).
    """
    weight = target.module.weight.detach()
    if tuple(weight.shape) != (*fans(target), *kernel_of(target)):
        raise ModelError(f"{target.name}: network.type=dora needs plain base weights, not quantised ones")
    return weight.to(torch.promote_types(weight.dtype, torch.float32)).reshape(*weight.shape[:2], -1)


def weight_norms(weight_Goca: Tensor, on_output: bool) -> Tensor:
    """L2 norms `(G, o, 1, 1)` of all that leads to an output, or `(G, 1, c, 1)` of what leaves an input."""
    return torch.linalg.vector_norm(weight_Goca, dim=(2, 3) if on_output else (1, 3), keepdim=True)


def low_rank(form: str, factors: dict[str, Tensor]) -> Tensor:
    """The weight difference `(G, o, i)` before alpha / dim, from factors with a leading dimension G.

    For dora it is the part that is learned by `up` and `down`.
    """
    if form == "loha":
        return (factors["w1_a"].mT @ factors["w1_b"]) * (factors["w2_a"].mT @ factors["w2_b"])
    if form == "lokr":
        w1_Glm, w2_Gkn = kronecker_factors(factors)
        product = w1_Glm[:, :, None, :, None] * w2_Gkn[:, None, :, None, :]
        return product.flatten(3, 4).flatten(1, 2)
    return factors["up"].flatten(2).mT @ factors["down"].flatten(2)


def kronecker_factors(factors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """LoKr's two factors `(G, l, m)` and `(G, k, n a)`, multiplied out where they are products."""
    w1 = factors["w1"] if "w1" in factors else factors["w1_a"] @ factors["w1_b"]
    w2 = factors["w2"].flatten(2) if "w2" in factors else factors["w2_a"] @ factors["w2_b"]
    return w1, w2


def rescaled(weight_oca: Tensor, learned_Goi: Tensor, magnitude: Tensor, on_output: bool) -> Tensor:
    """DoRA's weight difference `(G, o, i)`: (W + learned) x magnitude / its norms - W.

    The gradient goes through the norms, as in LyCORIS; so does the small number that keeps them from zero.
    """
    whole = weight_oca + learned_Goi.view(-1, *weight_oca.shape)
    norms = weight_norms(whole, on_output) + torch.finfo(whole.dtype).eps
    size = (-1, weight_oca.shape[0], 1, 1) if on_output else (-1, 1, weight_oca.shape[1], 1)
    return (whole * (magnitude.reshape(size) / norms) - weight_oca).flatten(2)
