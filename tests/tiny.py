"""Tiny random base models of every family, for any test: real classes, real files, a second to make.

`base("sd1")` gives a loaded model, `folder("sdxl")` a diffusers folder. The VAE shrinks by 4, not 8, and the
encoders of one model differ in width, so that nothing can rely on the public models' numbers by accident.
"""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

from lora_lab.models import BaseModel, load

FAMILIES = ("sd1", "sd2", "sdxl")
WIDTHS = {"text_encoder": 24, "text_encoder_2": 40}
LAYERS = {"text_encoder": 4, "text_encoder_2": 3}
_ADDED_TIME = 8
_POOLED = 20


def base(family: str = "sd1", seed: int = 0, max_length: int = 77, **choices: Any) -> BaseModel:
    """A fresh tiny model; `choices` go to `load`."""
    return load(folder(family, seed, max_length), **choices)


@cache
def folder(
    family: str = "sd1", seed: int = 0, max_length: int = 77, prediction_type: str = "epsilon"
) -> Path:
    """A tiny model as a diffusers folder, made once per test process. Treat it as read-only."""
    place = Path(tempfile.mkdtemp(prefix="tiny-")) / f"tiny-{family}"
    atexit.register(shutil.rmtree, place.parent, ignore_errors=True)
    write_folder(place, family, seed, max_length, prediction_type)
    return place


def write_folder(
    place: Path, family: str = "sd1", seed: int = 0, max_length: int = 77, prediction_type: str = "epsilon"
) -> Path:
    """Write a tiny random model as a diffusers folder."""
    import diffusers

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = _parts(family, max_length)
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )
    if family == "sdxl":
        whole = diffusers.StableDiffusionXLPipeline(**parts, scheduler=scheduler, add_watermarker=False)
    else:
        whole = diffusers.StableDiffusionPipeline(
            **parts,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    whole.save_pretrained(str(place))
    return place


def _parts(family: str, max_length: int) -> dict[str, Any]:
    parts = {"unet": unet(family), "vae": vae()}
    for name, twin in (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")):
        if name == "text_encoder" or family == "sdxl":
            pad_first = family == "sd2" or name == "text_encoder_2"
            parts[twin] = tokenizer(max_length, pad_first)
            parts[name] = text_encoder(name, family, parts[twin])
    return parts


def unet(family: str = "sd1") -> Any:
    """A U-Net of two levels, with attention in the first (SD) or the second (SDXL)."""
    from diffusers import UNet2DConditionModel

    common: dict[str, Any] = dict(
        sample_size=16,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=sum(WIDTHS.values()) if family == "sdxl" else WIDTHS["text_encoder"],
    )
    if family != "sdxl":
        return UNet2DConditionModel(
            **common,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            attention_head_dim=(2, 4) if family == "sd2" else 2,
            use_linear_projection=family == "sd2",
        )
    return UNet2DConditionModel(
        **common,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=_ADDED_TIME,
        projection_class_embeddings_input_dim=_POOLED + 6 * _ADDED_TIME,
    )


def vae() -> Any:
    """A VAE of three levels: images are 4 times as wide as latents."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=64,
        scaling_factor=0.5,
    )


def text_encoder(name: str, family: str, words: Any) -> Any:
    """A CLIP text encoder of a few layers; the second one of SDXL has a projection."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    second = name == "text_encoder_2"
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=WIDTHS[name],
        intermediate_size=2 * WIDTHS[name],
        num_hidden_layers=LAYERS[name],
        num_attention_heads=4,
        max_position_embeddings=words.model_max_length,
        projection_dim=_POOLED,
        hidden_act="gelu" if family == "sd2" or second else "quick_gelu",
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    return (CLIPTextModelWithProjection if second else CLIPTextModel)(config)


def tokenizer(max_length: int = 77, pad_first: bool = False) -> Any:
    """A CLIP tokenizer that knows bytes only (514 tokens); pads with its end token, or with id 0."""
    from transformers import CLIPTokenizer

    letters = _byte_letters()
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={word: index for index, word in enumerate(words)},
        merges=[],
        pad_token=words[0] if pad_first else "<|endoftext|>",
        model_max_length=max_length,
    )


def _byte_letters() -> list[str]:
    """One letter per byte, as byte-level BPE has it: printable bytes first, the rest from U+0100."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(rest))]
