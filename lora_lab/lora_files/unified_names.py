"""One spelling for the modules of a file, found without its base model: block names, kernels."""

from __future__ import annotations

import re
from functools import lru_cache

from lora_lab.lora_files import module_names
from lora_lab.models.families import FAMILIES

_DIFFUSERS = re.compile(
    r"(?P<head>(?:down|up)_blocks_\d+_(?:resnets|attentions|downsamplers|upsamplers)_\d+|"
    r"mid_block_(?:resnets|attentions)_\d+)_(?P<tail>.+)"
)
_SPATIAL = re.compile(r"_(?:resnets_\d+_conv[12]|samplers_0_conv|(?:down|up)samplers_0_conv|in_layers_2|"
                      r"out_layers_3|op|conv|conv_in|conv_out|input_blocks_0_0|out_2)$")  # fmt: skip
_ALWAYS_CONVOLUTION = ("_conv_shortcut", "_skip_connection")


def unified(name: str, family: str) -> str:
    """A module's name as kohya writes it for the family: SDXL in the original's block names.

    `name` is in kohya's form already, with either block naming, and `lora_te_` or `lora_te1_` for the first
    text encoder.
    """
    if match := re.match(r"lora_te(\d?)_(?:text_model_)?(.+)", name):
        inner = match[2] if match[2].startswith("text_projection") else f"text_model_{match[2]}"
        return _text_prefix(match[1], family) + inner
    rest = name.removeprefix("lora_unet_")
    if rest == name or family not in FAMILIES or not FAMILIES[family].denoiser.shape:
        return name
    original = FAMILIES[family].denoiser.original_names
    return "lora_unet_" + (_to_original(rest, family) if original else _to_diffusers(rest, family))


def _text_prefix(number: str, family: str) -> str:
    """How the family's files name modules of its text encoder `number` ("" and "1" are the first); without a
    family, as the file does."""
    encoders = FAMILIES[family].encoders if family in FAMILIES else ()
    if int(number or 1) <= len(encoders):
        return encoders[int(number or 1) - 1].lora_prefix
    return f"lora_te{number}_"


def _to_original(rest: str, family: str) -> str:
    if rest in _SINGLES:
        return _SINGLES[rest]
    match = _DIFFUSERS.fullmatch(rest)
    if not match:
        return rest
    head, tail = _dotted(match["head"]), match["tail"]
    try:
        return module_names.sgm_path(f"{head}.{tail}", _original_blocks(family)).replace(".", "_")
    except KeyError:
        return rest


def _dotted(head: str) -> str:
    return re.sub(r"_(\d+)", r".\1", re.sub(r"_(?=resnets|attentions|downsamplers|upsamplers)", ".", head))


def _to_diffusers(rest: str, family: str) -> str:
    """Files with the original's block names where diffusers' are usual, as some tools wrote them."""
    if rest in _SINGLES_BACK:
        return _SINGLES_BACK[rest]
    for block, path in _diffusers_blocks(family):
        if rest == block:
            return path
        if rest.startswith(block + "_"):
            tail = rest.removeprefix(block + "_")
            return f"{path}_{_RESNET_BACK.get(tail, tail)}"
    return rest


def kernel(name: str, family: str) -> int | None:
    """Side of the kernel of a module whose file gives a flat matrix: 3, 1, or None for a linear layer."""
    if name.startswith("lora_unet_"):
        if _SPATIAL.search(name):
            return 3
        if name.endswith(_ALWAYS_CONVOLUTION):
            return 1
        linear = family not in FAMILIES or FAMILIES[family].denoiser.linear_projections
        if not linear and name.endswith(("_proj_in", "_proj_out")):
            return 1
    return None


def part(name: str) -> str:
    """ "unet", "te" (the only text encoder), "te1" or "te2"."""
    match = re.match(r"lora_(unet|te\d?)_", name)
    return match[1] if match else "other"


def block(name: str) -> str:
    """The block of the U-Net or the layer of a text encoder: `down 0`, `input 4`, `layer 11`."""
    match = re.match(
        r"lora_(?:unet|te\d?)_(?:(down|up)_blocks_(\d+)|(input|output)_blocks_(\d+)|"
        r"(mid)(?:_block|dle_block)|.*?encoder_layers_(\d+))",
        name,
    )
    if not match:
        return "rest"
    if match[6]:
        return f"layer {match[6]}"
    return "middle" if match[5] else f"{match[1] or match[3]} {match[2] or match[4]}"


_SINGLES = {key.replace(".", "_"): value.replace(".", "_") for key, value in module_names.SINGLES.items()}
_SINGLES_BACK = {value: key for key, value in _SINGLES.items()}
_RESNET_BACK = {value.replace(".", "_"): key for key, value in module_names.RESNET_LEAVES.items()}


_original_blocks = lru_cache(module_names.public_blocks)


@lru_cache
def _diffusers_blocks(family: str) -> list[tuple[str, str]]:
    """The original's blocks with diffusers' names, longest first."""
    return sorted(
        (
            (value.replace(".", "_"), key.replace(".", "_"))
            for key, value in module_names.public_blocks(family).items()
            if not key.startswith("mid_block") or key[-1] == "0" or key == "mid_block.resnets.1"
        ),
        key=lambda pair: -len(pair[0]),
    )
