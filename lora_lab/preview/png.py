"""Previews as PNG files that carry their settings in the text chunk which A1111-family tools read."""

import json
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lora_lab.files import replacing


def parameters_text(prompt: str, negative_prompt: str, lora: str, settings: dict[str, object]) -> str:
    """The 'parameters' text as A1111 writes it: prompt, negative prompt, then 'Key: value' pairs.

    Args:
        prompt: What was rendered.
        negative_prompt: May be empty.
        lora: `name:strength` of the LoRA, or '' for the bare base model.
        settings: Such as Steps, Sampler, CFG scale, Seed, Size, Model, Clip skip.
    """
    lines = [f"{prompt} <lora:{lora}>" if lora else prompt]
    if negative_prompt:
        lines.append(f"Negative prompt: {negative_prompt}")
    lines.append(", ".join(f"{key}: {_quoted(value)}" for key, value in settings.items()))
    return "\n".join(lines)


def _quoted(value: object) -> str:
    # Where a value holds what separates values, A1111 writes it as a JSON string.
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ",:\n") else text


def save_png(image: Image.Image, path: Path, parameters: str) -> None:
    """Write a PNG with its `parameters` text, atomically."""
    info = PngInfo()
    # A tEXt chunk holds Latin-1 only; other text goes to iTXt, which the same readers know.
    try:
        parameters.encode("latin-1")
        info.add_text("parameters", parameters)
    except UnicodeEncodeError:
        info.add_itxt("parameters", parameters)
    with replacing(path) as temporary:
        image.save(temporary, "PNG", pnginfo=info)
