"""Telling other models apart by the names of their layers, in checkpoints and LoRA files. Without torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_PREFIX = re.compile(
    r"^(?:base_model_model_|model_diffusion_model_|diffusion_model_|lora_unet_|lora_transformer_|"
    r"lycoris_|transformer_(?!blocks)|unet_|model_)+"
)
_ANY_TEXT = r"(?:lora_te\d?_|text_encoders?_(?:\w+?_)?|text_encoder_\d_|t5(?:xxl|_xxl)?_|clip_\w_)?"
_LAYERS: tuple[tuple[str, str], ...] = (
    ("AuraFlow", r"(?:double_layers|single_layers|joint_transformer_blocks)_\d"),
    ("Chroma", r"distilled_guidance_layer"),
    ("HunyuanVideo", r"txt_in_individual_token_refiner"),
    ("Flux or HunyuanVideo", r"(?:double_blocks|single_blocks|single_transformer_blocks)_\d"),
    ("Stable Cascade", r"lora_prior|(?:down|up)_blocks_\d+_\d+_(?:channelwise|kv_mapper|attention)"),
    ("Qwen-Image", r"transformer_blocks_\d+_(?:img|txt)_m(?:od|lp)"),
    ("Stable Diffusion 3", r"joint_blocks_\d|transformer_blocks_\d+_attn_(?:add_[qkv]_proj|to_add_out)"),
    (
        "Z-Image or Lumina",
        r"(?:noise_refiner|context_refiner)_\d|layers_\d+_(?:attention|feed_forward|adaLN_modulation)_",
    ),
    (
        "Hunyuan-DiT",
        r"blocks_\d+_(?:attn[12]_|default_modulation|skip_linear|skip_norm)|mlp_t5_|text_embedding_padding",
    ),
    ("Cosmos or Anima", r"llm_adapter_|blocks_\d+_(?:self|cross)_attn_(?:[qkv]|output)_proj"),
    ("Wan", r"blocks_\d+_(?:(?:self|cross)_attn_[qkvo]|ffn_\d)(?:_|$)"),
    ("LTX-Video", r"patchify_proj|caption_projection"),
    ("PixArt, LTX-Video or CogVideoX", r"adaln_single|transformer_blocks_\d+_attn[12]_"),
    ("a diffusion transformer", r"transformer_blocks_\d"),
)
_TEXTS: tuple[tuple[str, str], ...] = (
    ("a model with a T5 text encoder (Stable Diffusion 3, Flux, PixArt)",
     _ANY_TEXT + r"(?:encoder_)?block_\d+_layer_\d+_(?:SelfAttention|DenseReluDense)|lora_te3_|t5xxl_"),
    ("a model with a BERT text encoder (Hunyuan-DiT)",
     _ANY_TEXT + r"(?:bert_)?encoder_layer_\d+_(?:attention_self|intermediate|output_dense)"),
)  # fmt: skip

_STATED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Flux", ("flux",)),
    ("Stable Diffusion 3", ("stable-diffusion-3", "stable-diffusion-v3", "sd3", "sd_3")),
    ("Stable Cascade", ("stable-cascade", "stable_cascade", "wuerstchen")),
    ("Lumina", ("lumina",)),
    ("Hunyuan", ("hunyuan",)),
    ("Chroma", ("chroma",)),
    ("PixArt", ("pixart",)),
)
"""How `modelspec.architecture` and `ss_base_model_version` of other models begin, in small letters."""


def stated_architecture(metadata: Mapping[str, str]) -> str | None:
    """What model the metadata of a LoRA file names, where it is none of our families."""
    said = [metadata.get(key, "").lower() for key in ("modelspec.architecture", "ss_base_model_version")]
    return next((title for title, starts in _STATED if any(text.startswith(starts) for text in said)), None)


def architecture(names: Iterable[str]) -> str | None:
    """What model the layers of these names are of, where it is none of our families; None if that is open.

    Args:
        names: Of tensors or modules, with dots or underscores, with any usual prefix.
    """
    whole = [name.replace(".", "_") for name in names]
    bare = [_PREFIX.sub("", name) for name in whole]
    for title, pattern in _LAYERS:
        found = re.compile(pattern)
        if any(found.match(name) for name in bare):
            return title
    for title, pattern in _TEXTS:
        found = re.compile(pattern)
        if any(found.match(name) for name in whole):
            return title
    return None
