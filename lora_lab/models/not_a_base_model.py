"""Recognising files that are weights, but of something else than a base model."""

import re
from collections.abc import Mapping
from pathlib import Path

from lora_lab.counts import counted
from lora_lab.errors import ModelError
from lora_lab.models.architectures import architecture

_ADAPTER = re.compile(
    r"^(?P<module>.+?)\.(?:lora_(?:up|down|mid|A|B)\b.*|lora\.(?:up|down)\..*|hada_w\d_\w+|lokr_\w+|oft_\w+|"
    r"dora_scale|alpha|lora_magnitude_vector.*)$"
)
_ADAPTER_PREFIX = ("lora_unet_", "lora_te_", "lora_te1_", "lora_te2_", "lycoris_")
_OTHERS = {
    "down_blocks.0.": "a U-Net alone, as diffusers names it",
    "control_model.": "a ControlNet",
    "input_hint_block.": "a ControlNet",
    "controlnet_": "a ControlNet",
}
_KNOWN = "known: Stable Diffusion 1.x, 2.x and XL checkpoints with U-Net, text encoder and VAE"


def refuse_not_a_base_model(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a LoRA, a VAE, a text encoder, an embedding or a known other architecture, by its tensor names.

    Raises:
        ModelError: It is one of those; the message says which, and where it belongs.
    """
    names = list(shapes)
    if any(name.startswith("model.diffusion_model.input_blocks.") for name in names):
        return
    modules = _adapter_modules(names)
    if modules:
        raise ModelError(
            f"{path} is a LoRA ({counted(modules, 'module')}), not a checkpoint: give it to "
            "network.network_weights"
        )
    bare = [name.removeprefix("model.diffusion_model.").removeprefix("model.") for name in names]
    if other := architecture(names):
        raise ModelError(f"{path} is of an unknown architecture: it looks like {other}; {_KNOWN}")
    if _any(bare, "first_stage_model.", "encoder.down.", "encoder.down_blocks.", "decoder.up_blocks."):
        raise ModelError(f"{path} is a VAE only, not a checkpoint: give it to base_model.vae")
    if _any(bare, "input_blocks."):
        raise ModelError(
            f"{path} is a U-Net alone; give a full checkpoint (U-Net, text encoder and VAE in one file)"
        )
    if {"emb_params", "string_to_param", "clip_l", "clip_g"} & set(names):
        raise ModelError(f"{path} is a textual inversion embedding, not a checkpoint")
    for start, what in _OTHERS.items():
        if _any(bare, start):
            raise ModelError(f"{path} is of an unknown architecture: it looks like {what}; {_KNOWN}")
    if _any(
        bare,
        "text_model.",
        "transformer.text_model.",
        "transformer.resblocks.",
        "encoder.layers.",
        "encoder.block.",
    ):
        raise ModelError(f"{path} is a text encoder only, not a checkpoint")


def _any(names: list[str], *starts: str) -> bool:
    return any(name.startswith(starts) for name in names)


def _adapter_modules(names: list[str]) -> int:
    matches = [match for match in map(_ADAPTER.match, names) if match]
    modules = {match["module"] for match in matches}
    factors = [match for match in matches if not match.string.endswith(".alpha")]
    return len(modules) if factors or any(name.startswith(_ADAPTER_PREFIX) for name in names) else 0
