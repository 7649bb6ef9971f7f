"""One spelling for the modules of a file, found without its base model: family, block names, kernels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import SimpleNamespace

from lora_lab.networks import names

FAMILIES = ("sd1", "sd2", "sdxl")
UNKNOWN = "unknown"

_CROSS_WIDTHS = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
_TEXT_WIDTHS = {1024: "sd2", 1280: "sdxl"}
_SGM = re.compile(r"lora_unet_(?:input_blocks|middle_block|output_blocks)_")
_DIFFUSERS = re.compile(
    r"(?P<head>(?:down|up)_blocks_\d+_(?:resnets|attentions|downsamplers|upsamplers)_\d+|"
    r"mid_block_(?:resnets|attentions)_\d+)_(?P<tail>.+)"
)
_SPATIAL = re.compile(r"_(?:resnets_\d+_conv[12]|samplers_0_conv|(?:down|up)samplers_0_conv|in_layers_2|"
                      r"out_layers_3|op|conv|conv_in|conv_out|input_blocks_0_0|out_2)$")  # fmt: skip
_ALWAYS_CONVOLUTION = ("_conv_shortcut", "_skip_connection")


def family_of(widths: Mapping[str, int], keys: Iterable[str], metadata: Mapping[str, str]) -> str:
    """sd1, sd2, sdxl or "unknown".

    Args:
        widths: Input width of each module, by name.
        keys: The file's own keys.
        metadata: Asked only where names and widths leave it open, as for models of odd sizes.
    """
    for name, width in widths.items():
        if name.startswith("lora_unet_") and name.endswith(("_attn2_to_k", "_attn2_to_v")):
            if width in _CROSS_WIDTHS:
                return _CROSS_WIDTHS[width]
        elif width in _TEXT_WIDTHS and re.match(r"lora_te\d?_.*_(?:[qkv]_proj|out_proj|fc1)$", name):
            return _TEXT_WIDTHS[width]
    said = _stated_family(metadata)
    if said != UNKNOWN:
        return said
    if any(name.startswith("lora_te2_") or _SGM.match(name) for name in widths):
        return "sdxl"
    if any(key.startswith("lora_te1_") for key in keys):
        return "sdxl"
    texts = {width for name, width in widths.items() if name.endswith("_self_attn_q_proj")}
    return "sd1" if texts == {768} else UNKNOWN


def _stated_family(metadata: Mapping[str, str]) -> str:
    version = metadata.get("ss_base_model_version", "").lower()
    architecture = metadata.get("modelspec.architecture", "").lower()
    for family, starts in (
        ("sdxl", ("sdxl", "stable-diffusion-xl")),
        ("sd2", ("sd_v2", "sd_2", "stable-diffusion-v2")),
        ("sd1", ("sd_v1", "sd_1", "stable-diffusion-v1")),
    ):
        if version.startswith(starts) or architecture.startswith(starts):
            return family
    return UNKNOWN


def unified(name: str, family: str) -> str:
    """A module's name as kohya writes it for the family: SDXL in the original's block names.

    `name` is in kohya's form already, with either block naming, and `lora_te_` or `lora_te1_` for the first
    text encoder.
    """
    if match := re.match(r"lora_te(\d?)_(?:text_model_)?(.+)", name):
        number = (match[1] or "1") if family == "sdxl" else match[1].replace("1", "")
        inner = match[2] if match[2].startswith("text_projection") else f"text_model_{match[2]}"
        return f"lora_te{number}_{inner}"
    rest = name.removeprefix("lora_unet_")
    if rest == name or family not in FAMILIES:
        return name
    return "lora_unet_" + (_to_sgm(rest) if family == "sdxl" else _to_diffusers(rest))


def _to_sgm(rest: str) -> str:
    if rest in _SINGLES:
        return _SINGLES[rest]
    match = _DIFFUSERS.fullmatch(rest)
    if not match:
        return rest
    head, tail = _dotted(match["head"]), match["tail"]
    try:
        return names.sgm_path(f"{head}.{tail}", _SDXL).replace(".", "_")
    except KeyError:
        return rest


def _dotted(head: str) -> str:
    return re.sub(r"_(\d+)", r".\1", re.sub(r"_(?=resnets|attentions|downsamplers|upsamplers)", ".", head))


def _to_diffusers(rest: str) -> str:
    """Files of SD 1.x and 2.x with the original's block names, as some tools wrote them."""
    if rest in _SINGLES_BACK:
        return _SINGLES_BACK[rest]
    for block, path in _SD1_BACK:
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
        if family == "sd1" and name.endswith(("_proj_in", "_proj_out")):
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


def _unet(layers: int, down: int, attentive_ups: Iterable[bool]) -> SimpleNamespace:
    """As much of a U-Net as `sgm_blocks` looks at."""
    last = down - 1
    ups = list(attentive_ups)
    return SimpleNamespace(
        down_blocks=[
            SimpleNamespace(resnets=range(layers), downsamplers=[0] if level < last else None)
            for level in range(down)
        ],
        up_blocks=[
            SimpleNamespace(resnets=range(layers + 1), attentions=[0] if attentive else None)
            for attentive in ups
        ],
    )


_SDXL = names.sgm_blocks(_unet(2, 3, (True, True, False)))
_SINGLES = {key.replace(".", "_"): value.replace(".", "_") for key, value in names.SINGLES.items()}
_SINGLES_BACK = {value: key for key, value in _SINGLES.items()}
_RESNET_BACK = {value.replace(".", "_"): key for key, value in names.RESNET_LEAVES.items()}
_SD1_BACK = sorted(
    (
        (value.replace(".", "_"), key.replace(".", "_"))
        for key, value in names.sgm_blocks(_unet(2, 4, (False, True, True, True))).items()
        if not key.startswith("mid_block") or key[-1] == "0" or key == "mid_block.resnets.1"
    ),
    key=lambda pair: -len(pair[0]),
)
