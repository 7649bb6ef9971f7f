"""New LoRA files: kohya's names and shapes, honest metadata, no file replaced by accident."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lora_lab import __version__
from lora_lab.config.places import text_without_places
from lora_lab.counts import counted
from lora_lab.errors import ConfigError, ModelError
from lora_lab.lora_files import unified_names
from lora_lab.lora_files.disk import save_lora
from lora_lab.lora_files.factors import Factors, products
from lora_lab.lora_files.reading import LoraFile
from lora_lab.models.families import FAMILIES
from lora_lab.models.lora_family import UNKNOWN, stated_prediction
from lora_lab.networks.metadata import standard_metadata
from lora_lab.networks.spec import AdapterSpec

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
MADE = "lora_lab.made"
"""Metadata key that holds how a file was made: command, inputs with their hashes, options."""

OWN_CONFIG = "lora_lab.config"
"""Metadata key of our own training settings."""

_NOT_KEPT = ("sshs_", "lora_adapter_metadata", "format", "modelspec.", "lora_lab.fingerprint", MADE)
_KEPT_OF_SPEC = ("architecture", "prediction_type", "resolution", "implementation")
_DERIVED = (
    "output_name",
    "network_dim",
    "network_alpha",
    "network_args",
    "network_module",
    "training_comment",
)


@dataclass(frozen=True)
class Making:
    """What was done: for the metadata."""

    command: str
    inputs: Sequence[LoraFile]
    options: Mapping[str, Any]
    ratios: Sequence[float] = ()
    family: str = UNKNOWN
    """Where no input tells it."""
    prediction_type: str = ""
    """What the base predicts, where no input tells it."""
    dtype: torch.dtype = torch.float32
    """Of the output, where there is no input and none is asked for."""


def check_output(
    path: Path, inputs: Iterable[str | Path], *, force: bool, suffix: str = ".safetensors"
) -> None:
    """Refuse a place that must not or cannot be written, before any work is done.

    Args:
        inputs: What is read: never written over.

    Raises:
        ConfigError: It exists and `force` is off, is one of the inputs, is a folder, or has another ending.
    """
    if suffix and path.suffix != suffix:
        raise ConfigError(f"--output {path} must end in {suffix}")
    if path.is_dir() and suffix:
        raise ConfigError(f"--output {path} is a folder; name a file in it")
    if path.exists() and any(Path(one).exists() and path.samefile(one) for one in inputs):
        raise ConfigError(f"--output {path} is one of the inputs, which no verb changes; choose another name")
    if path.exists() and not force:
        raise ConfigError(f"--output {path} exists; choose another name, or replace it with --force")


def save(
    path: Path, modules: Mapping[str, Factors], making: Making, precision: str | None = None
) -> dict[str, str]:
    """Write modules as a LoRA file; returns the metadata.

    Args:
        precision: fp32, fp16 or bf16; None is that of the inputs, fp32 if they differ or there are none.
            Alphas are always fp32, so that they are exact.

    Raises:
        ModelError: A weight is too large for the precision.
    """
    dtype = PRECISIONS[precision] if precision else _dtype_of(making)
    modules = with_common_alphas(modules)
    tensors = to_tensors(modules, dtype)
    broken = [key for key, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise ModelError(
            f"{len(broken)} of {counted(len(tensors), 'tensor is', 'tensors are')} too large for "
            f"{str(dtype).removeprefix('torch.')} ({broken[0]}); write them with --precision fp32"
        )
    return save_lora(path, tensors, described(path, modules, making))


def with_common_alphas(modules: Mapping[str, Factors]) -> dict[str, Factors]:
    """The same weight differences, with one alpha per part where diffusers would misread several.

    diffusers (0.42) loses the alpha of an attention layer or of a text encoder's layer if it is not its
    part's most frequent one. The difference goes into `up`.
    """
    found = dict(modules)
    for part in {unified_names.part(name) for name in modules}:
        names = [name for name in modules if unified_names.part(name) == part]
        alphas = Counter(_alpha(modules[name]) for name in names)
        common = alphas.most_common(1)[0][0]
        delicate = names if part != "unet" else [name for name in names if "_attn" in name]
        if common and any(_alpha(modules[name]) != common for name in delicate):
            found.update({name: _with_alpha(modules[name], common) for name in names})
    return found


def portable(file: LoraFile) -> dict[str, Tensor]:
    """A file's tensors, with one alpha per part where diffusers would misread several.

    Other networks than LoRA, and files whose alphas are read right, stay as they are.
    """
    stored = dict(file.tensors)
    if any(not module.leaves.keys() <= {"down", "up", "alpha"} for module in file.modules.values()):
        return stored
    modules = products(file)
    changed = with_common_alphas(modules)
    same = all(_alpha(changed[name]) == _alpha(factors) for name, factors in modules.items())
    return stored if same else to_tensors(changed, file.dtype)


def _alpha(factors: Factors) -> float:
    return float(factors.rank) if factors.alpha is None else factors.alpha


def _with_alpha(factors: Factors, alpha: float) -> Factors:
    ratio = _alpha(factors) / alpha
    return Factors(factors.down, factors.up if ratio == 1 else factors.up.float() * ratio, alpha)


def to_tensors(modules: Mapping[str, Factors], dtype: torch.dtype) -> dict[str, Tensor]:
    """kohya's tensors: down (r, i) or (r, i, kh, kw), up (o, r) or (o, r, 1, 1), alpha ()."""
    tensors = {}
    for name, factors in modules.items():
        up = factors.up.flatten(1)
        if factors.down.dim() == 4:
            up = up[..., None, None]
        tensors[f"{name}.lora_down.weight"] = factors.down.to(dtype).contiguous()
        tensors[f"{name}.lora_up.weight"] = up.to(dtype).contiguous()
        tensors[f"{name}.alpha"] = torch.tensor(_alpha(factors), dtype=torch.float32)
    return tensors


def _dtype_of(making: Making) -> torch.dtype:
    found = {file.dtype for file in making.inputs} or {making.dtype}
    return found.pop() if len(found) == 1 and found <= set(PRECISIONS.values()) else torch.float32


def described(path: Path, modules: Mapping[str, Factors], making: Making) -> dict[str, str]:
    """Metadata of a new file: what its inputs have in common, with everything that has changed set anew."""
    made = record(making)
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
    title = f"{path.stem}-{digest[:8]}"  # other programs drop LoRAs that share a name
    kept = _in_common([file.metadata for file in making.inputs])
    metadata = {
        **kept,
        **_about_base(making),
        **_about_network(modules),
    }
    metadata["ss_output_name"] = metadata["modelspec.title"] = title
    if OWN_CONFIG in kept:
        metadata[OWN_CONFIG] = text_without_places(kept[OWN_CONFIG])
    comment = kept.get("ss_training_comment", "None")
    said = _sentence(making)
    metadata["ss_training_comment"] = said if comment in ("None", "") else f"{said}; {comment}"
    if making.inputs:
        metadata["modelspec.merged_from"] = ", ".join(file.path.stem for file in making.inputs)
    metadata[MADE] = json.dumps(made)
    return metadata


def record(making: Making) -> dict[str, Any]:
    """How a file is made, for its metadata: command, inputs with hashes and ratios, options."""
    ratios: Sequence[float | None] = making.ratios or [None] * len(making.inputs)
    inputs = []
    for file, ratio in zip(making.inputs, ratios, strict=True):
        entry: dict[str, Any] = {"file": file.path.name, "sha256": file.sha256}
        entry["ss_output_name"] = file.metadata.get("ss_output_name")
        if ratio is not None:
            entry["ratio"] = ratio
        if MADE in file.metadata:
            entry["made"] = made_of(file.metadata)
        inputs.append(entry)
    options = {key: value for key, value in making.options.items() if value is not None}
    return {"command": making.command, "version": __version__, "inputs": inputs, "options": options}


def made_of(metadata: Mapping[str, str]) -> dict[str, Any]:
    """How a file was made, from its metadata; empty if it does not say."""
    try:
        value = json.loads(metadata[MADE])
    except (KeyError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _sentence(making: Making) -> str:
    names = [file.path.stem for file in making.inputs]
    if making.ratios:
        names = [f"{ratio:g} x {name}" for ratio, name in zip(making.ratios, names, strict=True)]
    options = [f"{key} {value}" for key, value in making.options.items() if value is not None]
    of = f" of {' + '.join(names)}" if names else ""
    return f"{making.command}{of}" + (f" ({', '.join(options)})" if options else "")


def _in_common(metadatas: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What all inputs say alike; with one input, all that stays true."""
    if not metadatas:
        return {}
    first, *others = metadatas
    derived = {f"ss_{name}" for name in _DERIVED if name != "training_comment"}
    return {
        key: value
        for key, value in first.items()
        if not key.startswith(_NOT_KEPT)
        and key not in derived
        and all(other.get(key) == value for other in others)
    }


def _about_base(making: Making) -> dict[str, str]:
    """The keys by which programs tell the family: the inputs' own words, or derived where they have none."""
    metadatas = [file.metadata for file in making.inputs]
    known = [file.family for file in making.inputs if file.family in FAMILIES]
    family = known[0] if known else making.family
    found: dict[str, str] = {}
    if family in FAMILIES:
        facts = FAMILIES[family]
        said = [word for metadata in metadatas if (word := stated_prediction(metadata, facts))]
        prediction = [*said, making.prediction_type or next(iter(facts.files.base_versions))][0]
        derived = standard_metadata(AdapterSpec(1, 1.0), family, "", prediction_type=prediction)
        words = ["ss_v2", "ss_base_model_version"]
        found = {key: text for key, text in derived.items() if key.startswith("modelspec.") or key in words}
    for metadata in reversed(metadatas):  # the first input has the last word
        words = [f"modelspec.{name}" for name in _KEPT_OF_SPEC] + ["ss_v2", "ss_base_model_version"]
        found.update({key: metadata[key] for key in words if key in metadata})
    return found


def _about_network(modules: Mapping[str, Factors]) -> dict[str, str]:
    """`ss_network_*`, with "Dynamic" where modules differ, as sd-scripts writes it."""
    plain = [item for item in modules.values() if item.down.dim() == 2 or item.down.shape[2:] == (1, 1)]
    convs = [item for item in modules.values() if item.down.dim() == 4 and item.down.shape[2:] != (1, 1)]
    dim, alpha = _one_of(plain or convs)
    args = {}
    if convs:
        args["conv_dim"], args["conv_alpha"] = _one_of(convs)
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": dim,
        "ss_network_alpha": alpha,
        "ss_network_args": json.dumps(args),
        "modelspec.implementation_version": f"lora_lab/{__version__}",
    }


def _one_of(modules: Sequence[Factors]) -> tuple[str, str]:
    ranks = {item.rank for item in modules}
    alphas = {round(_alpha(item), 6) for item in modules}
    return (
        str(ranks.pop()) if len(ranks) == 1 else "Dynamic",
        str(float(alphas.pop())) if len(alphas) == 1 else "Dynamic",
    )
