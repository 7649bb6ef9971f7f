"""Images and base models as planning sees them: made in milliseconds, with nothing inside."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

COMPONENTS = {
    "sd1": (("unet", "UNet2DConditionModel"), ("vae", "AutoencoderKL"), ("text_encoder", "CLIPTextModel")),
    "sdxl": (
        ("unet", "UNet2DConditionModel"),
        ("vae", "AutoencoderKL"),
        ("text_encoder", "CLIPTextModel"),
        ("text_encoder_2", "CLIPTextModelWithProjection"),
    ),
}
PIPELINES = {"sd1": "StableDiffusionPipeline", "sdxl": "StableDiffusionXLPipeline"}
WIDTHS = {"sd1": 768, "sdxl": 2048}


def write_images(
    folder: Path, count: int = 30, name: str = "15_miko girl", size: tuple[int, int] = (64, 64)
) -> Path:
    """`folder/15_miko girl/*.png` with captions that hold the trigger word; returns `folder`."""
    target = folder / name
    target.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", size, (number, 2 * number, 128)).save(target / f"{number:03d}.png")
        (target / f"{number:03d}.txt").write_text(f"miko, tag{number}, smile\n", encoding="utf-8")
    return folder


def write_model(folder: Path, family: str = "sd1", seed: int = 0, prediction_type: str = "epsilon") -> Path:
    """A diffusers folder with one number per component: what `identify` and `identity` read."""
    folder.mkdir(parents=True)
    index: dict[str, object] = {"_class_name": PIPELINES[family]}
    for name, kind in COMPONENTS[family]:
        index[name] = ["diffusers", kind]
        place = folder / name
        place.mkdir()
        config: dict[str, object] = {"_class_name": kind, "num_hidden_layers": 12}
        if name == "unet":
            config |= {"in_channels": 4, "out_channels": 4, "cross_attention_dim": WIDTHS[family]}
        (place / "config.json").write_text(json.dumps(config), encoding="utf-8")
        stem = "model" if name.startswith("text") else "diffusion_pytorch_model"
        save_file({"weight": np.array([seed], dtype=np.float32)}, place / f"{stem}.safetensors")
    (folder / "scheduler").mkdir()
    schedule = {"prediction_type": prediction_type}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(schedule), encoding="utf-8")
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder
