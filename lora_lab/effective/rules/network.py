"""Rules of the group `network`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lora_lab.counts import counted
from lora_lab.effective.rules.flat_values import (
    Reasons,
    Values,
    optimizer_of,
    takes_dims_from_file,
)
from lora_lab.errors import ConfigError
from lora_lab.findings import Findings, refused, warned
from lora_lab.networks.blocks import block_weights
from lora_lab.networks.spec import PRESETS
from lora_lab.resolved import Facts

BLOCK_WEIGHTS = ("network.down_lr_weight", "network.mid_lr_weight", "network.up_lr_weight")


def no_effect(v: Values, facts: Facts) -> Reasons:
    """What belongs to another type, to files that are not given, or to layers that are not there."""
    yield from _of_type(v["network.type"])
    if not any(v[key] for key in BLOCK_WEIGHTS):
        yield "network.block_lr_zero_threshold", "no block has a learning rate of its own"
    if not v["network.train_unet"]:
        for key in (*BLOCK_WEIGHTS, "network.block_lr_zero_threshold"):
            yield key, "the U-Net is not trained"
    if not v["network.base_weights"]:
        yield "network.base_weights_multiplier", "network.base_weights is empty"
    if takes_dims_from_file(v):
        for name in ("network_dim", "network_alpha", "conv_dim", "conv_alpha", "preset"):
            yield f"network.{name}", "network.dim_from_weights=true: the file decides"
        return
    if not v["network.network_weights"]:
        yield "network.dim_from_weights", "network.network_weights is not set: there is no file"
    yield from _of_layers(v)


def _of_layers(v: Values) -> Reasons:
    """Convolution settings without convolutions, and text encoder settings where the preset has none."""
    preset = PRESETS[v["network.preset"]]
    convolutions = ("network.conv_dim", "network.conv_alpha")
    has_blocks = preset.unet_classes & PRESETS["unet-convblock-only"].unet_classes
    if preset.spatial_convs == "never" or (preset.spatial_convs == "always" and not has_blocks):
        for key in convolutions:
            yield key, f"network.preset={v['network.preset']} has no convolutions"
        if v["network.type"] in ("lora", "locon"):
            yield "network.type", f"network.preset={v['network.preset']} has no convolutions"
    elif v["network.type"] == "lora":
        for key in convolutions:
            yield key, "network.type=lora has no settings of its own for convolutions: use network=locon"
    elif v["network.type"] != "locon" and preset.spatial_convs == "conv_dim" and not v["network.conv_dim"]:
        yield "network.conv_alpha", "network.conv_dim is 0: 3x3 convolutions are not trained"
    if not preset.text_classes:
        yield (
            "network.train_text_encoder",
            f"network.preset={v['network.preset']} leaves the text encoders out",
        )


def _of_type(type_: str) -> Reasons:
    """Settings that belong to other types of networks."""
    if type_ != "lokr":
        for name in ("factor", "decompose_both"):
            yield f"network.{name}", f"network.type={type_}: it belongs to lokr"
    if type_ != "dora":
        yield "network.wd_on_output", f"network.type={type_}: it belongs to dora"
    if type_ in ("loha", "lokr", "dora"):
        yield (
            "network.network_dropout",
            f"network.type={type_} has no dropout of rank activations; use rank_dropout or module_dropout",
        )
    if type_ in ("loha", "lokr"):
        yield "optimizer.loraplus_lr_ratio", f"network.type={type_} has no lora_up"


def findings(asked: Values, v: Values, facts: Facts, total_steps: int) -> Findings:
    """Files and blocks that do not fit, and what other programs make of the file."""
    found = refused(*_refusals(v, facts))
    found += warned(*_loaders(v["network.type"], v["network.wd_on_output"]))
    if v["network.type"] == "dora" and v["network.wd_on_output"]:
        found += warned(
            "network.wd_on_output=true: ComfyUI and Forge apply such files roughly, A1111 wrongly; "
            "network.wd_on_output=false is applied exactly by all three"
        )
    return found


def _loaders(type_: str, wd_on_output: bool) -> Iterator[str]:
    """What of other programs cannot load a type, as found by trying them."""
    if type_ in ("loha", "lokr"):
        yield (
            f"network.type={type_}: A1111, Forge and ComfyUI load such files, diffusers refuses them; "
            "`lora-lab lora merge FILE -o NEW` makes an ordinary LoRA of one"
        )
    if type_ == "dora":
        yield (
            "network.type=dora: diffusers loads such files without their magnitudes, which is another LoRA"
            + ("" if wd_on_output else "; A1111, Forge and ComfyUI apply them")
        )


def _refusals(v: Values, facts: Facts) -> Iterator[str]:
    files, strengths = v["network.base_weights"], v["network.base_weights_multiplier"]
    if files and len(strengths) > len(files):
        yield (
            f"network.base_weights_multiplier has {counted(len(strengths), 'value')}, network.base_weights "
            f"{counted(len(files), 'file')}; give at most one value for each file"
        )
    yield from _block_refusals(v, facts)
    file, wanted = facts.weights_form, v["network.type"].replace("locon", "lora")
    # DoRA can begin with a plain LoRA.
    if file not in (None, wanted) and (file, wanted) != ("lora", "dora"):
        yield (
            f"network.network_weights={v['network.network_weights']} is a {file} file, but "
            f"network.type={v['network.type']}; set network.type={file}"
        )


def _block_refusals(v: Values, facts: Facts) -> Iterator[str]:
    try:
        down, mid, up = (v[key] for key in BLOCK_WEIGHTS)
        weights = block_weights(facts.family, down, mid, up, v["network.block_lr_zero_threshold"])
    except ConfigError as error:
        yield str(error)
        return
    entry, values = optimizer_of(v)
    one_rate_only = entry is not None and (entry.one_lr_only or entry.ignores_learning_rate(values))
    if {*(weights or ())} - {0.0, 1.0} and v["network.train_unet"] and one_rate_only:
        yield (
            f"network.down_lr_weight, mid_lr_weight, up_lr_weight: {v['optimizer.name']} has no learning "
            "rates by part; give every block 1 or 0, or choose another optimizer"
        )


def spelled(v: Values, facts: Facts) -> dict[str, Any]:
    """Dims and alphas with the zeros filled in that stand for another value."""
    conv_dim = v["network.conv_dim"]
    if v["network.type"] in ("lora", "locon") or v["network.preset"] != "kohya":
        conv_dim = conv_dim or v["network.network_dim"]
    return {
        "network.network_alpha": float(v["network.network_alpha"] or v["network.network_dim"]),
        "network.conv_dim": conv_dim,
        "network.conv_alpha": float(v["network.conv_alpha"] or v["network.network_alpha"] or conv_dim),
    }
