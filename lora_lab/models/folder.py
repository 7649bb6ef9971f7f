"""A diffusers model folder as files: which component lies where, by headers only and without torch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_lab.errors import ModelError, broken_at
from lora_lab.models.weight_headers import listing, read_header, refuse_non_weights

_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_VARIANTS = ("", ".fp16", ".bf16", ".fp32", ".non_ema")
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)


@dataclass(frozen=True)
class Component:
    """A part of a model folder that has weights."""

    config: dict[str, Any]
    config_file: Path
    weights: tuple[Path, ...]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        ModelError: The file is missing, unreadable, or holds something else.
    """
    refuse_non_weights(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not readable JSON ({broken_at(error)})") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds a {type(value).__name__}, not a JSON object")
    return value


def component(folder: Path, name: str) -> Component:
    """The config and weight files of `folder/name`; `name` may be "." for a component's own folder.

    Raises:
        ModelError: The config or the weights are missing.
    """
    place = folder / name
    if not place.is_dir():
        raise ModelError(f"{folder} has no {name}/ folder; it holds {listing(folder)}")
    config_file = place / "config.json"
    config = read_json(config_file)
    return Component(config, config_file, _weights(place))


def _weights(place: Path) -> tuple[Path, ...]:
    for extension in (".safetensors", ".bin"):
        for variant in _VARIANTS:
            for stem in _STEMS:
                single = place / f"{stem}{variant}{extension}"
                index = place / f"{stem}{extension}.index{variant}.json"
                if single.is_file():
                    return (single,)
                if index.is_file():
                    return _shards(index)
    raise ModelError(f"{place} has no weights (such as {_STEMS[0]}.safetensors); it holds {listing(place)}")


def _shards(index: Path) -> tuple[Path, ...]:
    parts = read_json(index).get("weight_map")
    if not isinstance(parts, dict) or not parts:
        raise ModelError(f"{index} has no weight_map")
    files = tuple(index.parent / Path(str(name)).name for name in sorted(set(map(str, parts.values()))))
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ModelError(
            f"{index.parent} lacks {', '.join(missing)}, which {index.name} names; fetch the rest"
        )
    return files


def check_weights(part: Component) -> None:
    """Refuse missing, empty, truncated or pointer files among a component's weights, by their headers."""
    for file in part.weights:
        if file.suffix == ".safetensors":
            read_header(file)
        else:
            refuse_non_weights(file)


def tokenizer_files(folder: Path, name: str) -> list[Path]:
    """The files of a tokenizer that decide its ids; empty when the folder brings no vocabulary."""
    files = [folder / name / file for file in _TOKENIZER_FILES]
    found = [file for file in files if file.is_file()]
    vocabulary = {"tokenizer.json", "vocab.json"} & {file.name for file in found}
    return found if vocabulary else []


def scheduler_file(folder: Path) -> Path:
    """Where a model folder keeps its noise schedule."""
    return folder / "scheduler" / "scheduler_config.json"
