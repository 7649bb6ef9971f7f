"""What a LoRA file, or the folder of a training elsewhere, says of its settings. Without torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_lab.counts import whole_number
from lora_lab.errors import ConfigError, LoraLabError
from lora_lab.kohya.convert import convert
from lora_lab.kohya.entries import ARGUMENTS, GUI, NETWORK, Entry, Preset, pairs, read
from lora_lab.kohya.others import AI_TOOLKIT, ONE_TRAINER
from lora_lab.models.weight_headers import read_header

KOHYA, PEFT, UNKNOWN = "sd-scripts", "PEFT", "an unknown trainer"
BESIDE, ADAPTER = "adapter_config.json", "adapter_model"
"""Where PEFT keeps what its files need, and what it calls these."""
_OWN = "lora_lab.config"

_RENAMED = {
    "batch_size_per_device": "train_batch_size",
    "num_epochs": "max_train_epochs",
    "optimizer": "optimizer_type",
    "min_snr_gamma": "min_snr_gamma",
}
"""`ss_*` that sd-scripts calls otherwise in its arguments (train_network.py, metadata)."""
_KEPT = (
    "network_module", "network_dim", "network_alpha", "network_dropout", "learning_rate", "unet_lr",
    "text_encoder_lr", "lr_scheduler", "lr_warmup_steps", "max_grad_norm", "gradient_accumulation_steps",
    "seed", "noise_offset", "adaptive_noise_scale", "multires_noise_iterations", "multires_noise_discount",
    "clip_skip", "resolution", "scale_weight_norms", "mixed_precision", "prior_loss_weight",
    "shuffle_caption", "keep_tokens", "caption_dropout_rate", "caption_tag_dropout_rate", "flip_aug",
    "enable_bucket", "min_bucket_reso", "max_bucket_reso", "bucket_no_upscale", "zero_terminal_snr",
    "loss_type", "huber_c", "huber_schedule", "ip_noise_gamma", "debiased_estimation", "max_train_steps",
)  # fmt: skip
"""`ss_*` that are arguments under the same name."""

_NUMBERS = re.compile(r"[-_](?:step)?(\d{4,})$")
"""The count at the end of a name: an epoch or, behind `step` and in ai-toolkit's nine digits, a step."""
_ONE_TRAINER = re.compile(r"-(\d+)-(\d+)-\d+$")
"""OneTrainer's `...-save-STEP-EPOCH-STEP_OF_EPOCH`."""


@dataclass(frozen=True)
class Trained:
    """One training elsewhere.

    Attributes:
        source: The file or folder that was given.
        trainer: Who made it, as far as it says.
        files: Its LoRA files in order of training, each with (step, epoch), None where it is not said.
        settings: Settings of ours that are known, by dotted key.
    """

    source: Path
    trainer: str
    files: tuple[tuple[Path, int | None, int | None], ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


def trained(source: Path) -> Trained:
    """Look at a LoRA file, or at a folder of one training with its checkpoints and config.

    Raises:
        ConfigError: There is no LoRA file.
        ModelError: A file is damaged.
    """
    source = source.expanduser().absolute()
    if source.is_dir():
        return _folder(source)
    if not source.is_file():
        raise ConfigError(f"{source}: there is no such file or folder")
    metadata = read_header(source).metadata
    peft = _of_peft(source.parent / BESIDE) if source.stem == ADAPTER else {}
    settings = {**peft, **settings_of(source, metadata)}
    files = ((source, *_place(source, metadata)),)
    return Trained(source, PEFT if peft else _trainer(metadata), files, settings)


def _folder(source: Path) -> Trained:
    found = sorted(file for file in source.glob("*.safetensors"))
    found += sorted((source / "save").glob("*.safetensors"))
    if not found:
        raise ConfigError(f"{source}: holds no .safetensors files; give the folder that the LoRAs lie in")
    headers = {file: read_header(file).metadata for file in found}
    placed = [(file, *_place(file, headers[file])) for file in found]
    # What has no number is the end of the training.
    placed.sort(key=lambda item: (item[1] is None and item[2] is None, item[1] or 0, item[2] or 0))
    last = placed[-1][0]
    kind, settings = _config_beside(source)
    settings = {**settings_of(last, headers[last]), **settings}
    return Trained(source, kind or _trainer(headers[last]), tuple(placed), settings)


def _config_beside(folder: Path) -> tuple[str, dict[str, Any]]:
    """The trainer and the settings that a config in the folder tells; nothing where none is understood."""
    files = [file for end in ("yaml", "yml", "toml", "json") for file in sorted(folder.glob(f"*.{end}"))]
    files += sorted((folder / "config").glob("*.json"))
    for file in files:
        if file.name == BESIDE and (settings := _of_peft(file)):
            return PEFT, settings
        with suppress(ConfigError):
            preset = read(file)
            if preset.kind in (AI_TOOLKIT, ONE_TRAINER, GUI, ARGUMENTS) and (settings := _said(preset)):
                kind = KOHYA if preset.kind in (GUI, ARGUMENTS) else preset.kind
                return kind, settings
    return "", {}


def _of_peft(file: Path) -> dict[str, Any]:
    """The settings in PEFT's config; nothing where there is none that can be read."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(said, dict) or said.get("peft_type") != "LORA":
            return {}
    except (OSError, ValueError, RecursionError):
        return {}
    found = {
        "network.type": "dora" if said.get("use_dora") else "lora",
        "network.network_dim": said.get("r"),
        "network.network_alpha": said.get("lora_alpha"),
        "network.network_dropout": said.get("lora_dropout"),
    }
    return {key: value for key, value in found.items() if isinstance(value, (str, int, float))}


def settings_of(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The settings that a file's metadata tell: our own config, else sd-scripts' `ss_*`.

    What cannot be read is left out; nothing is guessed.
    """
    with suppress(KeyError, ValueError, RecursionError):
        own = json.loads(metadata[_OWN])
        if isinstance(own, dict):
            return {str(key): value for key, value in own.items() if "." in str(key)}
    entries = []
    for key, value in metadata.items():
        name = key.removeprefix("ss_")
        if not key.startswith("ss_") or value in ("None", ""):
            continue
        if name == NETWORK:
            entries += [Entry(f"{key} {item}", item, text) for item, text in _pairs(value).items()]
        elif name in _KEPT or name in _RENAMED:
            entries.append(Entry(key, _RENAMED.get(name, name), _plain(name, value)))
    return _said(Preset(path, ARGUMENTS, tuple(entries))) if entries else {}


def _said(preset: Preset) -> dict[str, Any]:
    """What the keys themselves say, without what an import fills in."""
    try:
        found = convert(preset)
    except LoraLabError:
        return {}
    return {line.setting: found.settings.get(line.setting) for line in found.lines if line.setting}


def _pairs(value: str) -> dict[str, str]:
    with suppress(ValueError, RecursionError):
        found = json.loads(value)
        if isinstance(found, dict):
            return {str(key): str(item) for key, item in found.items()}
    return pairs(value)


def _plain(name: str, value: str) -> str:
    """`torch.optim.adamw.AdamW(weight_decay=0.1)` is adamw, `(512, 768)` is 512,768."""
    if name == "optimizer":
        return value.partition("(")[0].partition(",")[0].rpartition(".")[2].lower()
    return value.strip("()").replace(" ", "") if name == "resolution" else value


def _trainer(metadata: Mapping[str, str]) -> str:
    if _OWN in metadata:
        return "lora-lab"
    if any(key.startswith("ss_") for key in metadata):
        return AI_TOOLKIT if "ai-toolkit" in metadata.get("software", "") else KOHYA
    if any("OneTrainer" in value or key.startswith("ot_") for key, value in metadata.items()):
        return ONE_TRAINER
    return AI_TOOLKIT if "ai-toolkit" in metadata.get("software", "") else UNKNOWN


def _place(file: Path, metadata: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Step and epoch of a checkpoint, by its metadata, else by its name."""
    step, epoch = (_number(metadata.get(f"ss_{name}")) for name in ("steps", "epoch"))
    if step is not None or epoch is not None:
        return step, epoch
    if found := _ONE_TRAINER.search(file.stem):
        return int(found[1]), int(found[2])
    if found := _NUMBERS.search(file.stem):
        is_step = "step" in found[0] or len(found[1]) > 6
        return (int(found[1]), None) if is_step else (None, int(found[1]))
    return None, None


def _number(value: str | None) -> int | None:
    return whole_number(value or "")
