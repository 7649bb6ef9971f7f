"""What tells other programs what a LoRA file is: kohya's `ss_*` keys and Stability's `modelspec.*`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lora_lab import __version__
from lora_lab.models.families import FAMILIES
from lora_lab.models.family import FileNames
from lora_lab.networks.blocks import by_part
from lora_lab.networks.spec import AdapterSpec

IMPLEMENTATION = f"lora_lab/{__version__}"


def standard_metadata(
    spec: AdapterSpec,
    family: str,
    output_name: str,
    *,
    prediction_type: str = "epsilon",
    resolution: tuple[int, int] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Metadata by which A1111, Forge and ComfyUI tell family, dims and training settings.

    Args:
        spec: The adapter.
        family: A key of `models.families.FAMILIES`.
        output_name: Shown as the LoRA's name; programs drop LoRAs that share one, so it has to be unique.
        prediction_type: What the base predicts.
        resolution: Training resolution (width, height).
        settings: More `ss_*` values, by name with or without the prefix; None is written as "None" and
            mappings and lists as JSON, as sd-scripts does. They win over what is derived here.
    """
    names = FAMILIES[family].files
    found: dict[str, Any] = {
        "output_name": output_name,
        "sd_model_name": None,
        "v2": names.v2,
        "base_model_version": names.base_versions[prediction_type],
        "network_module": "networks.lora" if _is_plain(spec) else "lycoris.kohya",
        "network_dim": _one({spec.network_dim} if spec.modules is None else set(_dims(spec, 0))),
        "network_alpha": _one({spec.network_alpha} if spec.modules is None else set(_dims(spec, 1))),
        "network_dropout": (spec.network_dropout if spec.form == "lora" else None) or None,
        "network_args": _network_args(spec),
    }
    if resolution is not None:
        found["resolution"] = f"({resolution[0]}, {resolution[1]})"
    found.update({key.removeprefix("ss_"): value for key, value in (settings or {}).items()})
    texts = {f"ss_{key}": _text(value) for key, value in found.items()}
    return texts | _model_spec(names, output_name, prediction_type, resolution)


def _model_spec(
    names: FileNames, title: str, prediction_type: str, resolution: tuple[int, int] | None
) -> dict[str, str]:
    """Stability's keys, by which Forge tells the family where `ss_*` keys are missing."""
    found = {
        "sai_model_spec": "1.0.1",
        "architecture": names.architectures[prediction_type] + "/lora",
        "implementation": names.implementation,
        "implementation_version": IMPLEMENTATION,
        "title": title,
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
    }
    if prediction_type in names.predictions:
        found["prediction_type"] = names.predictions[prediction_type]
    if resolution is not None:
        found["resolution"] = f"{resolution[0]}x{resolution[1]}"
    return {f"modelspec.{key}": value for key, value in found.items()}


def _dims(spec: AdapterSpec, which: int) -> list[float]:
    """The dims (0) or alphas (1) of single modules."""
    return [module[which] for module in (spec.modules or {}).values()]


def _one(values: set[float]) -> float | str:
    """One value for all modules, or kohya's word for several."""
    return values.pop() if len(values) == 1 else "Dynamic"


def _is_plain(spec: AdapterSpec) -> bool:
    """Whether sd-scripts' own network is the same; LyCORIS is what has the other forms and presets."""
    return spec.form == "lora" and spec.preset == "kohya"


def _network_args(spec: AdapterSpec) -> dict[str, str]:
    """What sd-scripts would have got as `--network_args`; all values are text there."""
    args: dict[str, Any] = {}
    if not _is_plain(spec):
        # LyCORIS has no preset of kohya's layers with convolutions; without them it is attn-mlp.
        preset = "attn-mlp" if spec.preset == "kohya" and not spec.conv_dim else spec.preset
        args.update({"algo": spec.form if spec.form in ("loha", "lokr") else "locon", "preset": preset})
    if spec.conv_dim:
        args.update({"conv_dim": spec.conv_dim, "conv_alpha": spec.conv_alpha})
    if spec.form == "lokr":
        args.update({"factor": spec.factor, "decompose_both": spec.decompose_both})
    if spec.form == "dora":
        args.update({"dora_wd": True, "wd_on_output": spec.wd_on_output})
    for name in ("rank_dropout", "module_dropout"):
        if getattr(spec, name):
            args[name] = getattr(spec, name)
    if spec.blocks is not None:
        args.update({f"{part}_lr_weight": ",".join(map(str, own)) for part, own in by_part(spec.blocks)})
    return {key: str(value) for key, value in args.items()}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (Mapping, list)):
        return json.dumps(value)
    return str(value)
