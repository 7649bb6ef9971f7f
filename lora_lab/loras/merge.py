"""Weighted sums of LoRA files: exact by concatenation, or of a chosen rank by SVD."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_lab.counts import counted
from lora_lab.errors import ConfigError, ModelError
from lora_lab.lora_files.factors import Factors, check_products, outputs_and_inputs, product_of
from lora_lab.lora_files.reading import LoraFile
from lora_lab.loras import algebra
from lora_lab.loras.algebra import Kept
from lora_lab.loras.ranks import Ranks
from lora_lab.models.lora_family import UNKNOWN


@dataclass(frozen=True)
class Result:
    """Modules of a new file, and of those that were approximated, what was kept of the exact difference."""

    modules: Mapping[str, Factors]
    kept: Mapping[str, Kept]

    @property
    def share(self) -> float:
        """Retained energy of the whole file, 0 to 1."""
        energy = sum(item.energy for item in self.kept.values())
        return 1.0 if energy <= 0 else 1 - sum(item.lost for item in self.kept.values()) / energy


def merge(files: Sequence[LoraFile], ratios: Sequence[float]) -> Result:
    """The exact sum of ratio x weight difference, as the files' factors side by side.

    A module's rank is the sum of the inputs' ranks, but never more than a matrix of its size can have.
    Ratios act once, on the weight difference; alpha carries what they have in common.
    """
    files, names = _checked(files, ratios)
    return Result({name: side_by_side(_terms(files, ratios, name)) for name in names}, {})


def svd_merge(
    files: Sequence[LoraFile], ratios: Sequence[float], ranks: Ranks, clamp_quantile: float | None = None
) -> Result:
    """The sum of ratio x weight difference, approximated as well as the ranks allow; alpha = rank.

    Args:
        clamp_quantile: Clamp as sd-scripts does (it: 0.99); None, the default, loses nothing.
    """
    files, names = _checked(files, ratios)
    if clamp_quantile is not None and not 0 < clamp_quantile <= 1:
        raise ConfigError(f"--clamp-quantile must lie in (0, 1], got {clamp_quantile:g}")

    def approximated(name: str) -> tuple[Factors, Kept]:
        whole = _concatenated(_terms(files, ratios, name))
        kernel = tuple(whole.down.shape[2:])
        found, kept = algebra.approximated(whole, lambda values: ranks.choose(values, kernel), 1.0)
        if clamp_quantile is None:
            return found, kept
        clamped = algebra.clamped(found, clamp_quantile)
        return clamped, Kept(kept.rank, kept.energy, algebra.difference_energy(whole, clamped))

    return each_module(names, approximated)


def each_module(names: Sequence[str], approximate: Callable[[str], tuple[Factors, Kept]]) -> Result:
    """Work on modules side by side: they are small, and one thread each is faster than all for one."""
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        found = dict(zip(names, pool.map(approximate, names), strict=True))
    torch.set_num_threads(threads)
    modules = {name: factors for name, (factors, _) in found.items()}
    return Result(modules, {name: kept for name, (_, kept) in found.items()})


def _checked(files: Sequence[LoraFile], ratios: Sequence[float]) -> tuple[list[LoraFile], list[str]]:
    """The files, all with the names of one family, and the modules of any of them."""
    _check(files, ratios)
    known = next((file.family for file in files if file.family != UNKNOWN), UNKNOWN)
    alike = [file.of_family(known) if known != UNKNOWN else file for file in files]
    for file in alike:
        check_products(file)
    return alike, list(dict.fromkeys(name for file in alike for name in file.modules))


def _terms(files: Sequence[LoraFile], ratios: Sequence[float], name: str) -> list[tuple[float, Factors]]:
    """(ratio, product) of one module in each file that has it, in the order of the files."""
    having = [pair for pair in zip(ratios, files, strict=True) if name in pair[1].modules]
    terms = [(ratio, product_of(file, name)) for ratio, file in having]
    sides = {outputs_and_inputs(factors) for _, factors in terms}
    if len(sides) > 1:
        listed = ", ".join(f"{outputs} x {inputs}" for outputs, inputs in sorted(sides))
        raise ModelError(
            f"{name} has different sizes in the files ({listed}), so they are for different base models "
            "and cannot be merged"
        )
    return terms


def _check(files: Sequence[LoraFile], ratios: Sequence[float]) -> None:
    if not files:
        raise ConfigError("give at least one LoRA file")
    if len(files) != len(ratios):
        raise ConfigError(
            f"--ratios has {counted(len(ratios), 'number')} for {counted(len(files), 'file')}; "
            "give one for each, in their order"
        )
    if not all(ratio - ratio == 0 for ratio in ratios):
        raise ConfigError(f"--ratios must be finite numbers, got {', '.join(map(str, ratios))}")
    families = {file.family for file in files} - {UNKNOWN}
    if len(families) > 1:
        listed = ", ".join(f"{file.path.name} is for {file.family}" for file in files)
        raise ModelError(f"these LoRAs are for different families and cannot be merged: {listed}")


def side_by_side(terms: Sequence[tuple[float, Factors]]) -> Factors:
    """The exact sum of ratio x product, with the largest |ratio x scale| as the result's own scale.

    So the factors of the strongest input are copied as they are, whatever the precision of the file.
    """
    whole = _concatenated(terms)
    if whole.rank <= min(outputs_and_inputs(whole)):
        return whole
    return algebra.approximated(whole, len, whole.scale or 1.0)[0]


def _concatenated(terms: Sequence[tuple[float, Factors]]) -> Factors:
    terms = [term for term in terms if term[0] != 0] or terms[:1]
    shape = max((factors.down.shape[1:] for _, factors in terms), key=len)
    scales = [ratio * factors.scale for ratio, factors in terms]
    common = max(map(abs, scales)) or 1.0
    downs = [factors.down.reshape(factors.rank, *shape) for _, factors in terms]
    ups = [_scaled(factors.up, scale / common) for (_, factors), scale in zip(terms, scales, strict=True)]
    down = torch.cat(downs)
    return Factors(down, torch.cat(ups, dim=1), common * down.shape[0])


def _scaled(tensor: Tensor, factor: float) -> Tensor:
    if factor in (1.0, -1.0):
        return tensor if factor == 1.0 else -tensor
    return tensor.float() * factor
