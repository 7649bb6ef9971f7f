"""Frozen weights kept in 8 or 4 bits and widened where they are used: less memory, a little less exact.

Only the matrices of linear and convolution layers are kept so, of the U-Net and of the text encoders; biases,
norms and embeddings keep their type, and everything is computed in the model's own type. `fp8` is e4m3
without a scale, as sd-scripts' `fp8_base`; `nf4` is bitsandbytes' 4-bit NormalFloat in blocks of 64 (arXiv
2305.14314).
The widened copy is dropped after each use and made again in the backward pass.

Shapes: B samples, I inputs, O outputs, H and W sides.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from lora_lab.models.base import BaseModel

_FP8 = torch.float8_e4m3fn
_BLOCK = 64


def compress(base: BaseModel, kind: str) -> None:
    """Keep a loaded model's matrices as `fp8` or `nf4` from now on, in place.

    Text states are then others, so `text_identity` changes, too.
    """
    store = _STORES[kind]
    for network in (base.unet, *base.text_encoders):
        for module in network.modules():
            if type(module) is nn.Linear:
                store(module)
                vars(module)["forward"] = _forward(_Linear, module)
            elif type(module) is nn.Conv2d and not isinstance(module.padding, str):
                store(module)
                vars(module)["forward"] = _forward(_Convolution, module)
    base.text_identity = hashlib.sha256(f"{base.text_identity} {kind}".encode()).hexdigest()


def _forward(function: type[torch.autograd.Function], module: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: function.apply(x, module)


def _store_fp8(module: nn.Linear | nn.Conv2d) -> None:
    limit = torch.finfo(_FP8).max
    _replace(module, module.weight.detach().clamp(-limit, limit).to(_FP8))
    module.widen = lambda dtype: module.weight.to(dtype)  # type: ignore[assignment]


def _store_nf4(module: nn.Linear | nn.Conv2d) -> None:
    from bitsandbytes import functional as bnb

    codes, state = bnb.quantize_4bit(module.weight.detach().contiguous(), blocksize=_BLOCK, quant_type="nf4")
    _replace(module, codes)
    module.register_buffer("weight_absmax", state.absmax)
    module.register_buffer("weight_levels", state.code)
    shape, on_gpu = state.shape, codes.is_cuda

    def widen(dtype: torch.dtype) -> Tensor:
        if on_gpu:
            return bnb.dequantize_4bit(module.weight, state).to(dtype)
        # On CPUs the library compiles a kernel per shape, which takes seconds.
        return _levels_of(module, shape).to(dtype)

    module.widen = widen  # type: ignore[assignment]


def _levels_of(module: Any, shape: torch.Size) -> Tensor:
    """The weight that two codes per byte stand for: level times the block's largest magnitude."""
    codes = module.weight.flatten()
    pairs = torch.stack([codes >> 4, codes & 15], dim=1).flatten()[: shape.numel()]
    levels = module.weight_levels[pairs.long()]
    return (levels * module.weight_absmax.repeat_interleave(_BLOCK)[: len(levels)]).view(shape)


_STORES: Mapping[str, Callable[[Any], None]] = {"fp8": _store_fp8, "nf4": _store_nf4}


def _replace(module: nn.Module, codes: Tensor) -> None:
    """Put the codes in the parameter's place, as a buffer: nothing takes them for weights to train."""
    del module._parameters["weight"]
    module.register_buffer("weight", codes)


class _Linear(torch.autograd.Function):
    """`F.linear` that keeps neither the widened weight nor its input for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x_BI: Tensor, module: Any) -> Tensor:
        ctx.module = module
        return F.linear(x_BI, module.widen(x_BI.dtype), module.bias)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad_BO,) = grads
        return grad_BO @ ctx.module.widen(grad_BO.dtype), None


class _Convolution(torch.autograd.Function):
    """The same for `F.conv2d`."""

    @staticmethod
    def forward(ctx: Any, x_BIHW: Tensor, module: Any) -> Tensor:
        ctx.module, ctx.shape = module, x_BIHW.shape
        return F.conv2d(x_BIHW, module.widen(x_BIHW.dtype), module.bias, *_geometry(module))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad_BOHW,) = grads
        weight = ctx.module.widen(grad_BOHW.dtype)
        return conv2d_input(ctx.shape, weight, grad_BOHW, *_geometry(ctx.module)), None


def _geometry(module: nn.Conv2d) -> tuple[Any, Any, Any, int]:
    return module.stride, module.padding, module.dilation, module.groups
