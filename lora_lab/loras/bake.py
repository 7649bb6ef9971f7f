"""A LoRA put into a base model for good: a new model of the same form and precision."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from lora_lab.counts import counted
from lora_lab.errors import ConfigError, ModelError
from lora_lab.files import replacing, unwritable
from lora_lab.lora_files import module_names
from lora_lab.lora_files.fitting import fitted
from lora_lab.lora_files.reading import LoraFile, Module
from lora_lab.loras.rewriting import Change, rewrite
from lora_lab.loras.writing import MADE, Making, record
from lora_lab.models import identify
from lora_lab.models.families import FAMILIES
from lora_lab.models.folder import read_json
from lora_lab.models.identify import ModelFile
from lora_lab.models.lora_family import UNKNOWN
from lora_lab.models.parts import Part, parts
from lora_lab.models.weights import open_tensors
from lora_lab.networks.merging import difference, has_weight, misfit, refuse_unmerged

_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".ckpt", ".msgpack", ".onnx", ".index.json", ".h5")


@dataclass(frozen=True)
class Place:
    """Where a module's weight stands in a model."""

    part: Part
    path: str


def bake(base: str | Path, file: LoraFile, output: Path, ratios: tuple[float, float], force: bool) -> int:
    """Write `base` with a LoRA added; returns how many modules were changed.

    The output is a folder for a diffusers folder, else one `.safetensors` file, with every tensor in the
    type that it had. DoRA, LoHa, LoKr and full weight differences are baked, too.

    Args:
        ratios: For the U-Net and for the text encoders; 0 leaves that part as it is.

    Raises:
        ModelError: The base cannot be read, or the LoRA does not fit it.
        RunFolderError: The output cannot be written.
    """
    if not all(ratio - ratio == 0 for ratio in ratios):
        raise ConfigError(f"--ratio must be a finite number, got {ratios[0]:g} and {ratios[1]:g}")
    model = identify(base)
    changes, count = _changes(model, file, ratios)
    making = Making("bake", [file], {"base": model.path.name, "ratio": ratios[0], "te_ratio": ratios[1]})
    metadata = {MADE: json.dumps(record(making)), "modelspec.merged_from": file.path.stem}
    if model.kind != "diffusers":
        with replacing(output) as temporary:
            rewrite(model.path, temporary, changes.get(model.path, {}), metadata)
        return count
    with _replacing_folder(output, force) as temporary:
        _copy_folder(model.path, temporary, changes, metadata)
    return count


def _copy_folder(
    source: Path, place: Path, changes: Mapping[Path, Mapping[str, Change]], metadata: Mapping[str, str]
) -> None:
    touched = {file.parent for file in changes}

    def skipped(folder: str, entries: list[str]) -> list[str]:
        own = Path(folder) in touched
        return [name for name in entries if own and name.endswith(_WEIGHT_SUFFIXES)]

    shutil.copytree(source, place, dirs_exist_ok=True, ignore=skipped)
    for file, wanted in changes.items():
        rewrite(file, place / file.relative_to(source).with_name(_safe_name(file.name)), wanted)
    for index in (item for folder in touched for item in folder.glob("*.index*.json")):
        content = read_json(index)
        shards = content.get("weight_map")
        if isinstance(shards, dict) and {index.parent / str(name) for name in shards.values()} <= set(
            changes
        ):
            content["weight_map"] = {key: _safe_name(str(name)) for key, name in shards.items()}
            name = index.name.replace(".bin.", ".safetensors.")
            name = "model" + name.removeprefix("pytorch_model") if name.startswith("pytorch_model") else name
            (place / index.relative_to(source).with_name(name)).write_text(json.dumps(content, indent=1))
    (place / "lora_lab.json").write_text(json.dumps(metadata, indent=1) + "\n", encoding="utf-8")


def _safe_name(name: str) -> str:
    """A weight file's name as safetensors, where the libraries look for it."""
    stem, _, kind = name.rpartition(".")
    if kind == "safetensors":
        return name
    stem = "model" + stem.removeprefix("pytorch_model") if stem.startswith("pytorch_model") else stem
    return f"{stem}.safetensors"


@contextmanager
def _replacing_folder(path: Path, force: bool) -> Iterator[Path]:
    """Give a folder beside `path` to fill; it takes the place of `path` when it is complete."""
    temporary = old = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        temporary.chmod(0o755)
        yield temporary
        if path.exists() and force:
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
            os.replace(path, old / path.name)
        os.rename(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        for leftover in (temporary, old):
            if leftover is not None:
                shutil.rmtree(leftover, ignore_errors=True)


def _changes(
    model: ModelFile, file: LoraFile, ratios: tuple[float, float]
) -> tuple[dict[Path, dict[str, Change]], int]:
    """Per weight file and tensor, how it changes; and how many modules act."""
    if file.family not in (UNKNOWN, model.family):
        titles = [FAMILIES[family].title for family in (file.family, model.family)]
        raise ModelError(f"{file.path} is for {titles[0]}, but {model.path} is {titles[1]}")
    found = parts(model)
    places = _places(found, model.family)
    modules = fitted(
        file, {name: place.path for name, place in places.items()}, model.family, found[0].network
    )
    _check(file, modules, places, model)
    changes: dict[Path, dict[str, list[Change]]] = {}
    count = 0
    for part in found:  # also parts that stay as they are: their files are copied
        for path in part.files:
            changes.setdefault(path, {})
    holders = {part.name: _holders(part) for part in found}
    for name, module in modules.items():
        place = places[name]
        ratio = ratios[0] if place.part.name == "unet" else ratios[1]
        if ratio == 0:
            continue
        count += 1
        for leaf, change in _module_changes(module, ratio):
            tensor, wrapped = _wrapped(place.part, f"{place.path}.{leaf}", change)
            changes[holders[place.part.name][tensor]].setdefault(tensor, []).append(wrapped)
    chained: dict[Path, dict[str, Change]] = {
        path: {name: partial(_chain, all_of) for name, all_of in own.items()} for path, own in changes.items()
    }
    return chained, count


def _chain(changes: list[Change], tensor: Tensor) -> Tensor:
    """All changes of a tensor that several modules share (fused projections), in float32."""
    for change in changes:
        tensor = change(tensor)
    return tensor


def _holders(part: Part) -> dict[str, Path]:
    """Which file of a part holds a tensor."""
    found = {}
    for path in part.files:
        with open_tensors([path], path) as tensors:
            found.update(dict.fromkeys(tensors.names, path))
    return found


def _places(found: list[Part], family: str) -> dict[str, Place]:
    """Every linear layer and convolution of a model, by kohya's name."""
    places: dict[str, Place] = {}
    blocks = module_names.original_blocks(found[0].network, family)
    for part in found:
        for path, module in part.network.named_modules():
            if not isinstance(module, (nn.Linear, nn.Conv2d)):
                continue
            if part.name == "unet":
                name = module_names.unet_name(path, family, blocks)
            else:
                name = module_names.text_encoder_name(path, int(part.name[2]) - 1, family)
            places[name] = Place(part, path)
    return places


def _check(
    file: LoraFile, modules: Mapping[str, Module], places: Mapping[str, Place], model: ModelFile
) -> None:
    refuse_unmerged(file)
    unknown = [name for name in modules if name not in places]
    if unknown:
        raise ModelError(
            f"{file.path} does not fit {model.path}: {len(unknown)} of "
            f"{counted(len(modules), 'module is', 'modules are')} not in it "
            f"({', '.join(unknown[:3])})"
        )


def _module_changes(module: Module, ratio: float) -> Iterator[tuple[str, Change]]:
    if has_weight(module.leaves):
        yield "weight", partial(baked, module, ratio)
    if "diff_b" in module.leaves:
        difference = module.leaves["diff_b"].float() * ratio
        yield "bias", lambda bias: bias.float() + difference.reshape(bias.shape)


def baked(module: Module, ratio: float, weight: Tensor) -> Tensor:
    """A weight with a module added at `ratio`, float32; DoRA goes that part of the way from the weight.

    Raises:
        ModelError: The module's size is not the weight's.
    """
    start = weight.float()
    try:
        found = difference(start.reshape(*start.shape[:2], -1), module.leaves).reshape(start.shape)
    except (KeyError, ValueError, RuntimeError, IndexError):
        raise ModelError(misfit(module.name, module.leaves, tuple(weight.shape))) from None
    return start + found * ratio


def _wrapped(part: Part, key: str, change: Change) -> tuple[str, Change]:
    """(tensor in the file, its change) of a parameter: fused projections change in their own third."""
    if key not in part.sources:
        raise ModelError(f"the base model has no {part.name} {key}, which the LoRA changes")
    tensor, slicing = part.sources[key]
    if slicing is None:
        shape = part.network.get_parameter(key).shape
        return tensor, lambda whole: change(whole.reshape(shape)).reshape(whole.shape)
    return tensor, partial(_in_slice, slicing, change)


def _in_slice(slicing: Callable[[Tensor], Tensor], change: Change, whole: Tensor) -> Tensor:
    """A view of the whole is replaced by its change."""
    result = whole.float().clone()
    view = slicing(result)
    view.copy_(change(view.clone()))
    return result
