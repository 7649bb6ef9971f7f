"""Every kind of low-rank module as one product: up (o, R) @ down (R, i), times alpha / R.

Shape legend: o outputs, i inputs, r rank of the file, R rank of the product, kh kw kernel sides.
Formulas of Tucker, LoHa and LoKr: LyCORIS (`functional/loha.py`, `functional/lokr.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_lab.counts import counted
from lora_lab.errors import ModelError
from lora_lab.lora_files import unified_names
from lora_lab.lora_files.kinds import BAKED, PRODUCTS
from lora_lab.lora_files.reading import LoraFile, Module


@dataclass
class Factors:
    """The low-rank term of one module of a file, up @ down x alpha / rank (alpha None: rank)."""

    down: Tensor
    up: Tensor
    alpha: float | None = None

    @property
    def rank(self) -> int:
        """Number of rows of `down`."""
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        """alpha / rank."""
        return 1.0 if self.alpha is None else self.alpha / self.rank


_PLAIN = frozenset({"down", "up", "alpha", "scalar", "mid"})
PRODUCT_LEAVES = frozenset(
    {"down", "up", "alpha", "scalar", "mid", "lokr_w1", "lokr_w2"}
    | {f"lokr_w{side}_{end}" for side in "12" for end in "ab"}
    | {f"hada_w{side}_{end}" for side in "12" for end in "ab"}
    | {"hada_t1", "hada_t2", "lokr_t1", "lokr_t2"}
)
LEAVE_OUT = "--leave-out-rest goes on without them"


def products(file: LoraFile) -> dict[str, Factors]:
    """The product of every module of a file.

    Raises:
        ModelError: Modules are incomplete or misshapen, or of a kind that is no low-rank product (DoRA, full
            weight differences, norms, OFT, ...); all of them are named.
    """
    check_products(file)
    return {name: product_of(file, name) for name in file.modules}


def product_of(file: LoraFile, name: str) -> Factors:
    """The product of one module of a file.

    Raises:
        ModelError: The module is incomplete or misshapen.
    """
    try:
        return product(file.modules[name], file.family)
    except (KeyError, ValueError, RuntimeError, IndexError) as error:
        lacks = isinstance(error, KeyError)
        why = f"lacks {error.args[0]}" if lacks else f"has tensors that do not fit each other ({error})"
        raise ModelError(f"{file.path}: {name} {why}; the file is damaged or incomplete") from None


def check_products(file: LoraFile) -> None:
    """Refuse a file that holds anything but low-rank products.

    Raises:
        ModelError: All such modules are named.
    """
    if rest := [*file.strange, *file.embeddings]:
        raise ModelError(
            f"{file.path} holds {counted(len(rest), 'tensor that is', 'tensors that are')} no LoRA's and "
            f"would be lost: {', '.join(rest[:3])}; {LEAVE_OUT}"
        )
    others: dict[str, list[str]] = {}
    for name, module in file.modules.items():
        if module.kind not in PRODUCTS or set(module.leaves) & {"dora_scale", "diff_b", "diff"}:
            others.setdefault(_odd_kind(module), []).append(name)
    if others:
        listed = "; ".join(
            f"{kind}: {len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            for kind, names in others.items()
        )
        baked = "`lora-lab lora bake` puts such a file into a base model; " if others.keys() <= BAKED else ""
        raise ModelError(
            f"{file.path} has modules that are no low-rank product, so nothing exact can be computed from "
            f"them without the base model. {listed}. {baked}{LEAVE_OUT}"
        )
    if not file.modules:
        raise ModelError(f"{file.path} holds no LoRA modules")


def _odd_kind(module: Module) -> str:
    return module.kind if module.kind not in PRODUCTS else "bias differences"


def product(module: Module, family: str, dtype: torch.dtype = torch.float32) -> Factors:
    """One module's product: down (R, i) or (R, i, kh, kw), up (o, R); alpha always set.

    Of type `dtype`, but plain LoRA stays in the file's type, so that no copy is made.

    Raises:
        KeyError: A tensor is missing.
        ValueError: The shapes do not fit each other.
    """
    leaves = dict(module.leaves)
    if not leaves.keys() <= {"down", "up", "alpha"}:
        leaves = {leaf: tensor.to(dtype) for leaf, tensor in leaves.items()}
    if module.kind == "LoHa":
        down, up, scale = _loha(leaves)
    elif module.kind == "LoKr":
        down, up, scale = _lokr(leaves)
    else:
        down, up, scale = _lora(leaves)
    if "scalar" in leaves:
        up = up * leaves["scalar"].reshape(())
    if down.dim() == 2 and module.kind in ("LoHa", "LoKr"):
        down = _with_kernel(down, unified_names.kernel(module.name, family))
    rank = down.shape[0]
    if up.shape[1] != rank:
        raise ValueError(f"ranks {rank} and {up.shape[1]}")
    return Factors(down, up, scale * rank)


def _lora(leaves: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, float]:
    down, up = leaves["down"], leaves["up"]
    if unknown := set(leaves) - _PLAIN:
        raise ValueError(f"unexpected {', '.join(sorted(unknown))}")
    if down.dim() not in (2, 4) or up.dim() not in (2, 4) or up.numel() != up.shape[0] * up.shape[1]:
        raise ValueError(f"shapes {tuple(down.shape)}, {tuple(up.shape)}")
    rank = down.shape[0]
    if "mid" in leaves:
        if down.numel() != rank * down.shape[1]:
            raise ValueError(f"shapes {tuple(down.shape)}, {tuple(leaves['mid'].shape)}")
        down = _tucker(leaves["mid"], down.flatten(1))
    return down, up.flatten(1), _alpha(leaves, rank) / rank


def _tucker(core: Tensor, narrow: Tensor) -> Tensor:
    """A core (R, r, kh, kw) and a narrow (r, i) as one (R, i, kh, kw)."""
    return torch.einsum("abkl,bi->aikl", core, narrow)


def _loha(leaves: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, float]:
    """Hadamard product of two rank-r products: exactly rank r^2, by row-wise Kronecker products."""
    first, second = (_hada(leaves, which) for which in "12")
    rank = leaves["hada_w1_b"].shape[0]
    (down1, up1), (down2, up2) = first, second
    if down1.shape[1:] != down2.shape[1:] or up1.shape[0] != up2.shape[0]:
        raise ValueError(f"shapes {tuple(down1.shape)}, {tuple(down2.shape)}")
    down = (down1[:, None] * down2[None]).flatten(0, 1)
    up = (up1[:, :, None] * up2[:, None, :]).flatten(1)
    return down, up, _alpha(leaves, rank) / rank


def _hada(leaves: Mapping[str, Tensor], which: str) -> tuple[Tensor, Tensor]:
    wide, narrow = leaves[f"hada_w{which}_a"], leaves[f"hada_w{which}_b"]
    core = leaves.get(f"hada_t{which}")
    if core is None:
        return narrow, wide
    return _tucker(core, narrow), wide.T  # with Tucker, LyCORIS keeps a as (r, o)


def _lokr(leaves: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, float]:
    """Kronecker product: that of the ups times that of the downs."""
    down1, up1, _ = _kron_side(leaves, "1")
    down2, up2, rank = _kron_side(leaves, "2")
    if "lokr_w1_b" in leaves:
        rank = leaves["lokr_w1_b"].shape[0]
    down = torch.einsum("ai,bj...->abij...", down1, down2).flatten(0, 1).flatten(1, 2)
    up = torch.kron(up1.contiguous(), up2.contiguous())
    return down, up, 1.0 if rank is None else _alpha(leaves, rank) / rank


def _kron_side(leaves: Mapping[str, Tensor], which: str) -> tuple[Tensor, Tensor, int | None]:
    """(down, up, rank) of one side; a side that is stored whole is its own factor, and has no rank."""
    whole = leaves.get(f"lokr_w{which}")
    if whole is not None:
        inner = whole[0].numel()
        if whole.shape[0] <= inner:
            return whole, torch.eye(whole.shape[0], dtype=whole.dtype), None
        return torch.eye(inner, dtype=whole.dtype).reshape(inner, *whole.shape[1:]), whole.flatten(1), None
    wide, narrow = leaves[f"lokr_w{which}_a"], leaves[f"lokr_w{which}_b"]
    core = leaves.get(f"lokr_t{which}")
    if core is not None:
        return _tucker(core, narrow), wide.T, narrow.shape[0]
    return narrow, wide, narrow.shape[0]


def _alpha(leaves: Mapping[str, Tensor], rank: int) -> float:
    return float(leaves["alpha"]) if "alpha" in leaves else float(rank)


def _with_kernel(down: Tensor, side: int | None) -> Tensor:
    """A flat (R, i * kh * kw) in the shape of its convolution, which the file does not tell."""
    if side is None or down.shape[1] % (side * side):
        return down
    return down.reshape(down.shape[0], -1, side, side)


def outputs_and_inputs(factors: Factors) -> tuple[int, int]:
    """Sides of the flat weight difference: (o, i * kh * kw)."""
    return factors.up.shape[0], factors.down[0].numel()


def delta(factors: Factors, dtype: torch.dtype = torch.float32) -> Tensor:
    """The weight difference, (o, i) or (o, i, kh, kw)."""
    flat = factors.up.to(dtype).flatten(1) @ factors.down.to(dtype).flatten(1) * factors.scale
    return flat.reshape(flat.shape[0], *factors.down.shape[1:])
