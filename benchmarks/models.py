"""Base models to measure on: the demo's, a file, or full-size ones with random weights, made in memory."""

import json
from pathlib import Path
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

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
RANDOM = {"random-sd15": "sd1", "random-sdxl": "sdxl"}
_CONFIGS = Path(lora_lab.models.__file__).parent / "configs"


def load(base: str, device: torch.device, precision: str) -> BaseModel:
    """The base model that `--base` names."""
    dtype = DTYPES[precision]
    if base in RANDOM:
        return random_model(RANDOM[base], device, dtype)
    return lora_lab.models.load(base, dtype=dtype, vae_dtype=torch.float32, device=device)


def random_model(family: str, device: torch.device, dtype: torch.dtype) -> BaseModel:
    """A model of the public sizes with random weights: as fast as a real one, and nothing to download."""
    spec = FAMILIES[family]
    unet = _filled(make_denoiser(spec.denoiser, _config(family, "unet")), device, dtype)
    vae = _filled(make_vae(_config(family, "vae")), device, torch.float32)
    encoders = [
        _filled(make_clip(_config(family, one.component), one.pooled), device, dtype) for one in spec.encoders
    ]
    freeze([unet, vae, *encoders])
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


def draw_pictures(folder: Path, size: int, count: int = 8) -> Path:
    """Write a few smooth random pictures with captions; returns the folder."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        small.resize((size, size), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"miko, 1girl, smile, tag {number}\n", encoding="utf-8")
    return folder
