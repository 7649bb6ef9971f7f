"""Adapters to and from tensors with the names that files use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lora_lab.errors import ModelError
from lora_lab.lora_files import keys
from lora_lab.lora_files.fitting import fitted
from lora_lab.lora_files.kinds import refuse_untrained
from lora_lab.lora_files.reading import LoraFile
from lora_lab.networks.flat_parameters import FlatParameters, Site
from lora_lab.networks.forms import SIDES, base_weight, fans, low_rank, scale_of, weight_norms
from lora_lab.networks.spec import AdapterSpec

Leaves = Mapping[str, Tensor]
"""The tensors of one module, by leaf as in `keys.split`."""
Modules = Mapping[str, Leaves]

_FILE_NAMES = {"down": "lora_down.weight", "up": "lora_up.weight", "magnitude": "dora_scale"}
_PREFIXES = {"lora": "", "dora": "", "loha": "hada_", "lokr": "lokr_"}
_TRANSPOSED = {("lora", "up"), ("dora", "up"), ("loha", "w1_a"), ("loha", "w2_a")}
"""Sides that files have with the outputs first."""
_TITLES = {"lora": "LoRA", "dora": "DoRA", "loha": "LoHa", "lokr": "LoKr"}


def to_file(
    parameters: FlatParameters,
    sites: Sequence[Site],
    slot: int,
    spec: AdapterSpec,
    dtype: torch.dtype | None,
) -> dict[str, Tensor]:
    """CPU copies in the names and shapes of sd-scripts (lora) and LyCORIS (other forms).

    Lora: down `(r, i)`, `(r, c, kh, kw)`; up `(o, r)` or 4-D.
    """
    tensors: dict[str, Tensor] = {}
    own = dtype or parameters.masters.dtype
    for site in sites:
        name = site.target.name
        for side in SIDES[spec.form]:
            shape = site.shape(side, spec)
            if shape is None:
                continue
            value = parameters.factor(parameters.masters, site.pieces[side], shape)[slot]
            if (spec.form, side) in _TRANSPOSED:
                value = value.transpose(0, 1)
            key = f"{name}.{_FILE_NAMES.get(side, _PREFIXES[spec.form] + side)}"
            tensors[key] = value.to("cpu", own, copy=True).contiguous()
        # LyCORIS ignores the alpha of a LoKr of two whole factors, and writes the dim.
        alpha = scale_of(site.target, spec) * spec.rank(site.target.kind, name)
        tensors[f"{name}.alpha"] = torch.tensor(alpha, dtype=own)
    return tensors


def from_file(
    parameters: FlatParameters, sites: Sequence[Site], slot: int, spec: AdapterSpec, modules: Modules
) -> None:
    """Put a file's modules into a run's row, so that the weight differences are the file's.

    A smaller rank fills the first ranks; the rest stays without effect, but can learn. Another alpha is made
    up for. A DoRA run can begin with a plain LoRA: its magnitudes are then the norms with that LoRA. Raises
    `ModelError` that names every module that is unknown, missing or misshapen.
    """
    problems = list(_mismatches(sites, spec, modules))
    if problems:
        more = f"\n... and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise ModelError("the LoRA file does not fit this network:\n" + "\n".join(problems[:8]) + more)
    for site in sites:
        _fill(parameters, site, slot, spec, modules[site.target.name])


def trainable(file: LoraFile, paths: Mapping[str, str], family: str, unet: Any) -> Modules:
    """The modules of a file that training can go on with, by the names of a base model.

    Args:
        file: Any spelling.
        paths: File name of each module of the base model, to its path.
        family: The base model's.
        unet: Its U-Net.

    Raises:
        ModelError: The file holds something that is not trained here, or modules are incomplete.
    """
    modules = {name: module.leaves for name, module in fitted(file, paths, family, unet).items()}
    refuse_untrained(modules, [*file.strange, *file.embeddings])
    for name, leaves in modules.items():
        if "alpha" in leaves and leaves["alpha"].numel() != 1:
            shape = tuple(leaves["alpha"].shape)
            raise ModelError(f"{name}: the file is damaged, alpha has shape {shape}")
    incomplete = sorted(name for name, leaves in modules.items() if len({"down", "up"} & leaves.keys()) == 1)
    if incomplete:
        raise ModelError(f"the LoRA file lacks lora_down or lora_up of: {', '.join(incomplete[:5])}")
    return modules


def alpha_of(leaves: Leaves, rank: int) -> float:
    """A module's alpha, which is its rank where the file has none."""
    return float(leaves["alpha"]) if "alpha" in leaves else float(rank)


def rank_of(leaves: Leaves) -> int | None:
    """The rank of a module of a file; None for a LoKr of whole factors."""
    for leaf in ("down", "hada_w1_b", "lokr_w2_b", "lokr_w1_b"):
        if leaf in leaves:
            return leaves[leaf].shape[0] if leaves[leaf].dim() else 0
    return None


def _leaf(form: str, side: str) -> str:
    """The leaf of `keys.split` for a side."""
    return {"magnitude": "dora_scale"}.get(side, _PREFIXES[form] + side)


def _fill(parameters: FlatParameters, site: Site, slot: int, spec: AdapterSpec, leaves: Leaves) -> None:
    """Put one module's tensors in place; the shapes are known to fit."""
    rank = spec.rank(site.target.kind, site.target.name)
    own = {}
    for side in SIDES[spec.form]:
        shape = site.shape(side, spec)
        if shape is not None:
            own[side] = parameters.factor(parameters.masters, site.pieces[side], shape)[slot]
    for side, place in own.items():
        value = leaves.get(_leaf(spec.form, side))
        if value is None:
            continue
        if spec.form == "lokr" or side == "magnitude":
            place.copy_(value)
            continue
        if (spec.form, side) in _TRANSPOSED:
            value = value.flatten(1).mT
            place.zero_()
        lines = place.flatten(1)
        lines[: value.shape[0]].copy_(value.reshape(-1, lines.shape[1]))
    factor = _factor(site, spec, leaves, rank)
    if not {"w1", "w2"} <= own.keys() and factor != 1.0:
        own[next(side for side in ("up", "w1_a", "w2", "w2_b", "w1") if side in own)].mul_(factor)
    if spec.form == "dora" and "dora_scale" not in leaves:
        _match_magnitudes(site, spec, own)


def _factor(site: Site, spec: AdapterSpec, leaves: Leaves, rank: int) -> float:
    """What makes up for another alpha or rank; exactly 1 where only the file's type has rounded the alpha."""
    file_rank = rank_of(leaves) or rank
    alpha, own = alpha_of(leaves, file_rank), spec.alpha(site.target.kind, site.target.name)
    if (
        file_rank == rank
        and "alpha" in leaves
        and alpha == float(torch.tensor(own).to(leaves["alpha"].dtype))
    ):
        return 1.0
    return alpha / file_rank / scale_of(site.target, spec)


def _match_magnitudes(site: Site, spec: AdapterSpec, own: Mapping[str, Tensor]) -> None:
    """Set the magnitudes to the norms with the adapter, so that DoRA begins as the plain LoRA it is."""
    weight = base_weight(site.target)
    factors = {side: value[None].to(weight) for side, value in own.items()}
    whole = weight + (low_rank("dora", factors) * scale_of(site.target, spec)).view(weight.shape)
    own["magnitude"].copy_(weight_norms(whole[None], spec.wd_on_output).view(own["magnitude"].shape))


def _mismatches(sites: Sequence[Site], spec: AdapterSpec, modules: Modules) -> Iterator[str]:
    fitting = {spec.form, "lora"} if spec.form == "dora" else {spec.form}
    others = {form: name for name, leaves in modules.items() if (form := keys.form_of(leaves)) not in fitting}
    for form, name in others.items():
        titles = f"the file is a {_TITLES[form]}, the run a {_TITLES[spec.form]}"
        yield f"{name}: {titles}; set network.type={form}"
    if others:
        return
    known = {site.target.name for site in sites}
    for name in sorted(modules.keys() - known):
        # sd-scripts passes over what its network lacks; with dim_from_weights it trains what it knows.
        untrained = "_te" in name and not spec.train_text_encoder
        way_out = "network.dim_from_weights=true trains the modules that the file has"
        hint = "; the run trains the U-Net only" if untrained else f"; {way_out}"
        yield f"{name}: not a module of this network (network.preset={spec.preset}){hint}"
    for site in sites:
        name, leaves = site.target.name, modules.get(site.target.name)
        if leaves is None:
            yield f"{name}: missing in the file"
        elif spec.form == "lokr":
            yield from _wrong_shapes(site, spec, leaves)
        else:
            yield from _wrong_rank(site, spec, leaves)


def _wrong_shapes(site: Site, spec: AdapterSpec, leaves: Leaves) -> Iterator[str]:
    """A LoKr module has to be divided as the file is."""
    wanted = {f"lokr_{side}": site.shape(side, spec) for side in SIDES["lokr"]}
    wanted = {leaf: shape for leaf, shape in wanted.items() if shape is not None}
    found = {leaf: tuple(tensor.shape) for leaf, tensor in leaves.items() if leaf != "alpha"}
    if found != wanted:
        yield (
            f"{site.target.name}: {_listed(found)} in the file, {_listed(wanted)} here; set "
            "network.network_dim, network.factor and network.decompose_both as they were for the file"
        )


def _listed(shapes: Mapping[str, object]) -> str:
    return ", ".join(f"{leaf} {shape}" for leaf, shape in sorted(shapes.items()))


def _wrong_rank(site: Site, spec: AdapterSpec, leaves: Leaves) -> Iterator[str]:
    name, kind, rank = site.target.name, site.target.kind, rank_of(leaves)
    missing = [_leaf(spec.form, side) for side in SIDES[spec.form] if _leaf(spec.form, side) not in leaves]
    if spec.form == "loha" and missing:
        yield f"{name}: the file lacks {', '.join(missing)}"
        return
    assert rank is not None
    key, largest = "conv_dim" if kind == "conv" else "network_dim", spec.rank(kind, name)
    if rank < 1:
        yield f"{name}: rank 0 in the file; it is damaged"
        return
    if rank > largest:
        yield f"{name}: rank {rank} in the file, network.{key}={largest}; set network.{key}={rank}"
        return
    out = fans(site.target)[0]
    width = {side: site.pieces[side].width for side in SIDES[spec.form]}
    for side in SIDES[spec.form]:
        value = leaves.get(_leaf(spec.form, side))
        if side == "magnitude":
            if value is not None and tuple(value.shape) != site.shape(side, spec):
                yield from _wrong_magnitudes(site, spec, value)
        elif value is None or _lines(value, spec.form, side) != (rank, width[side]):
            shapes = ", ".join(
                str(tuple(value.shape))
                for leaf, value in leaves.items()
                if leaf not in ("alpha", "dora_scale")
            )
            inner = site.pieces["down" if "down" in width else "w1_b"].width
            yield f"{name}: shapes {shapes}; the base model needs {inner} in, {out} out"
            return


def _lines(value: Tensor, form: str, side: str) -> tuple[int, ...]:
    """(rank, width) of a factor as it lies in a row."""
    if value.dim() < 2:
        return tuple(value.shape)
    shape = tuple(value.flatten(1).shape)
    return shape[::-1] if (form, side) in _TRANSPOSED else shape


def _wrong_magnitudes(site: Site, spec: AdapterSpec, value: Tensor) -> Iterator[str]:
    shape, other = site.shape("magnitude", spec), not spec.wd_on_output
    yield (
        f"{site.target.name}: dora_scale {tuple(value.shape)} in the file, {shape} here; set "
        f"network.wd_on_output={str(other).lower()} if its magnitudes belong to "
        f"{'outputs' if other else 'inputs'}"
    )
