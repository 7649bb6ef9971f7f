"""Base models: what a file is (without torch), and loading, prompts, prediction and images (with torch).

What needs torch is imported on first use, so that planning can import this package without it.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lora_lab.models.content_hash import identity
from lora_lab.models.identify import ModelFile, identify, locate

if TYPE_CHECKING:
    from lora_lab.models.base import (
        BaseModel,
        TextStates,
        decode,
        encode_images,
        predict,
        scale,
        set_gradient_checkpointing,
        to_cpu,
    )
    from lora_lab.models.compressed import compress
    from lora_lab.models.loading import load
    from lora_lab.models.pipelines import pipeline, save_folder
    from lora_lab.models.single_file import save_single_file
    from lora_lab.models.text import encode_captions, encode_text, tokenize, tokenize_weighted

# diffusers imports bitsandbytes, which tells of a kernel for 4-bit products that it does without.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

_NEED_TORCH = {
    "BaseModel": "base",
    "TextStates": "base",
    "compress": "compressed",
    "decode": "base",
    "encode_images": "base",
    "encode_captions": "text",
    "encode_text": "text",
    "load": "loading",
    "pipeline": "pipelines",
    "predict": "base",
    "save_folder": "pipelines",
    "save_single_file": "single_file",
    "scale": "base",
    "set_gradient_checkpointing": "base",
    "to_cpu": "base",
    "tokenize": "text",
    "tokenize_weighted": "text",
}

__all__ = [
    "BaseModel",
    "ModelFile",
    "TextStates",
    "compress",
    "decode",
    "encode_captions",
    "encode_images",
    "encode_text",
    "identify",
    "identity",
    "load",
    "locate",
    "pipeline",
    "predict",
    "save_folder",
    "save_single_file",
    "scale",
    "set_gradient_checkpointing",
    "to_cpu",
    "tokenize",
    "tokenize_weighted",
]


def __getattr__(name: str) -> Any:
    if name not in _NEED_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_NEED_TORCH[name]}"), name)
