"""Integers that a U-Net is told keep their value until they are sinusoids, whatever type it computes in."""

import math

import pytest
import torch

from lora_lab import models
from lora_lab.models import TextStates
from tests import tiny

SIZES = [[1081, 1923, 3, 257, 1024, 1536], [4001, 513, 1025, 0, 896, 1152]]
TIMES = [999, 257]


def sinusoids(values: torch.Tensor, width: int) -> torch.Tensor:
    """sd-scripts' `get_timestep_embedding` (library/sdxl_model_util.py), in float64."""
    rates = torch.exp(-math.log(10000) * torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    angles = values.double()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_sizes_and_timesteps_are_whole_pixels_and_steps(dtype: torch.dtype) -> None:
    torch.set_num_threads(1)
    base = models.load(str(tiny.folder("sdxl")), dtype=dtype, vae_dtype=torch.float32, device="cpu")
    seen: dict[str, torch.Tensor] = {}
    for name in ("add_time_proj", "time_proj"):
        module = getattr(base.unet, name)
        module.register_forward_hook(lambda _, given, made, name=name: seen.update({name: made}))
    noisy = torch.zeros(2, 4, 8, 8, dtype=dtype)
    width = base.unet.config.cross_attention_dim
    pooled = (
        base.unet.config.projection_class_embeddings_input_dim - 6 * base.unet.config.addition_time_embed_dim
    )
    text = TextStates(torch.zeros(2, 77, width), torch.zeros(2, pooled))
    with torch.no_grad():
        models.predict(base, noisy, torch.tensor(TIMES), text, torch.tensor(SIZES))
    for name, values in (("add_time_proj", SIZES), ("time_proj", TIMES)):
        wanted = sinusoids(torch.tensor(values).flatten(), seen[name].shape[-1])
        # fp32 angles of up to 4001 are off by 1.2e-4; 1081 taken as 1080 would be off by up to 0.84.
        assert torch.allclose(seen[name].double(), wanted, atol=5e-4)
