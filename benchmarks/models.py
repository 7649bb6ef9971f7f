"""Base models to measure on: the demo's, a file, or full-size ones with random weights, made in memory."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

import lora_lab.models
from lora_lab.models import BaseModel
from lora_lab.models.base import freeze
from lora_lab.models.clip_bpe import ClipBpe
from lora_lab.models.families import FAMILIES
from lora_lab.models.networks import make_clip, make_denoiser, make_vae, schedule
from lora_lab.models.no_division import leave_out_divisions

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
RANDOM = {"random-sd15": "sd1", "random-sdxl": "sdxl"}
_CONFIGS = Path(lora_lab.models.__file__).parent / "configs"
_TINY: dict[str, dict[str, dict[str, Any]]] = {
    "sd1": {
        "unet": {"block_out_channels": [32, 64, 128, 128], "cross_attention_dim": 80},
        "text_encoder": {"hidden_size": 80, "intermediate_size": 320, "num_attention_heads": 4},
    },
    "sdxl": {
        "unet": {
            "block_out_channels": [32, 64, 128],
            "attention_head_dim": [2, 4, 8],
            "cross_attention_dim": 80 + 128,
            "addition_time_embed_dim": 26,
            "projection_class_embeddings_input_dim": 6 * 26 + 128,
        },
        "text_encoder": {"hidden_size": 80, "intermediate_size": 320, "num_attention_heads": 4},
        "text_encoder_2": {
            "hidden_size": 128,
            "intermediate_size": 512,
            "num_attention_heads": 4,
            "projection_dim": 128,
        },
    },
}
"""Widths a tenth of the public ones: the same layers, and widths that differ where the public ones do."""
_TINY_VAE = {"block_out_channels": [32, 32, 32, 32], "layers_per_block": 1}


def load(base: str, device: torch.device, precision: str) -> BaseModel:
    """The base model that `--base` names."""
    dtype = DTYPES[precision]
    if base in RANDOM:
        return random_model(RANDOM[base], device, dtype)
    return lora_lab.models.load(base, dtype=dtype, vae_dtype=torch.float32, device=device)


def tiny_model(
    family: str, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> BaseModel:
    """A model with every layer of the public one, at a tenth of its width; without a device on the CPU."""
    sizes = {**_TINY[family], "vae": _TINY_VAE}
    return random_model(family, device or torch.device("cpu"), dtype, sizes)


def random_model(
    family: str,
    device: torch.device,
    dtype: torch.dtype,
    sizes: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> BaseModel:
    """A model of the public sizes with random weights: as fast as a real one, and nothing to download.

    `sizes` are other numbers than the public ones, by component.
    """
    spec = FAMILIES[family]

    def config(component: str) -> dict[str, Any]:
        return {**_config(family, component), **sizes.get(component, {})}

    unet = _filled(make_denoiser(spec.denoiser, config("unet")), device, dtype)
    vae = _filled(make_vae(config("vae")), device, torch.float32)
    encoders = [_filled(make_clip(config(one.component), one.pooled), device, dtype) for one in spec.encoders]
    freeze([unet, vae, *encoders])
    leave_out_divisions(unet)
    scheduler = _config(family, "scheduler", "scheduler_config.json")
    betas = schedule(scheduler)
    tokenizers = [ClipBpe(one.pad_id) for one in spec.encoders]
    return BaseModel(
        family=family,
        name=f"random-{family}",
        unet=unet,
        vae=vae,
        text_encoders=encoders,
        tokenizers=tokenizers,
        scheduler_config=scheduler,
        betas=betas,
        prediction_type="epsilon",
        zero_terminal_snr=False,
        latent_channels=int(vae.config["latent_channels"]),
        latent_factor=2 ** (len(vae.config["block_out_channels"]) - 1),
        scaling_factor=float(vae.config["scaling_factor"]),
        shift_factor=0.0,
        max_length=min(int(tokenizer.model_max_length) for tokenizer in tokenizers),
        identity=family,
        vae_identity=family,
        text_identity=family,
    )


def _config(family: str, component: str, file: str = "config.json") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((_CONFIGS / family / component / file).read_text())
    return content


def _filled(network: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Give an empty network weights of the usual size: activations must stay finite in half precision."""
    network.to_empty(device=device).to(dtype)
    for name, module in network.named_modules():
        for key, weight in module.named_parameters(recurse=False):
            if isinstance(module, nn.GroupNorm | nn.LayerNorm):
                weight.data.fill_(1.0 if key == "weight" else 0.0)
            elif weight.dim() > 1:
                weight.data.normal_(0.0, 0.02 if "embed" in name else weight[0].numel() ** -0.5)
            else:
                weight.data.zero_()
        for key, buffer in module.named_buffers(recurse=False):
            assert key == "position_ids", f"{name}.{key} has no known content"
            buffer.data.copy_(torch.arange(buffer.numel()).expand_as(buffer))
    return network


def draw_images(folder: Path, size: int, count: int = 8) -> Path:
    """Write a few smooth random images with captions; returns the folder."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        small.resize((size, size), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"miko, 1girl, smile, tag {number}\n", encoding="utf-8")
    return folder
