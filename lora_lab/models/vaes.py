"""A VAE by itself: a diffusers folder or a single file."""

from pathlib import Path
from typing import Any

import torch

from lora_lab.errors import ModelError
from lora_lab.models import folder as folders
from lora_lab.models import single_file as names
from lora_lab.models.identify import VAE_PREFIX
from lora_lab.models.networks import make_vae
from lora_lab.models.weight_headers import listing
from lora_lab.models.weights import Target, fill, open_tensors

_OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def load_vae(path: str | Path, dtype: torch.dtype, device: str, default_config: Path) -> Any:
    """A VAE from its own folder, a whole model's folder, or a file in diffusers' or the original naming.

    Args:
        default_config: Describes files that bring no config: the family's public VAE.
    Raises:
        ModelError: There is no VAE at `path`.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        place = path if (path / "config.json").is_file() else path / "vae"
        if not (place / "config.json").is_file():
            raise ModelError(
                f"base_model.vae: {path} holds no VAE (no config.json); it holds {listing(path)}"
            )
        part = folders.component(place, ".")
        config, files = part.config, part.weights
    else:
        beside = path.with_name("config.json")
        own = folders.read_json(beside) if beside.is_file() else {}
        config = own if own.get("_class_name") == "AutoencoderKL" else folders.read_json(default_config)
        files = (path,)
    vae = make_vae(config)
    with open_tensors(files, path) as tensors:
        fill(vae, tensors, Target("VAE", _sources(vae, tensors.names, path)), dtype, device)
    return vae


def _sources(vae: Any, found: frozenset[str], path: Path) -> names.Sources:
    keys = list(vae.state_dict())
    for prefix in ("", "vae.", VAE_PREFIX):
        if f"{prefix}encoder.down.0.block.0.conv1.weight" in found:
            return names.vae_sources(keys, vae.config, prefix)
        if f"{prefix}encoder.down_blocks.0.resnets.0.conv1.weight" in found:
            return {key: (prefix + _as_found(key, prefix, found), None) for key in keys}
    some = ", ".join(sorted(found)[:3]) or "no tensors"
    raise ModelError(f"base_model.vae: {path} is not a VAE for Stable Diffusion; it holds {some}")


def _as_found(key: str, prefix: str, found: frozenset[str]) -> str:
    """VAE folders saved by old libraries call the attention's projections otherwise."""
    if prefix + key in found:
        return key
    for new, old in _OLD_ATTENTION.items():
        if f".{new}." in key:
            return key.replace(f".{new}.", f".{old}.")
    return key
