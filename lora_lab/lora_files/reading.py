"""Reading LoRA files of any origin: tensors by module, under one spelling, alphas filled in, checked first.

This is the one way in: whoever uses a LoRA file (training on it or from it, previews, the verbs of
`lora-lab lora`, exports) takes what `read` gives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from lora_lab.errors import ModelError
from lora_lab.lora_files import keys, unified_names
from lora_lab.lora_files.disk import read_lora
from lora_lab.lora_files.kinds import is_foreign, kind_of
from lora_lab.lora_files.peft import Said, said_of
from lora_lab.models.families import FAMILIES
from lora_lab.models.lora_family import family_of

_LARGEST = 1e6
"""Beyond this no weight of a LoRA makes sense, and products of four could leave float32."""
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_EIGHT_BITS = (torch.float8_e4m3fn, torch.float8_e5m2)
"""Widened to fp16, which holds every one of their numbers."""


@dataclass(frozen=True)
class Module:
    """The tensors of one adapted module, by leaf as in `keys.split`."""

    name: str
    """In the one spelling of its family."""
    leaves: Mapping[str, Tensor]
    spelled: str = ""
    """As the file has it, in kohya's form: with the file's own naming of blocks."""

    @property
    def kind(self) -> str:
        """LoRA, LoHa, LoKr, DoRA, ..., as people call it (`kinds.kind_of`)."""
        return kind_of(self.leaves)

    @property
    def alpha(self) -> float | None:
        """The stored alpha; None if there is none, which means the rank."""
        return float(self.leaves["alpha"]) if "alpha" in self.leaves else None


@dataclass(frozen=True)
class LoraFile:
    """A file's content under kohya's names (SDXL with the original's block names)."""

    path: Path
    family: str
    """A key of `models.families.FAMILIES`, or "unknown"."""
    modules: Mapping[str, Module]
    metadata: Mapping[str, str]
    dtype: torch.dtype
    """That of most weights, as stored."""
    strange: tuple[str, ...] = field(default=())
    """Keys that are no adapter's."""
    embeddings: tuple[str, ...] = field(default=())
    """Names of textual inversion embeddings that the file holds beside."""
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    """As stored, by the file's own keys."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """What `only` has left out: kind to count."""

    @cached_property
    def sha256(self) -> str:
        """Of the whole file."""
        with open(self.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def of_family(self, family: str) -> LoraFile:
        """The file with its modules called as the family's files call them, where nothing in it said which.

        Raises:
            ModelError: Two modules of the file are one then.
        """
        if self.family in FAMILIES:
            return self
        found: dict[str, Module] = {}
        for module in self.modules.values():
            name = unified_names.unified(module.spelled, family)
            if name in found:
                raise ModelError(_twice(self.path, name))
            found[name] = replace(module, name=name)
        return replace(self, family=family, modules=found)

    def only(self, kinds: frozenset[str], leaves: frozenset[str] | None = None) -> LoraFile:
        """The file without embeddings, tensors of no module, and modules of other kinds than `kinds`.

        Args:
            kinds: As `Module.kind` names them.
            leaves: Leaves that are kept of a module; None keeps all.
        """
        kept, lost = {}, {"embeddings": len(self.embeddings), "tensors of no module": len(self.strange)}
        for name, module in self.modules.items():
            known = {leaf: t for leaf, t in module.leaves.items() if not is_foreign(leaf)}
            # What stands in a module beside its LoRA leaves it; a module that is nothing else goes.
            if known.keys() <= {"alpha", "scalar"} or kind_of(known) not in kinds:
                lost[module.kind] = lost.get(module.kind, 0) + 1
                continue
            own = {leaf: t for leaf, t in known.items() if leaves is None or leaf in leaves}
            for leaf in module.leaves.keys() - own.keys():
                kind = keys.network_kind(leaf)
                lost[kind] = lost.get(kind, 0) + 1
            kept[name] = replace(module, leaves=own)
        counts = {kind: count for kind, count in lost.items() if count}
        return replace(self, modules=kept, strange=(), embeddings=(), left_out=counts)


def read(path: str | Path) -> LoraFile:
    """Read a LoRA file: kohya, LyCORIS, OneTrainer, diffusers or PEFT.

    Raises:
        ModelError: It is missing, damaged, no LoRA, one for another kind of model, or holds numbers that are
            none.
    """
    path = Path(path).expanduser()
    tensors, metadata = read_lora(path)
    file = from_tensors(tensors, metadata, path)
    for name, module in file.modules.items():
        _check_numbers(path, name, module.leaves)
    return file


def from_tensors(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None, path: Path = Path("LoRA")
) -> LoraFile:
    """As `read`, of what a file at `path` holds; numbers are taken as they are.

    Raises:
        ModelError: Names are mixed, or PEFT's settings are not understood.
    """
    metadata = metadata or {}
    said = said_of(path, tensors, metadata)
    sorted_keys = _by_module(path, tensors)
    family = family_of(_widths(sorted_keys.modules), metadata)
    modules: dict[str, Module] = {}
    for name, found in sorted_keys.modules.items():
        leaves = _usable(found)
        _fill_alpha(path, sorted_keys.spelled[name], leaves, said)
        unified = unified_names.unified(name, family)
        if unified in modules:
            raise ModelError(_twice(path, unified))
        modules[unified] = Module(unified, leaves, name)
    dtype = _main_dtype(sorted_keys.modules)
    rest = tuple(sorted_keys.strange), tuple(sorted_keys.embeddings)
    return LoraFile(path, family, modules, metadata, dtype, *rest, tensors)


def _twice(path: Path, name: str) -> str:
    return f"{path} is damaged or mixed: it has {name} twice, in two spellings"


@dataclass
class _Sorted:
    """A file's tensors by module in kohya's form, and the rest."""

    modules: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    spelled: dict[str, str] = field(default_factory=dict)
    """Each module as the file spells it."""
    strange: list[str] = field(default_factory=list)
    embeddings: dict[str, None] = field(default_factory=dict)


def _by_module(path: Path, tensors: Mapping[str, Tensor]) -> _Sorted:
    found = _Sorted()
    for key, tensor in tensors.items():
        separated = keys.separated(key)
        if separated is None:
            if embedding := keys.embedding_of(key):
                found.embeddings[embedding] = None
            else:
                found.strange.append(key)
            continue
        spelled, leaf = separated
        name = keys.kohya_name(spelled)
        module = found.modules.setdefault(name, {})
        found.spelled[name] = spelled
        if leaf in module:
            raise ModelError(f"{path} is damaged or mixed: {key} names a tensor that it has already")
        # PEFT's magnitudes belong to outputs, whatever their shape; LyCORIS' (1, n, 1, 1) belong to inputs.
        module[leaf] = tensor.flatten() if ".lora_magnitude_vector" in key else tensor
    return found


def _usable(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """8-bit floats widened, magnitudes of outputs in the shape (o, 1) or (o, 1, 1, 1)."""
    leaves = {
        leaf: tensor.to(torch.float16) if tensor.dtype in _EIGHT_BITS else tensor
        for leaf, tensor in stored.items()
    }
    magnitude = leaves.get("dora_scale")
    if magnitude is not None and magnitude.dim() == 1:
        sides = leaves["down"].dim() - 1 if "down" in leaves else 1
        leaves["dora_scale"] = magnitude.reshape(-1, *(1,) * sides)
    return leaves


def _fill_alpha(path: Path, spelled: str, leaves: dict[str, Tensor], said: Said) -> None:
    located = keys.located(spelled)
    if "alpha" in leaves or "down" not in leaves or located is None or not leaves["down"].dim():
        return
    try:
        alpha = said.alpha(*located, leaves["down"].shape[0])
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    if alpha is not None:
        if not abs(alpha) < _LARGEST:
            raise ModelError(f"{path}: the alpha of {spelled} in {said.source} is {alpha:g}")
        leaves["alpha"] = torch.tensor(alpha, dtype=torch.float64)


def _check_numbers(path: Path, name: str, leaves: Mapping[str, Tensor]) -> None:
    for leaf, tensor in leaves.items():
        if leaf in ("alpha", "scalar"):
            if tensor.numel() != 1 or not abs(float(tensor)) < _LARGEST:
                raise ModelError(f"{path}: {leaf} of {name} is not one finite number; the file is damaged")
        elif leaf == "on_input":
            continue
        elif tensor.dtype not in _FLOATS:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ModelError(f"{path}: {name}.{leaf} is of type {kind}, not fp8, fp16, bf16 or fp32")
        elif not tensor.numel():
            raise ModelError(f"{path}: {name}.{leaf} is empty {tuple(tensor.shape)}; the file is damaged")
        elif not _largest(tensor) < _LARGEST:
            raise ModelError(
                f"{path}: {name}.{leaf} holds NaN, infinity or numbers beyond {_LARGEST:g}; "
                "the run diverged, or the file is damaged"
            )


def _largest(tensor: Tensor) -> float:
    """Largest magnitude; NaN if there is one."""
    low, high = torch.aminmax(tensor)
    return float(torch.maximum(low.abs(), high.abs()))


def _widths(leaves: Mapping[str, Mapping[str, Tensor]]) -> dict[str, int]:
    """Input width of each module, where it can be read off."""
    found = {}
    for name, module in leaves.items():
        narrow = module.get("down", module.get("hada_w1_b"))
        found[name] = narrow.shape[1] if narrow is not None and narrow.dim() > 1 else 0
    return found


def _main_dtype(leaves: Mapping[str, Mapping[str, Tensor]]) -> torch.dtype:
    sizes: dict[torch.dtype, int] = {}
    for module in leaves.values():
        for leaf, tensor in module.items():
            if leaf != "alpha":
                sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.numel()
    return max(sizes, key=lambda dtype: sizes[dtype], default=torch.float32)
