"""The full-size random SD 1.5 of the recorded training runs (golden/training), rebuilt exactly.

Every tensor is uniform noise from a generator seeded by its name, so that no weights need to be shipped.
"""

import json
import math
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from lora_lab.models.family import Denoiser
from lora_lab.models.networks import make_clip, make_denoiser, make_vae
from lora_lab.models.single_file import unet_sources, vae_sources

GOLDEN = Path(__file__).parents[1] / "golden" / "training"
RECIPE: dict[str, Any] = json.loads((GOLDEN / "model_recipe.json").read_text())
_EMBEDDING_BOUND = 0.035
_BIAS_BOUND = 0.05
_NORM_BOUND = 0.1


def uniform(name: str, shape: tuple[int, ...], bound: float) -> Tensor:
    """Noise in [-bound, bound) that follows from the name."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.rand(shape, generator=generator).mul_(2 * bound).sub_(bound)


def tensor(component: str, key: str, shape: tuple[int, ...]) -> Tensor:
    """One tensor of the recorded model, float32."""
    name, parts = f"{component}/{key}", key.split(".")
    if ".norm" in key or "norm" in parts[-2]:
        noise = uniform(name, shape, _NORM_BOUND)
        return noise.add_(1) if parts[-1] == "weight" else noise
    if len(shape) >= 2:
        embedding = component == "text_encoder" and "embedding" in key
        return uniform(name, shape, _EMBEDDING_BOUND if embedding else math.sqrt(3 / math.prod(shape[1:])))
    return uniform(name, shape, _BIAS_BOUND)


def shapes(component: str) -> dict[str, tuple[int, ...]]:
    """Names, as the recipe has them, and shapes of a component's tensors."""
    config = RECIPE[component]
    if component == "text_encoder":
        state = make_clip(config, with_projection=False).state_dict()
        return {
            f"text_model.{key.removeprefix('text_model.')}": tuple(value.shape)
            for key, value in state.items()
        }
    state = {"unet": partial(make_denoiser, Denoiser()), "vae": make_vae}[component](config).state_dict()
    return {key: tuple(value.shape) for key, value in state.items()}


def tensors(component: str, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """All tensors of a component."""
    return {key: tensor(component, key, shape).to(dtype) for key, shape in shapes(component).items()}


def write_folder(place: Path, dtype: torch.dtype = torch.float32) -> Path:
    """The model as a diffusers folder (4.3 GB in float32); no tokenizer, since the packaged one is CLIP's."""
    weights = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
    kinds = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel"}
    for component, stem in weights.items():
        folder = place / component
        folder.mkdir(parents=True)
        named = (
            {"model_type": "clip_text_model"}
            if component == "text_encoder"
            else {"_class_name": kinds[component]}
        )
        (folder / "config.json").write_text(json.dumps(RECIPE[component] | named))
        save_file(tensors(component, dtype), folder / f"{stem}.safetensors", metadata={"format": "pt"})
    (place / "scheduler").mkdir()
    (place / "scheduler" / "scheduler_config.json").write_text(
        json.dumps(RECIPE["scheduler"] | {"_class_name": "DDIMScheduler", "prediction_type": "epsilon"})
    )
    (place / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    return place


def write_file(place: Path, dtype: torch.dtype = torch.float16) -> Path:
    """The model as one checkpoint file, in the names of the field (2.1 GB in float16)."""
    content: dict[str, Tensor] = {}
    for component, sources in (("unet", unet_sources), ("vae", vae_sources)):
        sizes = shapes(component)
        for key, (name, _) in sources(sizes, RECIPE[component]).items():
            content[name] = tensor(component, key, sizes[key]).to(dtype)
    for key, value in tensors("text_encoder", dtype).items():
        content[f"cond_stage_model.transformer.{key}"] = value
    place.parent.mkdir(parents=True, exist_ok=True)
    save_file(content, place, metadata={"format": "pt"})
    return place
