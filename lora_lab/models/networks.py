"""The library's network classes, made from configs on the meta device (no memory, no random numbers)."""

import os
from functools import lru_cache
from pkgutil import resolve_name
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before the libraries read it: nothing here may use the network
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")

import torch
from diffusers import AutoencoderKL, DDPMScheduler
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from lora_lab.errors import ConfigError, ModelError
from lora_lab.models.family import Denoiser


@lru_cache
def named(path: str) -> Any:
    """The class or function that a family's row names by its import path."""
    return resolve_name(path)


def make_denoiser(facts: Denoiser, config: dict[str, Any]) -> Any:
    """An empty U-Net or transformer.

    Raises:
        ModelError: The config does not describe one.
    """
    return _made(named(facts.kind), config, facts.title)


def make_vae(config: dict[str, Any]) -> Any:
    """An empty VAE.

    Raises:
        ModelError: The config does not describe one.
    """
    return _made(AutoencoderKL, config, "VAE")


def _made(kind: Any, config: dict[str, Any], what: str) -> Any:
    if config.get("_class_name", kind.__name__) != kind.__name__:
        raise ModelError(f"the {what} is a {config['_class_name']}; only {kind.__name__} is supported")
    try:
        with torch.device("meta"):
            return kind.from_config(config)
    except Exception as error:  # the library checks little, and fails as it falls
        raise ModelError(f"the {what}'s config.json does not describe a {kind.__name__}: {error}") from None


def make_clip(config: dict[str, Any], with_projection: bool) -> Any:
    """An empty CLIP text encoder.

    Raises:
        ModelError: The config does not describe one.
    """
    if config.get("model_type", "clip_text_model") != "clip_text_model":
        raise ModelError(f"the text encoder is a {config['model_type']}; only clip_text_model is supported")
    kind = CLIPTextModelWithProjection if with_projection else CLIPTextModel
    try:
        with torch.device("meta"):
            return kind._from_config(CLIPTextConfig(**config), attn_implementation="sdpa")
    except Exception as error:
        raise ModelError(
            f"the text encoder's config.json does not describe a {kind.__name__}: {error}"
        ) from None


def schedule(config: dict[str, Any]) -> Tensor:
    """Betas of a noise schedule as stated, (timesteps,) float32.

    Rescaling to zero terminal SNR is left to training, where it is a setting.

    Raises:
        ModelError: The config does not describe a schedule.
    """
    plain = {**config, "rescale_betas_zero_snr": False}
    try:
        made = DDPMScheduler.from_config(plain)
    except Exception as error:
        raise ModelError(f"scheduler_config.json does not describe a noise schedule: {error}") from None
    betas: Tensor = made.betas
    return betas


def use_attention(unet: Any, attention: str) -> None:
    """Choose how attention is computed.

    Raises:
        ConfigError: The name is unknown, or xformers is not installed or does not run here.
    """
    if attention == "sdpa":
        return  # the library's default
    if attention != "xformers":
        raise ConfigError(f"unknown attention {attention!r}; known: sdpa, xformers")
    try:
        unet.enable_xformers_memory_efficient_attention()
    except Exception as error:  # not installed, built for another torch, no CUDA
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(f"attention=xformers does not work here ({reason}); use attention=sdpa") from None
