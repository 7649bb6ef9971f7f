"""LoRA files as various programs write them, and their weight differences by plain formulas."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from lora_lab.loras import LoraFile, read

Tensors = dict[str, Tensor]


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal noise, the same for the same seed and shape."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed * 7919 + sum(shape))).to(dtype)


def kohya(
    rank: int = 4, alpha: float | None = 2.0, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Tensors:
    """A small SD 1.x LoCon: a linear layer of either part, a 1x1 and a 3x3 convolution."""
    tensors: Tensors = {}
    sizes: list[tuple[str, int, tuple[int, ...]]] = [
        ("lora_te_text_model_encoder_layers_0_mlp_fc1", 24, (12,)),
        ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k", 16, (768,)),
        ("lora_unet_down_blocks_0_attentions_0_proj_in", 16, (10, 1, 1)),
        ("lora_unet_up_blocks_1_resnets_0_conv1", 14, (10, 3, 3)),
    ]
    for place, (name, outputs, inputs) in enumerate(sizes):
        at = seed * 100 + place * 2
        ones = (1,) * (len(inputs) - 1)
        tensors[f"{name}.lora_down.weight"] = numbers(rank, *inputs, seed=at, dtype=dtype)
        tensors[f"{name}.lora_up.weight"] = numbers(outputs, rank, *ones, seed=at + 1, dtype=dtype)
        if alpha is not None:
            tensors[f"{name}.alpha"] = torch.tensor(alpha)
    return tensors


def opened(path: Path, tensors: Tensors, metadata: Mapping[str, str] | None = None) -> LoraFile:
    """Written as any program would, and read by ours."""
    save_file(tensors, path, dict(metadata or {}))
    return read(path)


def dense(tensors: Mapping[str, Tensor]) -> Tensors:
    """alpha / rank x up @ down of every module of a kohya file, float64 and flat."""
    found = {}
    for key, down in tensors.items():
        if key.endswith(".lora_down.weight"):
            name = key.removesuffix(".lora_down.weight")
            up = tensors[f"{name}.lora_up.weight"].double().flatten(1)
            alpha = tensors.get(f"{name}.alpha")
            scale = 1.0 if alpha is None else float(alpha) / len(down)
            found[name] = scale * up @ down.double().flatten(1)
    return found


def error(found: Tensor, expected: Tensor) -> float:
    """Relative Frobenius error."""
    expected = expected.double()
    return float((found.double().reshape(expected.shape) - expected).norm() / expected.norm())
