"""Names of LoRA modules in files: kohya's, with SDXL U-Nets in the original ("sgm") block names."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from lora_lab.models.families import FAMILIES

RESNET_LEAVES = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
"""Layers of a resnet block: diffusers' name to the original's."""

SINGLES = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
"""Layers outside of blocks: diffusers' path to the original's."""


def text_encoder_name(path: str, index: int, family: str) -> str:
    """File name of a module of text encoder `index` (from 0), `path` as in `named_modules()`.

    transformers 5.6 dropped the `text_model` level of `CLIPTextModel` (not of `CLIPTextModelWithProjection`);
    files keep it.
    """
    prefix = FAMILIES[family].encoders[index].lora_prefix
    if not path.startswith(("text_model.", "text_projection")):
        path = "text_model." + path
    return prefix + path.replace(".", "_")


def unet_name(path: str, family: str, blocks: dict[str, str]) -> str:
    """File name of a denoiser's module; `blocks` are `original_blocks(unet, family)`."""
    denoiser = FAMILIES[family].denoiser
    if denoiser.original_names:
        path = sgm_path(path, blocks)
    return denoiser.lora_prefix + path.replace(".", "_")


def original_blocks(unet: Any, family: str) -> dict[str, str]:
    """`sgm_blocks` of this U-Net where the family's files name blocks as the original does; else nothing."""
    return sgm_blocks(unet) if FAMILIES[family].denoiser.original_names else {}


def other_paths(unet: Any, paths: Mapping[str, str]) -> dict[str, str]:
    """Underscored paths in the original's block naming, for modules of this U-Net.

    Args:
        unet: The model; one without down and up blocks has no other naming.
        paths: File name of each module to its path.

    Returns:
        The other path to the file name.
    """
    if not hasattr(unet, "down_blocks"):
        return {}
    blocks, found = sgm_blocks(unet), {}
    for name, path in paths.items():
        try:
            found[sgm_path(path, blocks).replace(".", "_")] = name
        except (KeyError, IndexError):  # a text encoder's, or one that the original has not
            continue
    return found


def public_blocks(family: str) -> dict[str, str]:
    """`sgm_blocks` of the family's public models; nothing for a family without a U-Net."""
    shape = FAMILIES[family].denoiser.shape
    if shape is None:
        return {}
    downs = [
        SimpleNamespace(resnets=range(shape.layers), downsamplers=[0] if level < shape.downs - 1 else None)
        for level in range(shape.downs)
    ]
    ups = [
        SimpleNamespace(resnets=range(shape.layers + 1), attentions=[0] if attentive else None)
        for attentive in shape.attentive_ups
    ]
    return sgm_blocks(SimpleNamespace(down_blocks=downs, up_blocks=ups))


def sgm_blocks(unet: Any) -> dict[str, str]:
    """Prefixes of diffusers' U-Net paths mapped to the original model's, for this U-Net's block sizes.

    The original counts every resnet (with its attention) and every downsampler as one input block, block 0
    being `conv_in`; an upsampler belongs to the last resnet's output block.
    """
    table: dict[str, str] = {}
    block_number = 1
    for i, block in enumerate(unet.down_blocks):
        for j in range(len(block.resnets)):
            table[f"down_blocks.{i}.resnets.{j}"] = f"input_blocks.{block_number}.0"
            table[f"down_blocks.{i}.attentions.{j}"] = f"input_blocks.{block_number}.1"
            block_number += 1
        if getattr(block, "downsamplers", None):
            table[f"down_blocks.{i}.downsamplers.0.conv"] = f"input_blocks.{block_number}.0.op"
            block_number += 1
    for j in range(8):
        table[f"mid_block.resnets.{j}"] = f"middle_block.{2 * j}"
        table[f"mid_block.attentions.{j}"] = f"middle_block.{2 * j + 1}"
    block_number = 0
    for i, block in enumerate(unet.up_blocks):
        for j in range(len(block.resnets)):
            table[f"up_blocks.{i}.resnets.{j}"] = f"output_blocks.{block_number}.0"
            table[f"up_blocks.{i}.attentions.{j}"] = f"output_blocks.{block_number}.1"
            block_number += 1
        place = 2 if getattr(block, "attentions", None) else 1
        table[f"up_blocks.{i}.upsamplers.0.conv"] = f"output_blocks.{block_number - 1}.{place}.conv"
    return table


def sgm_path(path: str, blocks: dict[str, str]) -> str:
    """The original model's path of a diffusers U-Net module path."""
    if path in SINGLES:
        return SINGLES[path]
    if path in blocks:
        return blocks[path]
    parts = path.split(".")
    depth = 3 if parts[0] == "mid_block" else 4
    head, tail = ".".join(parts[:depth]), ".".join(parts[depth:])
    if parts[depth - 2] == "resnets":
        tail = RESNET_LEAVES[tail]
    return f"{blocks[head]}.{tail}"
