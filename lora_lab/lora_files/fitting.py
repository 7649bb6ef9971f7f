"""The modules of a file under the names that a base model's modules have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lora_lab.errors import ModelError
from lora_lab.lora_files.module_names import other_paths
from lora_lab.lora_files.reading import LoraFile, Module
from lora_lab.lora_files.unified_names import unified


def fitted(file: LoraFile, paths: Mapping[str, str], family: str, unet: Any = None) -> dict[str, Module]:
    """A file's modules by the names of a base model; what it lacks keeps the file's name.

    Args:
        file: Any spelling.
        paths: File name of each module of the base model, to its path as in `named_modules()`.
        family: The base model's.
        unet: Its U-Net, by whose blocks files with the original's names are numbered.

    Raises:
        ModelError: Two modules of the file are one of the base model.
    """
    aliases = _aliases(paths)
    aliases |= {f"lora_unet_{path}": name for path, name in other_paths(unet, paths).items()}
    found: dict[str, Module] = {}
    for module in file.modules.values():
        spellings = (module.spelled, module.name, unified(module.spelled, family))
        names = (name if name in paths else aliases.get(name) for name in spellings)
        name = next((name for name in names if name), module.name)
        if name in found:
            raise ModelError(f"{file.path} is damaged or mixed: it has {name} twice, in two spellings")
        found[name] = module
    return found


def _aliases(paths: Mapping[str, str]) -> dict[str, str]:
    """Other names of the same modules: underscored diffusers paths."""
    aliases = {}
    for name, path in paths.items():
        prefix = re.match(r"lora_(unet|te1|te2|te)_", name)
        is_text = prefix is not None and prefix[1] != "unet"
        inner = f"text_model.{path}" if is_text and not path.startswith("text_model.") else path
        part = {"te": "te1"}.get(prefix[1], prefix[1]) if prefix else "unet"
        underscored = inner.replace(".", "_")
        aliases[f"lora_{part}_{underscored}"] = name
        aliases[f"lora_{part}_{underscored.removeprefix('text_model_')}"] = name
    return aliases
