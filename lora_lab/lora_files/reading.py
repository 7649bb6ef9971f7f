"""Reading LoRA files of any origin: tensors by module, under one spelling, checked first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lora_lab.errors import ModelError
from lora_lab.lora_files import keys, spelling
from lora_lab.lora_files.disk import read_lora
from lora_lab.models.lora_family import family_of

_LARGEST = 1e6
"""Beyond this no weight of a LoRA makes sense, and products of four could leave float32."""
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Module:
    """The tensors of one adapted module, by leaf as in `networks.keys.split`."""

    name: str
    leaves: Mapping[str, Tensor]

    @property
    def kind(self) -> str:
        """LoRA, LoCon with Tucker decomposition, LoHa, LoKr, DoRA, ..., as people call it."""
        order = ("dora_scale", "mid", "down")
        first = next((leaf for leaf in order if leaf in self.leaves), None)
        others = [leaf for leaf in self.leaves if leaf not in ("alpha", "scalar")]
        return keys.network_kind(first or (others or list(self.leaves))[0])

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
    """That of most weights."""
    sha256: str
    """Of the whole file."""
    strange: tuple[str, ...] = field(default=())
    """Keys that are no adapter's."""


def read(path: str | Path) -> LoraFile:
    """Read a LoRA file: kohya, LyCORIS, diffusers or PEFT.

    Raises:
        ModelError: It is missing, damaged, no LoRA, or holds numbers that are none.
    """
    path = Path(path).expanduser()
    tensors, metadata = read_lora(path)
    leaves, strange = _by_module(path, tensors)
    alphas = _carried_alphas(path, metadata)
    family = family_of(_widths(leaves), tensors, metadata)
    modules: dict[str, Module] = {}
    for name, found in leaves.items():
        _check_numbers(path, name, found)
        if "alpha" not in found and (alpha := alphas(name, found)) is not None:
            found["alpha"] = torch.tensor(alpha)
        unified = spelling.unified(name, family)
        if unified in modules:
            raise ModelError(f"{path} is damaged or mixed: it has {unified} twice, in two spellings")
        modules[unified] = Module(unified, found)
    return LoraFile(path, family, modules, metadata, _main_dtype(leaves), _sha256(path), tuple(strange))


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _by_module(path: Path, tensors: Mapping[str, Tensor]) -> tuple[dict[str, dict[str, Tensor]], list[str]]:
    leaves: dict[str, dict[str, Tensor]] = {}
    strange = []
    for key, tensor in tensors.items():
        found = keys.split(key)
        if found is None:
            strange.append(key)
            continue
        module = leaves.setdefault(found[0], {})
        if found[1] in module:
            raise ModelError(f"{path} is damaged or mixed: {key} names a tensor that it has already")
        module[found[1]] = tensor
    return leaves, strange


def _check_numbers(path: Path, name: str, leaves: Mapping[str, Tensor]) -> None:
    for leaf, tensor in leaves.items():
        if leaf in ("alpha", "scalar"):
            if tensor.numel() != 1 or not abs(float(tensor)) < _LARGEST:
                raise ModelError(f"{path}: {leaf} of {name} is not one finite number; the file is damaged")
        elif tensor.dtype not in _FLOATS:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ModelError(f"{path}: {name}.{leaf} is of type {kind}, not fp16, bf16 or fp32")
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


def _carried_alphas(path: Path, metadata: Mapping[str, str]) -> Any:
    """What PEFT says of alphas outside of the tensors: in diffusers' metadata, or in a file beside.

    Returns a function of a module's name and leaves that gives its alpha, or None if nothing is said.
    """
    configs = _parts(_json(metadata.get("lora_adapter_metadata", "")))
    beside = path.parent / "adapter_config.json"
    if not configs and path.stem == "adapter_model" and beside.is_file():
        configs = {"": _json(beside.read_text(encoding="utf-8", errors="replace"))}

    def alpha(name: str, leaves: Mapping[str, Tensor]) -> float | None:
        part = {"unet": "unet", "te2": "text_encoder_2"}.get(spelling.part(name), "text_encoder")
        config = configs.get(part, configs.get(""))
        if not config or "down" not in leaves:
            return None
        value = _matching(name, config.get("alpha_pattern"))
        value = config.get("lora_alpha") if value is None else value
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return None
        rank = leaves["down"].shape[0]
        return float(value) * (rank**0.5 if config.get("use_rslora") else 1.0)

    return alpha


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _parts(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """diffusers packs the configs of all parts into one mapping: `unet.lora_alpha`, `text_encoder.r`."""
    configs: dict[str, dict[str, Any]] = {}
    for key, value in flat.items():
        for root in ("unet", "text_encoder_2", "text_encoder"):
            if key.startswith(root + "."):
                configs.setdefault(root, {})[key.removeprefix(root + ".")] = value
                break
    return configs


def _matching(name: str, pattern: Any) -> Any:
    """The value of the first dotted path or ending in a PEFT pattern that fits a module's name."""
    if not isinstance(pattern, dict):
        return None
    for path, value in pattern.items():
        if name.endswith("_" + str(path).lstrip("^").replace(".", "_")):
            return value
    return None
