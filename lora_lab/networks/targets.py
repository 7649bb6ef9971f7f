"""Which modules of a base model an adapter sits on, and what they are called in files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from lora_lab.networks import names
from lora_lab.networks.blocks import weight_of
from lora_lab.networks.spec import PRESETS, AdapterSpec, Preset

AdaptedModule = nn.Linear | nn.Conv2d

_CONV_BLOCKS = PRESETS["unet-convblock-only"].unet_classes


@dataclass(frozen=True)
class Target:
    """One adapted module. `part` is "unet", "te1" or "te2"; `kind` is "linear", "conv1x1" or "conv" (k x k).

    `path` is the module's path in its model; `tier` orders modules of one shape so that the modules of every
    preset are neighbours (attention, rest of the transformer, convolution blocks, single modules).
    """

    name: str
    path: str
    module: AdaptedModule
    part: str
    kind: str
    tier: int


def find_targets(
    unet: nn.Module, text_encoders: Sequence[nn.Module], family: str, spec: AdapterSpec
) -> list[Target]:
    """The modules that `spec` adapts, text encoders first, each model in the order of `named_modules()`.

    Rules: sd-scripts `networks.lora` for the preset `kohya`, LyCORIS' presets for the others; `spec.modules`,
    where given, names them; blocks of weight 0 are left out. Nothing is remembered between calls. Works on
    models on the meta device.
    """
    found = _chosen(unet, text_encoders, family, spec)
    return [target for target in found if weight_of(target.name, spec.blocks) > 0]


def _chosen(
    unet: nn.Module, text_encoders: Sequence[nn.Module], family: str, spec: AdapterSpec
) -> list[Target]:
    """The modules before blocks are left out."""
    if spec.modules is not None:
        parts = ("te" if spec.train_text_encoder else "", "unet" if spec.train_unet else "")
        wanted = tuple(part for part in parts if part)
        every = all_targets(unet, text_encoders, family)
        return [t for t in every if t.name in spec.modules and t.part.startswith(wanted)]
    preset = PRESETS[spec.preset]
    found: list[Target] = []
    if spec.train_text_encoder:
        for index, encoder in enumerate(text_encoders):
            for path, module, tier in _inside(encoder, preset.text_classes, frozenset()):
                name = names.text_encoder_name(path, index, family)
                found.append(Target(name, path, module, f"te{index + 1}", kind_of(module), tier))
    if spec.train_unet:
        sgm = names.sgm_blocks(unet) if names.is_sdxl(family) else {}
        for path, module, tier in _inside(unet, _unet_classes(preset, spec), _unet_names(preset, family)):
            kind = kind_of(module)
            if kind != "conv" or _takes_spatial(preset, spec):
                found.append(Target(names.unet_name(path, family, sgm), path, module, "unet", kind, tier))
    return found


def all_targets(unet: nn.Module, text_encoders: Sequence[nn.Module], family: str) -> list[Target]:
    """Every linear layer and convolution that a LoRA file may name, in the order of `find_targets`."""
    found = []
    for index, encoder in enumerate(text_encoders):
        for path, module, tier in _inside(encoder, None, frozenset()):
            name = names.text_encoder_name(path, index, family)
            found.append(Target(name, path, module, f"te{index + 1}", kind_of(module), tier))
    sgm = names.sgm_blocks(unet) if names.is_sdxl(family) else {}
    for path, module, tier in _inside(unet, None, frozenset()):
        name = names.unet_name(path, family, sgm)
        found.append(Target(name, path, module, "unet", kind_of(module), tier))
    return found


def kind_of(module: AdaptedModule) -> str:
    """ "linear", "conv1x1" or "conv"."""
    if isinstance(module, nn.Linear):
        return "linear"
    return "conv1x1" if tuple(module.kernel_size) == (1, 1) else "conv"


def _unet_classes(preset: Preset, spec: AdapterSpec) -> frozenset[str]:
    if preset.spatial_convs == "conv_dim" and spec.conv_dim > 0:
        return preset.unet_classes | _CONV_BLOCKS
    return preset.unet_classes


def _unet_names(preset: Preset, family: str) -> frozenset[str]:
    return frozenset() if names.is_sdxl(family) else preset.unet_names


def _takes_spatial(preset: Preset, spec: AdapterSpec) -> bool:
    return preset.spatial_convs == "always" or (preset.spatial_convs == "conv_dim" and spec.conv_dim > 0)


def _inside(
    model: nn.Module, classes: frozenset[str] | None, single_names: frozenset[str]
) -> Iterator[tuple[str, AdaptedModule, int]]:
    """Linear and Conv2d modules below a block of one of `classes` (None: any) or named, with their tier."""
    chains: dict[str, tuple[str, ...]] = {"": ()}
    for path, module in model.named_modules():
        ancestors = chains[path.rpartition(".")[0]]
        if path:
            chains[path] = (*ancestors, type(module).__name__)
        if not isinstance(module, (nn.Linear, nn.Conv2d)) or getattr(module, "groups", 1) != 1:
            continue
        if classes is None or path in single_names or not classes.isdisjoint(ancestors):
            yield path, module, _tier(ancestors)


def _tier(ancestors: tuple[str, ...]) -> int:
    if any("Attention" in name for name in ancestors):
        return 0
    if not _CONV_BLOCKS.isdisjoint(ancestors):
        return 2
    return 1 if {"Transformer2DModel", "CLIPMLP"} & set(ancestors) else 3
