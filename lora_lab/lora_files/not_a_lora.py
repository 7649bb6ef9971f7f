"""Files that are no LoRA, or one of a model that is not known here: said by their names. Without torch."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

from lora_lab.counts import counted
from lora_lab.errors import ModelError
from lora_lab.lora_files.keys import embedding_of, located, separated
from lora_lab.models.architectures import architecture, stated_architecture

_CHECKPOINT_MARKS = (
    "model.diffusion_model.",
    "cond_stage_model.",
    "conditioner.embedders.",
)
_KNOWN = "known: LoRAs for Stable Diffusion 1.x, 2.x and XL"


_SCALES = (".scale_weight", ".weight_scale", ".weight_scale_2", ".input_scale", ".scale_input", "scaled_fp8")
"""How the scales of 8-bit weights are called; to leave them out would change the weights."""
_ADAPTERS = {
    r"\.oft_R": "an OFT adapter of PEFT",
    r"\.boft_": "a BOFT adapter of PEFT",
    r"vera_(?:lambda|[AB])": "a VeRA adapter of PEFT",
    r"\.lora_E": "an AdaLoRA adapter of PEFT",
    r"\.fourierft_": "a FourierFT adapter of PEFT",
    r"\.hra_u": "an HRA adapter of PEFT",
    r"vblora_": "a VB-LoRA adapter of PEFT",
    r"randlora_": "a RandLoRA adapter of PEFT",
    r"\.(?:bone|miss)_|\.shira_|\.ln_tuning": "another adapter of PEFT than LoRA",
    r"^(?:ip_adapter|image_proj)\.|to_k_ip": "an IP-Adapter",
    r"^lllite_": "a ControlNet-LLLite",
    r"^lora_controlnet$|^control_model\.|^input_hint_block|^controlnet_": "a ControlNet",
    r"^<[^>]+>$": "a textual inversion embedding",
    r"\.set_weight$": "a set of whole weights for ComfyUI",
    r"motion_modules\.": "AnimateDiff's motion modules",
    r"^(?:first_stage_model\.|(?:vae\.)?(?:en|de)coder\.(?:conv_in|mid|up|down))": "a VAE",
    r"^(?:down_blocks\.0\.|mid_block\.)": "a U-Net alone, as diffusers names it",
}
"""What other files are, by a tensor's name."""


def refuse_not_a_lora(
    path: Path, names: Collection[str], metadata: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Refuse a file whose tensors are not those of a LoRA for a model that is known here.

    What the metadata says counts where all modules are of text encoders: other models have the same ones.

    Raises:
        ModelError: It is a checkpoint, an embedding, a LoRA for something else, or has modules of no known
            part; the message says which.
    """
    scaled = [name for name in names if name.endswith(_SCALES)]
    if scaled:
        raise ModelError(
            f"{path} holds weights that act only times a scale of their own ({scaled[0]}, ...), which are "
            "not read here; save it again in fp16"
        )
    modules = [found[0] for name in names if (found := separated(name))]
    if not modules:
        _refuse_other_weights(path, names)
    if other := architecture(modules):
        raise ModelError(f"{path} is a LoRA for {other}, which is not known here; {_KNOWN}")
    if any("motion_modules" in module for module in modules):
        raise ModelError(
            f"{path} is a LoRA for AnimateDiff's motion modules, which are not known here; {_KNOWN}"
        )
    parts = {found[0] if (found := located(module)) else "" for module in modules}
    if "unet" not in parts and (other := stated_architecture(metadata)):
        raise ModelError(
            f"{path} is a LoRA for the text encoders of {other}, which is not known here; {_KNOWN}"
        )
    lost = sorted({module for module in modules if located(module) is None})
    if lost:
        raise ModelError(
            f"{path} has {counted(len(lost), 'module')} of a part that is not known here "
            f"({', '.join(lost[:3])}); {_KNOWN}"
        )


def _refuse_other_weights(path: Path, names: Collection[str]) -> None:
    if any(name.startswith(_CHECKPOINT_MARKS) for name in names):
        raise ModelError(f"{path} is a whole checkpoint, not a LoRA; use it as base_model.path")
    if any(embedding_of(name) for name in names):
        raise ModelError(f"{path} is a textual inversion embedding, not a LoRA")
    for pattern, what in _ADAPTERS.items():
        if any(re.search(pattern, name) for name in names):
            raise ModelError(f"{path} is {what}, not a LoRA")
    if other := architecture(names):
        if any("lora" in name.lower() for name in names):
            raise ModelError(f"{path} is a LoRA for {other}, which is not known here; {_KNOWN}")
        raise ModelError(f"{path} is not a LoRA: it looks like the weights of {other}")
    shown = ", ".join(sorted(names)[:3]) or "nothing"
    raise ModelError(f"{path} is not a LoRA: no lora_down/lora_up tensors; it holds {shown}")
