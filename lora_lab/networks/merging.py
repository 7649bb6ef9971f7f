"""LoRA files merged into a model's own weights, whatever form they have."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lora_lab.counts import counted
from lora_lab.errors import ModelError
from lora_lab.lora_files import keys, kinds
from lora_lab.lora_files.factors import delta, product
from lora_lab.lora_files.fitting import fitted
from lora_lab.lora_files.reading import LoraFile, Module
from lora_lab.networks.file_tensors import Leaves, alpha_of, rank_of
from lora_lab.networks.forms import base_weight, low_rank, rescaled
from lora_lab.networks.targets import Target, all_targets

_WITH_OUTPUTS_FIRST = {"up": "up", "hada_w1_a": "w1_a", "hada_w2_a": "w2_a"}
_NO_FACTORS = ("alpha", "dora_scale", "scalar", "diff", "diff_b")


@torch.no_grad()
def merge(
    unet: nn.Module, text_encoders: Sequence[nn.Module], family: str, file: LoraFile, strength: float
) -> None:
    """Add strength x the file's weight differences to the weights, computed in float32 or wider.

    Raises:
        ModelError: The file has modules that the model lacks, of other sizes, or of a kind that is no change
            of a weight or bias; nothing is changed then.
    """
    targets = {target.name: target for target in all_targets(unet, text_encoders, family)}
    refuse_unmerged(file)
    modules = fitted(file, {name: target.path for name, target in targets.items()}, family, unet)
    unknown = sorted(modules.keys() - targets.keys())
    if unknown:
        lost = counted(len(unknown), "module of the LoRA is", "modules of the LoRA are")
        raise ModelError(f"{lost} not in the base model: {', '.join(unknown[:3])}")
    for name, module in modules.items():
        _check(targets[name], module.leaves)
    for name, module in modules.items():
        layer, leaves = targets[name].module, module.leaves
        if has_weight(leaves):
            whole = base_weight(targets[name])
            whole += strength * difference(whole, leaves).view(whole.shape)
            layer.weight.data.copy_(whole.view(layer.weight.shape))
        if "diff_b" in leaves:
            bias = layer.get_parameter("bias")
            bias.data += strength * leaves["diff_b"].to(bias).reshape(bias.shape)


def refuse_unmerged(file: LoraFile) -> None:
    """Refuse what cannot be put into weights.

    Raises:
        ModelError: The kinds, and some of the names.
    """
    leaves = {name: module.leaves for name, module in file.modules.items()}
    kinds.refuse_unmerged(file.path, leaves, file.strange, file.embeddings)


def has_weight(leaves: Leaves) -> bool:
    """Whether a module changes its weight, and not its bias alone."""
    return any(leaf not in ("alpha", "diff_b") for leaf in leaves)


def difference(weight_oca: Tensor, leaves: Leaves) -> Tensor:
    """What a module of a file adds to a weight `(o, c, a)` at strength 1, `(o, c a)`.

    DoRA (Liu et al. 2024): W + dW is scaled to the stored magnitudes, per output or per input channel as
    their shape says.

    Raises:
        RuntimeError: The shapes do not fit.
    """
    found = _learned(leaves, weight_oca)
    if "dora_scale" in leaves:
        magnitude = leaves["dora_scale"].to(weight_oca)
        found = rescaled(weight_oca, found, magnitude, _on_output(magnitude, weight_oca))
    return found[0]


def _learned(leaves: Leaves, like: Tensor) -> Tensor:
    """The part before DoRA's magnitudes, `(1, o, c a)`."""
    if "diff" in leaves:
        return leaves["diff"].to(like).flatten(1)[None]
    if any(leaf in leaves for leaf in ("mid", "scalar", "hada_t1", "hada_t2", "lokr_t1", "lokr_t2")):
        plain = {leaf: value for leaf, value in leaves.items() if leaf not in ("dora_scale", "diff_b")}
        plain = {leaf: value.to(like.device) for leaf, value in plain.items()}
        return delta(product(Module("", plain), "", like.dtype), like.dtype).flatten(1)[None]
    factors = {}
    for leaf, value in leaves.items():
        if leaf in _NO_FACTORS:
            continue
        value = value.to(like)
        if leaf in _WITH_OUTPUTS_FIRST:
            factors[_WITH_OUTPUTS_FIRST[leaf]] = value.flatten(1).mT[None]
        else:
            factors[leaf.removeprefix("hada_").removeprefix("lokr_")] = value[None]
    found = low_rank(keys.form_of(leaves), factors)
    rank = rank_of(leaves)
    return found if rank is None else found * (alpha_of(leaves, rank) / rank)


def _on_output(magnitude: Tensor, weight_oca: Tensor) -> bool:
    """Whether magnitudes belong to outputs: (o, 1) or (o, 1, 1, 1); (1, i) or (1, i, 1, 1) to inputs."""
    outputs, inputs = weight_oca.shape[:2]
    count = magnitude.numel()
    if magnitude.shape[0] == count == outputs:
        return True
    if count != inputs or (magnitude.dim() > 1 and magnitude.shape[1] != count):
        raise RuntimeError(f"magnitudes of shape {tuple(magnitude.shape)}")
    return False


def _check(target: Target, leaves: Leaves) -> None:
    if "diff_b" in leaves:
        bias = getattr(target.module, "bias", None)
        if bias is None or bias.numel() != leaves["diff_b"].numel():
            raise ModelError(f"{target.name}: the LoRA changes a bias that the base model does not have so")
    if not has_weight(leaves):
        return
    weight = base_weight(target)
    try:
        fits = difference(weight.to("meta"), {k: v.to("meta") for k, v in leaves.items() if k != "alpha"})
    except (RuntimeError, KeyError, IndexError, ValueError):
        fits = None
    if fits is None or fits.numel() != weight.numel():
        raise ModelError(misfit(target.name, leaves, tuple(target.module.weight.shape)))


def misfit(name: str, leaves: Leaves, shape: tuple[int, ...]) -> str:
    """What to say of a module that cannot be added to a weight of this shape."""
    lacking = {"down", "up"} - leaves.keys() if {"down", "up"} & leaves.keys() else set()
    if lacking:
        return f"{name} lacks {', '.join(sorted(lacking))}; the file is damaged or incomplete"
    shapes = ", ".join(f"{leaf} {tuple(value.shape)}" for leaf, value in leaves.items() if leaf != "alpha")
    return f"{name} does not fit: {shapes} in the LoRA; the base model has {shape}"
