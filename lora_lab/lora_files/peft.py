"""What PEFT says of a LoRA outside of its tensors: alphas, patterns, options. Without torch.

Source: PEFT 0.21, `LoraConfig`, `tuners/lora/layer.py` (scaling), `utils/other.py` (`get_pattern_key`).
diffusers packs the configs of all parts into one metadata value; PEFT writes `adapter_config.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_lab.errors import ModelError, broken_at

Config = Mapping[str, Any]

_METADATA = "lora_adapter_metadata"
_ROOTS = {"unet": "unet", "text_encoder_2": "te2", "text_encoder": "te1"}
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Beginnings of `init_lora_weights` with which training takes the adapter's start out of the base model."""
_OTHER_MATHS = (
    "fan_in_fan_out",
    "layer_replication",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "arrow_config",
    "monteclora_config",
    "kasa_config",
    "velora_config",
    "target_parameters",
)
"""Options that make the same tensors mean another weight difference."""


@dataclass(frozen=True)
class Said:
    """PEFT's configs by part ("unet", "te1", "te2"; "" for all), and where they stand."""

    configs: Mapping[str, Config] = field(default_factory=dict)
    beside: Path | None = None
    """The `adapter_config.json` that was read."""

    def alpha(self, part: str, path: str, rank: int) -> float | None:
        """The alpha of a module, from which alpha / rank is PEFT's scaling; None if nothing is said.

        Args:
            part: As `keys.located` gives it.
            path: The module's dotted path in its part.
            rank: Of its tensors.

        Raises:
            ModelError: The config gives the module another rank (it belongs to another file), or an alpha
                that is no number.
        """
        config = self.configs.get("te1" if part == "te" else part, self.configs.get(""))
        if config is None:
            return None
        expected = _matching(config.get("rank_pattern"), path, config.get("r"))
        if isinstance(expected, int) and not isinstance(expected, bool) and expected != rank:
            raise ModelError(
                f"{path} has rank {rank}, but {self.source} says {expected}; it belongs to another file"
            )
        value = _matching(config.get("alpha_pattern"), path, config.get("lora_alpha"))
        if value is None:
            return None
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise ModelError(f"the alpha of {path} in {self.source} is {value!r}, not a number")
        return float(value) * (rank**0.5 if config.get("use_rslora") else 1.0)

    @property
    def source(self) -> str:
        """Where the configs stand, for messages."""
        return str(self.beside) if self.beside else f"the file's metadata ({_METADATA})"


def _packed(path: Path, text: str) -> dict[str, dict[str, Any]]:
    """diffusers' metadata value by part."""
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path}: its metadata ({_METADATA}) is not readable JSON ({broken_at(error)}), so the alphas "
            "are not known"
        ) from None
    return _parts(value if isinstance(value, dict) else {})


def said_of(path: Path, names: Iterable[str], metadata: Mapping[str, str]) -> Said:
    """What PEFT says of a file: in its metadata, or in `adapter_config.json` beside it where PEFT wrote it.

    Raises:
        ModelError: The config is unreadable, is of another adapter than LoRA, or has an option with which
            the tensors mean something else.
    """
    parts = _packed(path, metadata.get(_METADATA, ""))
    said = Said(parts)
    beside = path.parent / "adapter_config.json"
    own = path.stem == "adapter_model" or any(name.startswith("base_model.model.") for name in names)
    if not parts and own and beside.is_file():
        said = Said({"": _read(beside)}, beside)
    for config in said.configs.values():
        _refuse_others(path, said.source, config)
    return said


def _read(beside: Path) -> Config:
    try:
        value = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{beside} is not readable JSON ({broken_at(error)}), so the alphas are not known"
        ) from None
    if not isinstance(value, dict):
        raise ModelError(f"{beside} holds a {type(value).__name__}, not PEFT's settings")
    return value


def _refuse_others(path: Path, source: str, config: Config) -> None:
    kind = config.get("peft_type")
    if kind is not None and kind != "LORA":
        raise ModelError(
            f"{path} is a {kind} adapter, as {source} says; of PEFT's adapters only LoRA and DoRA are read"
        )
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGES_BASE):
        raise ModelError(
            f"{path} was trained with init_lora_weights={start}, which changes the base model, as {source} "
            "says; convert it with PEFT (save_pretrained with path_initial_model_for_weight_conversion)"
        )
    odd = [name for name in _OTHER_MATHS if config.get(name)]
    if odd:
        raise ModelError(f"{path} was trained with PEFT's {odd[0]}, as {source} says; it is not read here")


def _parts(flat: Config) -> dict[str, dict[str, Any]]:
    """diffusers packs the configs of all parts into one mapping: `unet.lora_alpha`, `text_encoder.r`."""
    configs: dict[str, dict[str, Any]] = {}
    for key, value in flat.items():
        for root, part in _ROOTS.items():
            if key.startswith(root + "."):
                configs.setdefault(part, {})[key.removeprefix(root + ".")] = value
                break
    return configs


def _matching(pattern: Any, path: str, default: Any) -> Any:
    """The value of the first key that fits the end of a module's path as a regular expression."""
    if isinstance(pattern, dict):
        for key, value in pattern.items():
            try:
                found = re.match(rf"(.*\.)?({key})$", path)
            except re.error as error:
                raise ModelError(f"PEFT's pattern {key!r} is no regular expression: {error}") from None
            if found:
                return value
    return default
