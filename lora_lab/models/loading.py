"""Loading a base model from a diffusers folder or a single file: offline, strict, near one copy in memory."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lora_lab.counts import counted
from lora_lab.errors import ConfigError, ModelError
from lora_lab.models import folder as folders
from lora_lab.models import single_file as names
from lora_lab.models.base import BaseModel, freeze, silence_dropout
from lora_lab.models.content_hash import identity
from lora_lab.models.families import FAMILIES, unknown_family
from lora_lab.models.family import EncoderSpec, Family
from lora_lab.models.identify import UNET_PREFIX, VAE_PREFIX, ModelFile, identify, own_config
from lora_lab.models.networks import make_clip, make_denoiser, make_vae, schedule, use_attention
from lora_lab.models.no_division import leave_out_divisions
from lora_lab.models.parts import CONFIGS as _CONFIGS
from lora_lab.models.parts import component_sources, encoder_sources
from lora_lab.models.tokenizers import (
    carried_tokenizer,
    folder_tokenizer,
    packaged_tokenizer,
    tokenizer_texts,
)
from lora_lab.models.unet_sizes import sized
from lora_lab.models.vaes import load_vae
from lora_lab.models.weight_headers import read_header
from lora_lab.models.weights import Target, Tensors, fill, open_tensors, tensors_identity


@dataclass
class _Parts:
    """The networks of a model, on their way into a BaseModel."""

    unet: Any
    vae: Any
    text_encoders: list[Any]
    tokenizers: list[Any]
    scheduler: dict[str, Any]


@dataclass(frozen=True)
class _Wish:
    """How the networks should be loaded."""

    dtype: torch.dtype
    vae_dtype: torch.dtype
    device: str
    vae: str | Path | None


def load(
    path: str | Path,
    *,
    family: str = "auto",
    vae: str | Path | None = None,
    dtype: torch.dtype = torch.float32,
    vae_dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    attention: str = "sdpa",
    prediction_type: str = "auto",
) -> BaseModel:
    """Load a base model, frozen, in eval mode. Nothing is ever downloaded.

    Args:
        path: A diffusers folder, a `.safetensors` or `.ckpt` file, or `demo`.
        family: A key of `families.FAMILIES`, or `auto`; another family than the model's own is refused.
        vae: A VAE in place of the model's: folder or file.
        vae_dtype: Type of the VAE if it differs from `dtype` (SDXL's own VAE gives NaN in fp16).
        attention: `sdpa` (PyTorch's), or `xformers` where it is installed.
        prediction_type: One of the family's, or `auto`: what the model says of itself.
    Raises:
        ModelError: There is no loadable base model at `path`, or no VAE at `vae`.
        ConfigError: A choice is unknown or not available here.
    """
    found = identify(path)
    _check_family(found, family)
    spec = FAMILIES[found.family]
    if prediction_type not in ("auto", *spec.configs):
        known = ", ".join(("auto", *sorted(spec.configs)))
        raise ConfigError(f"prediction_type of {spec.title} must be one of {known}, not {prediction_type!r}")
    prediction = found.prediction_type if prediction_type == "auto" else prediction_type
    wish = _Wish(dtype, vae_dtype or dtype, str(device), vae)
    parts = (
        _from_folder(found, spec, wish)
        if found.kind == "diffusers"
        else _from_file(found, spec, wish, prediction)
    )
    freeze([parts.unet, parts.vae, *parts.text_encoders])
    for network in (parts.unet, *parts.text_encoders):
        silence_dropout(network)
    use_attention(parts.unet, attention)
    leave_out_divisions(parts.unet)
    return _assembled(found, parts, prediction)


def _check_family(found: ModelFile, family: str) -> None:
    if family not in ("auto", found.family):
        if family not in FAMILIES:
            raise ConfigError(unknown_family(family))
        raise ModelError(
            f"base_model.family={family}, but {found.path} is {FAMILIES[found.family].title}: "
            f"set base_model.family={found.family} or auto"
        )


def _from_folder(found: ModelFile, spec: Family, wish: _Wish) -> _Parts:
    folder = found.path
    denoiser = spec.denoiser
    unet_part = folders.component(folder, denoiser.component)
    unet = make_denoiser(denoiser, unet_part.config)
    _fill_plain(unet, unet_part, denoiser.title, wish.dtype, wish.device)
    encoders, tokenizers = [], []
    for encoder_spec in spec.encoders:
        part = folders.component(folder, encoder_spec.component)
        encoder = make_clip(part.config, encoder_spec.pooled)
        _fill_plain(encoder, part, f"text encoder ({encoder_spec.component})", wish.dtype, wish.device)
        encoders.append(encoder)
        tokenizers.append(folder_tokenizer(folder, encoder_spec, part.config))
    vae = load_vae(wish.vae or folder / "vae", wish.vae_dtype, wish.device, _default_vae(spec))
    schedule_file = folders.scheduler_file(folder)
    default = _CONFIGS / spec.configs[found.prediction_type] / "scheduler" / "scheduler_config.json"
    return _Parts(
        unet,
        vae,
        encoders,
        tokenizers,
        folders.read_json(schedule_file if schedule_file.is_file() else default),
    )


def _fill_plain(network: Any, part: folders.Component, what: str, dtype: torch.dtype, device: str) -> None:
    """Fill from a component's own folder."""
    with open_tensors(part.weights, part.config_file.parent) as tensors:
        sources = component_sources(list(network.state_dict()), tensors.names)
        fill(network, tensors, Target(what, sources), dtype, device)


def _from_file(found: ModelFile, spec: Family, wish: _Wish, prediction: str) -> _Parts:
    own = own_config(read_header(found.path).metadata) if found.kind == "safetensors" else {}
    shipped = _CONFIGS / spec.configs[prediction]

    def config(component: str, file: str = "config.json") -> dict[str, Any]:
        value = own.get(component)
        return value if isinstance(value, dict) else folders.read_json(shipped / component / file)

    with ExitStack() as stack:
        tensors = stack.enter_context(open_tensors([found.path], found.path))
        unet = make_denoiser(spec.denoiser, sized(config(spec.denoiser.component), tensors.names))
        target = Target(spec.denoiser.title, names.unet_sources(unet.state_dict(), unet.config))
        _refuse_left_over(tensors, target)
        fill(unet, tensors, target, wish.dtype, wish.device)
        encoders = [
            _encoder_from_file(tensors, encoder_spec, config(encoder_spec.component), wish)
            for encoder_spec in spec.encoders
        ]
        if wish.vae is None:
            vae = make_vae(config("vae"))
            fill(vae, tensors, _vae_target(vae, tensors), wish.vae_dtype, wish.device)
    if wish.vae is not None:
        vae = load_vae(wish.vae, wish.vae_dtype, wish.device, _default_vae(spec))
    carried = own.get("files") or {}
    tokenizers = [
        carried_tokenizer(carried[encoder_spec.tokenizer], config(encoder_spec.component))
        if carried.get(encoder_spec.tokenizer)
        else packaged_tokenizer(encoder_spec, config(encoder_spec.component), found.path)
        for encoder_spec in spec.encoders
    ]
    return _Parts(unet, vae, encoders, tokenizers, config("scheduler", "scheduler_config.json"))


def _refuse_left_over(tensors: Tensors, target: Target) -> None:
    """A U-Net with more than ours is another one, even if all of ours is there."""
    used = {name for name, _ in target.sources.values()}
    left = sorted(name for name in tensors.names if name.startswith(UNET_PREFIX) and name not in used)
    if left:
        raise ModelError(
            f"{tensors.where} is of an unknown architecture: "
            f"{counted(len(left), 'tensor of its U-Net has', 'tensors of its U-Net have')} no place "
            f"({', '.join(left[:3])})"
        )


def _encoder_from_file(tensors: Tensors, spec: EncoderSpec, config: dict[str, Any], wish: _Wish) -> Any:
    encoder = make_clip(config, spec.pooled)
    sources = encoder_sources(list(encoder.state_dict()), tensors.names, spec)
    fill(encoder, tensors, Target(f"text encoder ({spec.component})", sources), wish.dtype, wish.device)
    return encoder


def _vae_target(vae: Any, tensors: Tensors) -> Target:
    if not any(name.startswith(VAE_PREFIX) for name in tensors.names):
        raise ModelError(f"{tensors.where} holds no VAE: give one with base_model.vae=...")
    return Target("VAE", names.vae_sources(vae.state_dict(), vae.config))


def _default_vae(spec: Family) -> Path:
    return _CONFIGS / next(iter(spec.configs.values())) / "vae" / "config.json"


def _assembled(found: ModelFile, parts: _Parts, prediction: str) -> BaseModel:
    flow = FAMILIES[found.family].process == "flow"
    vae_config = dict(parts.vae.config)
    encoder_configs = [encoder.config.to_dict() for encoder in parts.text_encoders]
    words = [[tokenizer_texts(tokenizer), tokenizer.pad_token_id] for tokenizer in parts.tokenizers]
    lengths = {int(tokenizer.model_max_length) for tokenizer in parts.tokenizers}
    return BaseModel(
        family=found.family,
        name=found.path.stem if found.path.is_file() else found.path.name,
        unet=parts.unet,
        vae=parts.vae,
        text_encoders=parts.text_encoders,
        tokenizers=parts.tokenizers,
        scheduler_config={**parts.scheduler, "prediction_type": prediction},
        betas=torch.empty(0) if flow else schedule(parts.scheduler),
        prediction_type=prediction,
        zero_terminal_snr=found.zero_terminal_snr,
        latent_channels=int(vae_config["latent_channels"]),
        latent_factor=2 ** (len(vae_config["block_out_channels"]) - 1),
        scaling_factor=float(vae_config["scaling_factor"]),
        shift_factor=float(vae_config.get("shift_factor") or 0.0),
        max_length=min(lengths),
        identity=identity(found.path),
        vae_identity=tensors_identity([parts.vae], _without_private(vae_config)),
        text_identity=tensors_identity(
            parts.text_encoders, [[_without_private(c) for c in encoder_configs], words]
        ),
    )


def _without_private(config: dict[str, Any]) -> dict[str, Any]:
    """A config without what does not act: library versions and where it was loaded from."""
    inert = {"transformers_version", "torch_dtype", "dtype", "architectures"}
    return {key: value for key, value in config.items() if not key.startswith("_") and key not in inert}
