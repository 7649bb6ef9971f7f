"""Single-file checkpoints: the original names against those of diffusers and transformers, both ways.

The original U-Net numbers its blocks in one row (`input_blocks.7.1`), diffusers by level and kind
(`down_blocks.2.attentions.0`). OpenCLIP fuses the query, key and value projections.
"""

import json
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from lora_lab.files import replacing
from lora_lab.models.base import BaseModel
from lora_lab.models.identify import CONFIG_METADATA, UNET_PREFIX, VAE_PREFIX
from lora_lab.models.tokenizers import tokenizer_texts
from lora_lab.models.weights import Change

Sources = dict[str, tuple[str, Change | None]]

_UNET_TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_MIDDLE = {"resnets.0": "0", "attentions.0": "1", "resnets.1": "2"}
_UNET_BLOCK = re.compile(
    r"^(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)$"
)
_VAE_BLOCK = re.compile(
    r"^(encoder|decoder)\.(down|up)_blocks\.(\d+)\.(resnets|downsamplers|upsamplers)\.(\d+)\.(.+)$"
)
_VAE_MIDDLE = {"resnets.0": "block_1", "attentions.0": "attn_1", "resnets.1": "block_2"}
_VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
    "query": "q",
    "key": "k",
    "value": "v",
    "proj_attn": "proj_out",
}
_OPEN_CLIP_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_OPEN_CLIP_TOP = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_FUSED = ("q_proj", "k_proj", "v_proj")


def unet_name(key: str, layers_per_block: int, attention_levels: Iterable[int]) -> str:
    """The original name of a parameter of `UNet2DConditionModel`.

    Args:
        key: diffusers' name.
        layers_per_block: As in the U-Net's config.
        attention_levels: Indices of the up blocks with attention; there, the upsampler is third in its block.
    """
    module, _, leaf = key.rpartition(".")
    if module in _UNET_TOP:
        return f"{_UNET_TOP[module]}.{leaf}"
    if key.startswith("mid_block."):
        _, kind, index, rest = key.split(".", 3)
        place = _MIDDLE[f"{kind}.{index}"]
        return f"middle_block.{place}.{_renamed(rest, _RESNET) if kind == 'resnets' else rest}"
    match = _UNET_BLOCK.match(key)
    if not match:
        raise KeyError(key)
    way, level, kind, number, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    if way == "down":
        start = 1 + level * (layers_per_block + 1)
        if kind == "downsamplers":
            return f"input_blocks.{start + layers_per_block}.0.op.{leaf}"
        block = f"input_blocks.{start + number}"
    else:
        start = level * (layers_per_block + 1)
        if kind == "upsamplers":
            third = 2 if level in attention_levels else 1
            return f"output_blocks.{start + layers_per_block}.{third}.conv.{leaf}"
        block = f"output_blocks.{start + number}"
    return f"{block}.0.{_renamed(rest, _RESNET)}" if kind == "resnets" else f"{block}.1.{rest}"


def vae_name(key: str, levels: int) -> str:
    """The original name of a parameter of `AutoencoderKL` with so many levels."""
    if key.startswith(("quant_conv", "post_quant_conv")):
        return key
    half, _, inner = key.partition(".")
    if inner.startswith("mid_block."):
        _, kind, index, rest = inner.split(".", 3)
        names = _VAE_ATTENTION if kind == "attentions" else {"conv_shortcut": "nin_shortcut"}
        return f"{half}.mid.{_VAE_MIDDLE[f'{kind}.{index}']}.{_renamed(rest, names)}"
    match = _VAE_BLOCK.match(key)
    if not match:
        return f"{half}.{inner.replace('conv_norm_out', 'norm_out')}"
    level, kind, rest = int(match[3]), match[4], match[6]
    place = f"{half}.down.{level}" if match[2] == "down" else f"{half}.up.{levels - 1 - level}"
    if kind == "resnets":
        return f"{place}.block.{match[5]}.{_renamed(rest, {'conv_shortcut': 'nin_shortcut'})}"
    return f"{place}.{kind.removesuffix('rs')[:-1]}e.{rest}"


def _renamed(rest: str, names: dict[str, str]) -> str:
    module, _, leaf = rest.rpartition(".")
    return f"{names.get(module, module)}.{leaf}"


def unet_sources(keys: Iterable[str], config: Any) -> Sources:
    """Where each U-Net parameter stands in a single file."""
    kinds = config["up_block_types"]
    attention = {level for level, kind in enumerate(kinds) if "CrossAttn" in kind}
    layers = config["layers_per_block"]
    return {key: (UNET_PREFIX + unet_name(key, layers, attention), None) for key in keys}


def vae_sources(keys: Iterable[str], config: Any, prefix: str = VAE_PREFIX) -> Sources:
    """Where each VAE parameter stands in a single file."""
    levels = len(config["block_out_channels"])
    return {key: (prefix + vae_name(key, levels), None) for key in keys}


def clip_sources(keys: Iterable[str], names: Iterable[str], prefix: str) -> Sources:
    """Where each CLIP parameter stands, in transformers' naming with or without the `text_model` level."""
    nested = any(name.startswith(f"{prefix}text_model.") for name in names)
    return {key: (f"{prefix}{_leveled(key, nested)}", None) for key in keys}


def _leveled(key: str, nested: bool) -> str:
    bare = key.removeprefix("text_model.")
    return f"text_model.{bare}" if nested and not bare.startswith("text_projection") else bare


def open_clip_sources(keys: Iterable[str], prefix: str) -> Sources:
    """Where each CLIP parameter stands in OpenCLIP's naming, with the slices of its fused projections."""
    return {key: _open_clip_source(key.removeprefix("text_model."), prefix) for key in keys}


def _open_clip_source(key: str, prefix: str) -> tuple[str, Change | None]:
    if key == "text_projection.weight":
        return f"{prefix}text_projection", Tensor.t
    if key in _OPEN_CLIP_TOP:
        return prefix + _OPEN_CLIP_TOP[key], None
    _, _, layer, rest = key.split(".", 3)
    module, _, leaf = rest.rpartition(".")
    block = f"{prefix}transformer.resblocks.{layer}"
    part = module.rpartition(".")[2]
    if part in _FUSED:
        return f"{block}.attn.in_proj_{leaf}", partial(_third, index=_FUSED.index(part))
    return f"{block}.{_OPEN_CLIP_LAYER[module]}.{leaf}", None


def _third(tensor: Tensor, index: int) -> Tensor:
    return tensor.chunk(3)[index]


def save_single_file(base: BaseModel, path: str | Path, dtype: torch.dtype | None = None) -> None:
    """Write a single-file checkpoint; other tools read it if its sizes are the public ones.

    Component configs and an own tokenizer go into the metadata, so that models of any size load here again.
    """
    content: dict[str, Tensor] = {}
    unet, vae = base.unet.state_dict(), base.vae.state_dict()
    for key, (name, _) in unet_sources(unet, base.unet.config).items():
        content[name] = unet[key]
    for key, (name, _) in vae_sources(vae, base.vae.config).items():
        convolution = ".attn_1." in name and vae[key].ndim == 2  # a 1x1 convolution in the original
        content[name] = vae[key][..., None, None] if convolution else vae[key]
    for spec, encoder in zip(base.spec.encoders, base.text_encoders, strict=True):
        content.update(_encoder_content(encoder.state_dict(), spec.layout, spec.prefixes[0]))
    content = {
        name: tensor.detach().to("cpu", dtype or tensor.dtype).contiguous()
        for name, tensor in content.items()
    }
    metadata = {"format": "pt", CONFIG_METADATA: json.dumps(_own_config(base))}
    with replacing(Path(path)) as temporary:
        save_file(content, temporary, metadata=metadata)


def _encoder_content(state: dict[str, Tensor], layout: str, prefix: str) -> dict[str, Tensor]:
    if layout == "hf":
        return {f"{prefix}{_leveled(key, nested=True)}": tensor for key, tensor in state.items()}
    parts: dict[str, dict[int, Tensor]] = {}
    for key, (name, change) in open_clip_sources(state, prefix).items():
        index = change.keywords["index"] if isinstance(change, partial) else 0
        parts.setdefault(name, {})[index] = state[key].t() if change is Tensor.t else state[key]
    return {name: torch.cat([thirds[index] for index in sorted(thirds)]) for name, thirds in parts.items()}


def _own_config(base: BaseModel) -> dict[str, Any]:
    own: dict[str, Any] = {
        "family": base.family,
        "unet": dict(base.unet.config),
        "vae": dict(base.vae.config),
        "scheduler": base.scheduler_config,
        "files": {},
    }
    for spec, encoder, tokenizer in zip(base.spec.encoders, base.text_encoders, base.tokenizers, strict=True):
        own[spec.component] = encoder.config.to_dict()
        own["files"][spec.tokenizer] = tokenizer_texts(tokenizer)
    return own
