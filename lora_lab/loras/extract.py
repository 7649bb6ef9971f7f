"""A LoRA from the difference of two base models, module by module: neither model is ever held."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lora_lab.errors import ConfigError, ModelError
from lora_lab.lora_files.factors import Factors
from lora_lab.loras import algebra
from lora_lab.loras.algebra import Kept
from lora_lab.loras.merge import Result
from lora_lab.loras.truncated_svd import energy, truncated_svd
from lora_lab.loras.writing import Making
from lora_lab.models import identify
from lora_lab.models.families import FAMILIES
from lora_lab.models.identify import ModelFile
from lora_lab.models.parts import Part, parts
from lora_lab.models.weights import Tensors
from lora_lab.networks.spec import AdapterSpec
from lora_lab.networks.targets import find_targets


@dataclass(frozen=True)
class Wish:
    """What to extract: `dim` for linears and 1 x 1 convolutions, `conv_dim` for k x k ones (or None).

    `min_diff`: a text encoder none of whose weights differs by more is left out, as in sd-scripts (0.01).
    `clamp_quantile`: clamp as sd-scripts does (0.99 there); None loses nothing.
    """

    dim: int
    conv_dim: int | None = None
    clamp_quantile: float | None = None
    min_diff: float = 0.01

    def __post_init__(self) -> None:
        for name, value in (("--dim", self.dim), ("--conv-dim", self.conv_dim)):
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        if self.clamp_quantile is not None and not 0 < self.clamp_quantile <= 1:
            raise ConfigError(f"--clamp-quantile must lie in (0, 1], got {self.clamp_quantile:g}")
        if not self.min_diff >= 0:
            raise ConfigError(f"--min-diff must not be negative, got {self.min_diff:g}")


@dataclass(frozen=True)
class Extracted:
    """A new file's modules, and what the LoRA cannot hold."""

    family: str
    result: Result
    outside: float
    """Energy of the difference in weights that the LoRA does not touch, as a share of the whole."""
    left_out: tuple[str, ...]
    """Text encoders that differ by too little."""
    dtype: torch.dtype
    """Of the tuned model's U-Net."""
    prediction_type: str
    """What the tuned model predicts."""

    def making(self, options: Mapping[str, Any]) -> Making:
        """For the metadata of the file; the norm tells differences of equally named models apart."""
        energy = sum(item.energy for item in self.result.kept.values())
        options = {**options, "norm": round(energy**0.5, 6)}
        return Making("extract", [], options, (), self.family, self.prediction_type, self.dtype)


def extract(original: str | Path, tuned: str | Path, wish: Wish) -> Extracted:
    """The best LoRA of the given ranks for `tuned - original`.

    Raises:
        ModelError: One of them is no base model, they are of different families or sizes, or they are equal.
    """
    before, after = identify(original), identify(tuned)
    _check_families(before, after)
    found = _Collected()
    ends = list(zip(parts(before), parts(after), strict=True))
    encoders = [first.network for first, _ in ends[1:]]
    spec = AdapterSpec(wish.dim, float(wish.dim), conv_dim=wish.conv_dim or 0)
    targets = find_targets(ends[0][0].network, encoders, before.family, spec)
    for first, second in ends:
        names = {f"{target.path}.weight": target.name for target in targets if target.part == first.name}
        _extract_part(first, second, names, wish, found)
    if not found.modules:
        raise ModelError(f"{original} and {tuned} do not differ in any weight that a LoRA can hold")
    touched = sum(item.energy for item in found.kept.values())
    return Extracted(
        before.family,
        Result(found.modules, found.kept),
        found.outside / (found.outside + touched),
        tuple(found.left_out),
        found.dtype,
        after.prediction_type,
    )


class _Collected:
    """What has been extracted so far."""

    def __init__(self) -> None:
        self.modules: dict[str, Factors] = {}
        self.kept: dict[str, Kept] = {}
        self.left_out: list[str] = []
        self.outside = 0.0
        self.dtype = torch.float32


def _check_families(before: ModelFile, after: ModelFile) -> None:
    if before.family != after.family:
        titles = [f"{model.path} is {FAMILIES[model.family].title}" for model in (before, after)]
        raise ModelError(f"{' and '.join(titles)}: a difference needs two models of one family")


def _extract_part(first: Part, second: Part, names: dict[str, str], wish: Wish, found: _Collected) -> None:
    largest = 0.0
    modules: dict[str, Factors] = {}
    kept: dict[str, Kept] = {}
    outside = 0.0
    for key, difference, dtype in _differences(first, second):
        if first.name == "unet":
            found.dtype = dtype
        if key not in names:
            outside += energy(difference.flatten())
            continue
        largest = max(largest, *(abs(float(end)) for end in torch.aminmax(difference)))
        if bool(difference.any()):
            modules[names[key]], kept[names[key]] = approximated(names[key], difference, wish)
    if first.name != "unet" and largest <= wish.min_diff:
        found.left_out.append(first.name)
        found.outside += outside + sum(item.energy for item in kept.values())
        return
    found.modules.update(modules)
    found.kept.update(kept)
    found.outside += outside


def _differences(first: Part, second: Part) -> Iterator[tuple[str, Tensor, torch.dtype]]:
    """(parameter, tuned - original in float32, the tuned one's type), one at a time."""
    with ExitStack() as stack:
        before, after = stack.enter_context(first.open()), stack.enter_context(second.open())
        for key in first.sources:
            if key not in second.sources:
                raise ModelError(f"{after.where} has no {key}: the models are of different sizes")
            start, _ = _parameter(first, before, key)
            end, dtype = _parameter(second, after, key)
            if start.squeeze().shape != end.squeeze().shape:
                sizes = f"{tuple(start.shape)} in {before.where} and {tuple(end.shape)} in {after.where}"
                raise ModelError(f"{key} is {sizes}: the models are of different sizes")
            if not start.dtype.is_floating_point:
                continue
            difference = end.float().reshape(start.shape).sub_(start)  # in place: weights may be large
            if not bool(torch.isfinite(difference.sum(dtype=torch.float64))):
                raise ModelError(f"{key} holds NaN or infinity in {before.where} or {after.where}")
            shape = first.network.get_parameter(key).shape
            yield key, difference.reshape(shape), dtype


def _parameter(part: Part, tensors: Tensors, key: str) -> tuple[Tensor, torch.dtype]:
    name, change = part.sources[key]
    if name not in tensors.names:
        raise ModelError(f"{tensors.where} lacks {name}; the file is incomplete, or of another architecture")
    tensor = tensors.read(name)
    return (change(tensor) if change else tensor), tensor.dtype


def approximated(name: str, difference: Tensor, wish: Wish) -> tuple[Factors, Kept]:
    """The best low-rank form of one weight difference (o, i) or (o, i, kh, kw)."""
    spatial = difference.dim() == 4 and difference.shape[2:] != (1, 1)
    rank = wish.conv_dim if spatial and wish.conv_dim else wish.dim
    seed = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    factors, kept = truncated_svd(difference, rank, seed)
    if wish.clamp_quantile is None:
        return factors, kept
    clamped = algebra.clamped(factors, wish.clamp_quantile)
    lost = (difference.flatten(1) - clamped.up @ clamped.down.flatten(1)).double().square().sum()
    return clamped, Kept(kept.rank, kept.energy, float(lost))
