"""Which modules of a base model an adapter sits on, and what they are called in files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from lora_lab.lora_files import module_names
from lora_lab.models.families import FAMILIES
from lora_lab.networks.blocks import weight_of
from lora_lab.networks.spec import PRESETS, AdapterSpec, Preset

AdaptedModule = nn.Linear | nn.Conv2d


@dataclass(frozen=True)
class Target:
    """One adapted module. `part` is "unet", "te1", "te2"...; `kind` "linear", "conv1x1" or "conv" (k x k).

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
    preset, facts = PRESETS[spec.preset], FAMILIES[family]
    found: list[Target] = []
    if spec.train_text_encoder:
        for index, encoder in enumerate(text_encoders):
            layers = facts.encoders[index].layers
            for path, module, tier in _inside(encoder, layers, preset.text_classes):
                name = module_names.text_encoder_name(path, index, family)
                found.append(Target(name, path, module, f"te{index + 1}", kind_of(module), tier))
    if spec.train_unet:
        blocks = module_names.original_blocks(unet, family)
        singles = preset.unet_names if facts.denoiser.single_layers else frozenset()
        kinds = _unet_kinds(preset, spec)
        for path, module, tier in _inside(unet, facts.denoiser.layers, kinds, singles):
            kind = kind_of(module)
            if kind != "conv" or _takes_spatial(preset, spec):
                found.append(
                    Target(module_names.unet_name(path, family, blocks), path, module, "unet", kind, tier)
                )
    return found


def all_targets(unet: nn.Module, text_encoders: Sequence[nn.Module], family: str) -> list[Target]:
    """Every linear layer and convolution that a LoRA file may name, in the order of `find_targets`."""
    found = []
    facts = FAMILIES[family]
    for index, encoder in enumerate(text_encoders):
        for path, module, tier in _inside(encoder, facts.encoders[index].layers, None):
            name = module_names.text_encoder_name(path, index, family)
            found.append(Target(name, path, module, f"te{index + 1}", kind_of(module), tier))
    blocks = module_names.original_blocks(unet, family)
    for path, module, tier in _inside(unet, facts.denoiser.layers, None):
        name = module_names.unet_name(path, family, blocks)
        found.append(Target(name, path, module, "unet", kind_of(module), tier))
    return found


def kind_of(module: AdaptedModule) -> str:
    """ "linear", "conv1x1" or "conv"."""
    if isinstance(module, nn.Linear):
        return "linear"
    return "conv1x1" if tuple(module.kernel_size) == (1, 1) else "conv"


def _unet_kinds(preset: Preset, spec: AdapterSpec) -> frozenset[str]:
    if preset.spatial_convs == "conv_dim" and spec.conv_dim > 0:
        return preset.unet_classes | {"convolution"}
    return preset.unet_classes


def _takes_spatial(preset: Preset, spec: AdapterSpec) -> bool:
    return preset.spatial_convs == "always" or (preset.spatial_convs == "conv_dim" and spec.conv_dim > 0)


def _inside(
    model: nn.Module,
    layers: Mapping[str, frozenset[str]],
    kinds: frozenset[str] | None,
    singles: frozenset[str] = frozenset(),
) -> Iterator[tuple[str, AdaptedModule, int]]:
    """Linear and Conv2d modules below a block of one of `kinds` (None: any) or named, with their tier.

    `layers` says by which classes the model's blocks of a kind are known.
    """
    classes = None if kinds is None else _classes(layers, *kinds)
    chains: dict[str, tuple[str, ...]] = {"": ()}
    for path, module in model.named_modules():
        ancestors = chains[path.rpartition(".")[0]]
        if path:
            chains[path] = (*ancestors, type(module).__name__)
        if not isinstance(module, (nn.Linear, nn.Conv2d)) or getattr(module, "groups", 1) != 1:
            continue
        if classes is None or path in singles or not classes.isdisjoint(ancestors):
            yield path, module, _tier(ancestors, layers)


def _classes(layers: Mapping[str, frozenset[str]], *kinds: str) -> frozenset[str]:
    return frozenset().union(*(layers.get(kind, frozenset()) for kind in kinds))


def _tier(ancestors: tuple[str, ...], layers: Mapping[str, frozenset[str]]) -> int:
    if not _classes(layers, "attention").isdisjoint(ancestors):
        return 0
    if not _classes(layers, "convolution").isdisjoint(ancestors):
        return 2
    return 1 if not _classes(layers, "transformer", "mlp").isdisjoint(ancestors) else 3
