"""What a LoRA file is: family, modules, ranks, norms, spectrum, settings. Needs no base model."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lora_lab.lora_files import unified_names
from lora_lab.lora_files.factors import product
from lora_lab.lora_files.kinds import BAKED, PRODUCTS
from lora_lab.lora_files.reading import LoraFile, Module
from lora_lab.loras import algebra
from lora_lab.loras.writing import OWN_CONFIG, made_of


@dataclass(frozen=True)
class ModuleInfo:
    """One module, measured."""

    name: str
    part: str
    block: str
    kind: str
    rank: int | None
    """None for what has no rank, such as full weight differences."""
    alpha: float | None
    """As stored; None where the file has none, which means the rank."""
    norm: float | None
    """Frobenius norm of the weight difference; None where it depends on the base model. Of a DoRA module:
    of its low-rank term."""
    largest: float | None
    """Largest singular value."""
    effective_rank: float | None
    rank_90: int | None
    """How many singular values hold 90 % of the energy."""
    rank_99: int | None


@dataclass(frozen=True)
class Info:
    """A file, measured."""

    file: str
    bytes: int
    sha256: str
    family: str
    precision: str
    hash_check: str
    """Of `sshs_model_hash`: "matches", "differs" or "none"."""
    kinds: Mapping[str, int]
    modules: Sequence[ModuleInfo]
    strange: Sequence[str]
    """Keys that belong to no adapter."""
    embeddings: Sequence[str]
    """Names of the textual inversion embeddings that the file holds beside."""
    limits: Mapping[str, Sequence[str]]
    """What not every verb takes: the verb that does ("" for none) to the kinds of content."""
    config: Mapping[str, Any]
    """Our own training settings; empty for files of other origin."""
    made: Mapping[str, Any]
    """How the file was made out of others; empty if it was trained, or does not say."""
    metadata: Mapping[str, str]

    def groups(self, by: str = "part") -> dict[str, list[ModuleInfo]]:
        """Modules by part, or by part and block (`by="block"`), in a natural order."""
        found: dict[str, list[ModuleInfo]] = {}
        for item in self.modules:
            key = item.part if by == "part" else f"{item.part} {item.block}"
            found.setdefault(key, []).append(item)
        return dict(sorted(found.items(), key=lambda pair: _natural(pair[0])))

    def as_dict(self) -> dict[str, Any]:
        """For JSON: everything, with a summary of every part and block."""
        values = {key: value for key, value in vars(self).items() if key != "modules"}
        values["parts"] = {key: summary(items) for key, items in self.groups().items()}
        values["blocks"] = {key: summary(items) for key, items in self.groups("block").items()}
        values["modules"] = [asdict(item) for item in self.modules]
        return values


def info(file: LoraFile) -> Info:
    """Measure a file that was read."""
    modules = [_measured(module, file.family) for module in file.modules.values()]
    return Info(
        file=str(file.path),
        bytes=file.path.stat().st_size,
        sha256=file.sha256,
        family=file.family,
        precision=_precision(file.dtype),
        hash_check=_hash_check(file.path, file.metadata),
        kinds=dict(Counter(item.kind for item in modules)),
        modules=modules,
        strange=file.strange,
        embeddings=file.embeddings,
        limits=_limits(file),
        config=_config(file.metadata),
        made=made_of(file.metadata),
        metadata=dict(file.metadata),
    )


def _limits(file: LoraFile) -> dict[str, list[str]]:
    kinds = [module.kind for module in file.modules.values()]
    if any("diff_b" in module.leaves for module in file.modules.values()):
        kinds.append("bias differences")
    kinds += ["embeddings"] * bool(file.embeddings) + ["tensors of no module"] * bool(file.strange)
    found: dict[str, list[str]] = {}
    for kind in dict.fromkeys(kinds):
        if kind not in PRODUCTS:
            found.setdefault("bake" if kind in BAKED else "", []).append(kind)
    return found


def summary(modules: Sequence[ModuleInfo]) -> dict[str, Any]:
    """Counts of ranks and alphas, mean and largest norm, and mean effective rank of some modules."""
    norms = [item.norm for item in modules if item.norm is not None]
    ranks = [item.effective_rank for item in modules if item.effective_rank is not None]
    strongest = max((item for item in modules if item.norm is not None), key=_norm, default=None)
    return {
        "modules": len(modules),
        "ranks": dict(sorted(Counter(item.rank for item in modules if item.rank is not None).items())),
        "alphas": dict(Counter(item.alpha if item.alpha is not None else "rank" for item in modules)),
        "norm_mean": sum(norms) / len(norms) if norms else None,
        "norm_max": max(norms, default=None),
        "norm_max_module": strongest.name if strongest else None,
        "effective_rank_mean": sum(ranks) / len(ranks) if ranks else None,
        "rank_99_max": max((item.rank_99 for item in modules if item.rank_99 is not None), default=None),
    }


def _norm(item: ModuleInfo) -> float:
    return item.norm or 0.0


def _measured(module: Module, family: str) -> ModuleInfo:
    kind = module.kind
    norm = rank = None
    values: Tensor | None = None
    plain = Module(module.name, {k: t for k, t in module.leaves.items() if k not in ("dora_scale", "diff_b")})
    if plain.leaves and plain.kind in PRODUCTS:
        try:
            factors = product(plain, family)
        except (KeyError, ValueError, RuntimeError, IndexError):
            kind = f"{kind} (incomplete)"
        else:
            norm, rank, values = algebra.norm(factors), _stored_rank(module), algebra.singular_values(factors)
    elif "diff" in module.leaves:
        norm = float(module.leaves["diff"].double().norm())
    return ModuleInfo(
        name=module.name,
        part=unified_names.part(module.name),
        block=unified_names.block(module.name),
        kind=kind,
        rank=rank,
        alpha=module.alpha,
        norm=norm,
        largest=float(values[0]) if values is not None else None,
        effective_rank=algebra.effective_rank(values) if values is not None else None,
        rank_90=_holding(values, 0.9) if values is not None else None,
        rank_99=_holding(values, 0.99) if values is not None else None,
    )


def _stored_rank(module: Module) -> int | None:
    """The rank that the file's author chose: that of one factor."""
    for leaf in ("down", "hada_w1_b", "lokr_w1_b", "lokr_w2_b"):
        if leaf in module.leaves:
            return module.leaves[leaf].shape[0]
    return None


def _holding(values: Tensor, share: float) -> int:
    energies = values.double().square()
    total = energies.sum()
    if not total > 0:
        return 0
    return int((energies.cumsum(0) < share * total).sum()) + 1


def _hash_check(path: Path, metadata: Mapping[str, str]) -> str:
    said = metadata.get("sshs_model_hash")
    if not said:
        return "none"
    with open(path, "rb") as file:
        file.seek(8 + struct.unpack("<Q", file.read(8))[0])
        return "matches" if hashlib.file_digest(file, "sha256").hexdigest() == said else "differs"


def _config(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        value = json.loads(metadata[OWN_CONFIG])
    except (KeyError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _precision(dtype: torch.dtype) -> str:
    names = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "fp32", torch.float64: "fp64",
             torch.float8_e4m3fn: "fp8", torch.float8_e5m2: "fp8"}  # fmt: skip
    return names.get(dtype, str(dtype).removeprefix("torch."))


def _natural(text: str) -> list[tuple[int, Any]]:
    """Text encoders before the U-Net, its blocks in the order of computing, numbers by value."""
    order = {"te": 0, "te1": 1, "te2": 2, "unet": 3, "down": 0, "input": 0, "middle": 1, "up": 2, "output": 2}
    words = re.split(r" ", text)
    return [
        (order.get(word, 9), int(word) if word.isdigit() else 0 if word in order else word.__len__())
        for word in words
    ]
