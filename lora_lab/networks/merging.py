"""LoRA files merged into a model's own weights, whatever form they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lora_lab.errors import ModelError
from lora_lab.lora_files import keys
from lora_lab.networks.exchange import Leaves, alpha_of, rank_of, read_modules
from lora_lab.networks.forms import base_weight, low_rank, rescaled
from lora_lab.networks.targets import Target, all_targets

_WITH_OUTPUTS_FIRST = {"up": "up", "hada_w1_a": "w1_a", "hada_w2_a": "w2_a"}


@torch.no_grad()
def merge(
    unet: nn.Module,
    text_encoders: Sequence[nn.Module],
    family: str,
    tensors: Mapping[str, Tensor],
    strength: float,
) -> None:
    """Add strength x the file's weight differences to the weights, computed in float32 or wider.

    Raises:
        ModelError: The file has modules that the model lacks, or of other sizes; nothing is changed then.
    """
    targets = {target.name: target for target in all_targets(unet, text_encoders, family)}
    modules = read_modules(tensors, {name: target.path for name, target in targets.items()})
    unknown = sorted(modules.keys() - targets.keys())
    if unknown:
        raise ModelError(f"{len(unknown)} modules of the LoRA are not in the base model: {unknown[0]}, ...")
    for name, leaves in modules.items():
        _check(targets[name], leaves)
    for name, leaves in modules.items():
        weight = targets[name].module.weight
        whole = base_weight(targets[name])
        whole += strength * difference(whole, leaves).view(whole.shape)
        weight.data.copy_(whole.view(weight.shape))


def difference(weight_oca: Tensor, leaves: Leaves) -> Tensor:
    """What a module of a file adds to a weight `(o, c, a)` at strength 1, `(o, c a)`.

    Raises:
        RuntimeError: The shapes do not fit.
    """
    form, factors = keys.form_of(leaves), {}
    for leaf, value in leaves.items():
        if leaf in ("alpha", "dora_scale"):
            continue
        value = value.to(weight_oca)
        if leaf in _WITH_OUTPUTS_FIRST:
            factors[_WITH_OUTPUTS_FIRST[leaf]] = value.flatten(1).mT[None]
        else:
            factors[leaf.removeprefix("hada_").removeprefix("lokr_")] = value[None]
    found = low_rank(form, factors)
    rank = rank_of(leaves)
    if rank is not None:
        found = found * (alpha_of(leaves, rank) / rank)
    if form == "dora":
        magnitude = leaves["dora_scale"].to(weight_oca)
        on_output = magnitude.shape[0] == weight_oca.shape[0]
        found = rescaled(weight_oca, found, magnitude, on_output)
    return found[0]


def _check(target: Target, leaves: Leaves) -> None:
    weight = base_weight(target)
    try:
        fits = difference(weight.to("meta"), {k: v.to("meta") for k, v in leaves.items() if k != "alpha"})
    except (RuntimeError, KeyError, IndexError):
        fits = None
    if fits is None or fits.numel() != weight.numel():
        shapes = ", ".join(
            f"{leaf} {tuple(value.shape)}" for leaf, value in leaves.items() if leaf != "alpha"
        )
        raise ModelError(f"{target.name}: {shapes} in the LoRA; the base model has {tuple(weight.shape)}")
