"""Telling what a model file or folder is, from its headers: at plan time, without torch."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_lab.errors import ModelError
from lora_lab.models import folder as folders
from lora_lab.models.families import FAMILIES
from lora_lab.models.family import Denoiser, Family
from lora_lab.models.not_a_base_model import refuse_not_a_base_model
from lora_lab.models.pickles import scan_pickle
from lora_lab.models.weight_headers import listing, read_header, refuse_non_weights

CONFIG_METADATA = "lora_lab.config"
"""Safetensors metadata key under which our single files carry their own component configs."""
UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
_UNET_INPUT = UNET_PREFIX + "input_blocks.0.0.weight"
_CROSS_ATTENTION = "attn2.to_k.weight"
_PREDICTION_WORDS = {"epsilon": "epsilon", "eps": "epsilon"} | dict.fromkeys(
    ("v", "v_prediction", "v-prediction", "v_pred", "vpred"), "v_prediction"
)
"""What files say in `modelspec.prediction_type` (sd-scripts) and `modelspec.predict_key` (ComfyUI)."""
_SUFFIXES = {
    ".safetensors": "safetensors",
    ".sft": "safetensors",
    ".ckpt": "ckpt",
    ".pt": "ckpt",
    ".pth": "ckpt",
}


@dataclass(frozen=True)
class ModelFile:
    """A base model as its headers describe it."""

    path: Path
    kind: str
    """`diffusers` (a folder), `safetensors` or `ckpt`."""
    family: str
    """A key of `families.FAMILIES`."""
    prediction_type: str
    """`epsilon` or `v_prediction`."""
    prediction_stated: bool
    """False when the file does not say, and `prediction_type` is the family's guess."""
    zero_terminal_snr: bool
    size: int
    """Bytes of all weights."""
    problems: tuple[str, ...]
    """What is worth a warning and does not prevent loading."""


def locate(path: str | Path) -> Path:
    """The place of a base model: a path as given, `demo` the embedded one.

    Raises:
        ModelError: `path` is empty.
    """
    if not str(path):
        raise ModelError(
            "base_model.path is not set: give a diffusers folder, a .safetensors or a .ckpt file"
        )
    if str(path) == "demo":
        return Path(__file__).parents[1] / "demo" / "base"
    return Path(path).expanduser()


def identify(path: str | Path) -> ModelFile:
    """Family, prediction type and size of a base model.

    Raises:
        ModelError: There is no base model at `path`; the message says what is there instead.
    """
    path = locate(path)
    if path.is_dir():
        return _identify_folder(path)
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None and path.is_file():
        refuse_non_weights(path)
        raise ModelError(
            f"{path} is no model: its name ends in none of {', '.join(_SUFFIXES)}, and it is no folder"
        )
    return _identify_pickle(path) if kind == "ckpt" else _identify_safetensors(path)


def text_layers(found: ModelFile) -> int:
    """Layers of the first text encoder, from which clip skip counts: as the model says, or the public one's.

    Raises:
        ModelError: The model is no longer what was identified.
    """
    encoder = FAMILIES[found.family].encoders[0]
    config: object = None
    if found.kind == "diffusers":
        config = folders.read_json(found.path / encoder.component / "config.json")
    elif found.kind == "safetensors":
        config = own_config(read_header(found.path).metadata).get(encoder.component)
    said = config.get("num_hidden_layers") if isinstance(config, dict) else None
    return said if isinstance(said, int) else encoder.depth


def _identify_safetensors(path: Path) -> ModelFile:
    header = read_header(path)
    shapes = {name: info.shape for name, info in header.tensors.items()}
    refuse_not_a_base_model(path, shapes)
    own = own_config(header.metadata)
    family = FAMILIES.get(str(own.get("family"))) or _family_of(path, shapes)
    if not own:
        _check_unet(path, shapes, family)
    said = _stated_prediction(own, header.metadata, shapes, path)
    prediction = next(iter(said.values()), None)
    return ModelFile(
        path=path,
        kind="safetensors",
        family=family.name,
        prediction_type=prediction or next(iter(family.configs)),
        prediction_stated=prediction is not None,
        zero_terminal_snr="ztsnr" in shapes or _rescaled(own.get("scheduler")),
        size=sum(info.nbytes for info in header.tensors.values()),
        problems=_notes(path, shapes, family, said),
    )


def _identify_pickle(path: Path) -> ModelFile:
    scan = scan_pickle(path)
    if scan.code:
        raise ModelError(
            f"{path} holds code ({', '.join(scan.code[:3])}), which is never executed here; "
            "use a .safetensors file of the same model, or save its tensors alone"
        )
    refuse_not_a_base_model(path, {name: () for name in scan.strings})
    family = _family_of(path, scan.strings)
    said = _stated_prediction({}, {}, scan.strings, path)
    prediction = next(iter(said.values()), None)
    return ModelFile(
        path=path,
        kind="ckpt",
        family=family.name,
        prediction_type=prediction or next(iter(family.configs)),
        prediction_stated=prediction is not None,
        zero_terminal_snr="ztsnr" in scan.strings,
        size=path.stat().st_size,
        problems=_notes(path, scan.strings, family, said),
    )


def own_config(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The component configs that a single file written by us carries; empty for files of other origin."""
    try:
        value = json.loads(metadata[CONFIG_METADATA])
    except (KeyError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _family_of(path: Path, names: Iterable[str]) -> Family:
    names = set(names)
    if not any(name.startswith(UNET_PREFIX) for name in names):
        some = ", ".join(sorted(name for name in names if "." in name)[:3]) or "none"
        raise ModelError(
            f"{path} is of an unknown architecture: its tensors ({some}, ...) are not those of "
            f"{', '.join(family.title for family in FAMILIES.values())}"
        )
    for family in FAMILIES.values():
        wanted = [encoder.prefixes for encoder in family.encoders]
        if wanted and all(any(name.startswith(prefixes) for name in names) for prefixes in wanted):
            return family
    if any(name.startswith("conditioner.embedders.") for name in names):
        raise ModelError(
            f"{path} looks like the SDXL refiner (one text encoder of two); give the SDXL base model"
        )
    raise ModelError(
        f"{path} has a U-Net but no text encoder; give a full checkpoint, with all parts in one file"
    )


def _check_unet(path: Path, shapes: Mapping[str, tuple[int, ...]], family: Family) -> None:
    inputs = shapes.get(_UNET_INPUT)
    if inputs is None or len(inputs) != 4:
        raise ModelError(
            f"{path} lacks {_UNET_INPUT}, so its U-Net is incomplete or of an unknown architecture"
        )
    if inputs[1] != 4:
        use = {9: "an inpainting", 8: "an instruction-editing", 5: "a depth", 7: "an upscaling"}.get(
            inputs[1], "a"
        )
        raise ModelError(
            f"{path} is {use} model ({inputs[1]} input channels); give one with 4, the plain model"
        )
    widths = {
        shape[1] for name, shape in shapes.items() if name.endswith(_CROSS_ATTENTION) and len(shape) == 2
    }
    if widths and widths != {family.width}:
        raise ModelError(
            f"{path} is of an unknown architecture: it has the text encoders of {family.title}, but a U-Net "
            f"of width {', '.join(map(str, sorted(widths)))} instead of {family.width}"
        )


def _stated_prediction(
    own: Mapping[str, Any], metadata: Mapping[str, str], names: Iterable[str], path: Path
) -> dict[str, str]:
    """What the file says of itself: each place that says something, to what it says; the first one counts.

    The marker tensor stands before the metadata: ComfyUI, Forge and A1111 go by it, and metadata is carried
    along when models are merged or converted.
    """
    said = {}
    if isinstance(own.get("scheduler"), dict):
        said["its own configs"] = str(own["scheduler"].get("prediction_type", "epsilon"))
    if "v_pred" in set(names):
        said["its tensor v_pred"] = "v_prediction"
    for key in ("modelspec.prediction_type", "modelspec.predict_key"):
        if word := _PREDICTION_WORDS.get(metadata.get(key, "").lower()):
            said[f"its metadata ({key})"] = word
    yaml = path.with_suffix(".yaml")
    if word := _prediction_of_yaml(yaml):
        said[yaml.name] = word
    return said


def _prediction_of_yaml(yaml: Path) -> str | None:
    """What the original's settings say, which A1111 reads from beside a checkpoint."""
    try:
        text = yaml.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    squeezed = "".join(text.split()).replace("'", '"')
    if 'parameterization:"v"' in squeezed:
        return "v_prediction"
    return "epsilon" if "diffusion" in squeezed else None


def _rescaled(scheduler: object) -> bool:
    return isinstance(scheduler, dict) and bool(scheduler.get("rescale_betas_zero_snr"))


def _notes(path: Path, names: Iterable[str], family: Family, said: Mapping[str, str]) -> tuple[str, ...]:
    notes = []
    if not any(name.startswith(VAE_PREFIX) for name in names):
        notes.append(f"{path} holds no VAE: give one with base_model.vae=...")
    if len(set(said.values())) > 1:
        all_said = ", ".join(f"{place} says {word}" for place, word in said.items())
        notes.append(
            f"{path} contradicts itself: {all_said}; {next(iter(said.values()))} is taken: say which is "
            "right with base_model.v_parameterization=true or false"
        )
    if not said and len(set(family.configs.values())) > 1:
        guess = next(iter(family.configs))
        notes.append(
            f"{path} does not say whether it predicts epsilon or v; {guess} is assumed for {family.title}: "
            "say so with base_model.v_parameterization=true or false"
        )
    return tuple(notes)


def _identify_folder(path: Path) -> ModelFile:
    index_file = path / "model_index.json"
    if not index_file.is_file():
        _refuse_folder(path)
    index = folders.read_json(index_file)
    family = _folder_family(path, index)
    denoiser = family.denoiser.component
    names = [denoiser, "vae", *(encoder.component for encoder in family.encoders)]
    parts = {name: folders.component(path, name) for name in names}
    for part in parts.values():
        folders.check_weights(part)
    _check_folder_denoiser(path, parts[denoiser].config, family.denoiser)
    schedule_file = folders.scheduler_file(path)
    schedule = folders.read_json(schedule_file) if schedule_file.is_file() else {}
    guess = next(iter(family.configs))
    prediction = str(schedule.get("prediction_type", next(iter(family.files.base_versions))))
    if prediction not in family.configs:
        raise ModelError(
            f"{schedule_file} says prediction_type {prediction!r}, which {family.title} does not have; "
            f"known: {', '.join(family.configs)}"
        )
    prediction = prediction if schedule else guess
    return ModelFile(
        path=path,
        kind="diffusers",
        family=family.name,
        prediction_type=prediction,
        prediction_stated=bool(schedule),
        zero_terminal_snr=_rescaled(schedule),
        size=sum(file.stat().st_size for part in parts.values() for file in part.weights),
        problems=()
        if schedule
        else (f"{path} has no scheduler/; the schedule of {family.title} is assumed",),
    )


def _folder_family(path: Path, index: Mapping[str, Any]) -> Family:
    pipeline = str(index.get("_class_name", ""))
    fitting = [family for family in FAMILIES.values() if pipeline in family.pipeline_classes]
    if not fitting:
        known = ", ".join(sorted({family.pipeline_classes[0] for family in FAMILIES.values()}))
        raise ModelError(
            f"{path} is of an unknown architecture: a {pipeline or 'nameless pipeline'}; known: {known}"
        )
    if len(fitting) == 1:
        return fitting[0]
    unet = folders.read_json(path / fitting[0].denoiser.component / "config.json")
    encoder = folders.read_json(path / fitting[0].encoders[0].component / "config.json")
    by_width = [family for family in fitting if unet.get("cross_attention_dim") == family.width]
    act = encoder.get("hidden_act", "quick_gelu")
    by_act = [family for family in fitting if act == family.hidden_act]
    return (by_width or by_act or fitting)[0]


def _check_folder_denoiser(path: Path, config: Mapping[str, Any], denoiser: Denoiser) -> None:
    kind = denoiser.kind.rpartition(".")[2]
    place = f"{path}/{denoiser.component}"
    if config.get("_class_name", kind) != kind:
        raise ModelError(f"{place} is a {config['_class_name']}, not a {kind}")
    if config.get("in_channels", 4) != config.get("out_channels", 4):
        raise ModelError(
            f"{place} takes {config['in_channels']} channels and gives {config.get('out_channels', 4)}: "
            "an inpainting, editing or depth model; give the plain one"
        )


def _refuse_folder(path: Path) -> None:
    if (path / "config.json").is_file():
        config = folders.read_json(path / "config.json")
        part = config.get("_class_name") or ", ".join(config.get("architectures") or []) or "single component"
        raise ModelError(
            f"{path} is one component ({part}), not a model; give the folder above it, with model_index.json"
        )
    found = [file.name for file in path.iterdir() if file.suffix.lower() in _SUFFIXES]
    way_out = f"; did you mean {path / found[0]}?" if found else ""
    raise ModelError(
        f"{path} has no model_index.json, so it is no diffusers model; it holds {listing(path)}{way_out}"
    )
