"""Previews as PNG files that carry their settings in the text chunk which A1111-family tools read."""

import json
import re
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lora_lab.files import replacing


def parameters_text(prompt: str, negative_prompt: str, lora: str, settings: dict[str, object]) -> str:
    """The 'parameters' text as A1111 writes it: prompt, negative prompt, then 'Key: value' pairs.

    Args:
        prompt: What was rendered, as plain words.
        negative_prompt: Likewise; may be empty.
        lora: `name:strength` of the LoRA, or '' for the bare base model.
        settings: Such as Steps, Sampler, CFG scale, Seed, Size, Model, Clip skip.
    """
    # In front: infinite-image-browsing loses the words that stand before it and after the last comma, and a
    # comma more would be one token more.
    lines = [f"<lora:{lora}> {plain_words(prompt)}" if lora else plain_words(prompt)]
    if negative_prompt:
        lines.append(f"Negative prompt: {plain_words(negative_prompt)}")
    lines.append(", ".join(f"{key}: {_quoted(value)}" for key, value in settings.items()))
    return "\n".join(lines)


def plain_words(prompt: str) -> str:
    """A prompt so that A1111 reads its words as they are: no weights, no networks, no schedules, one line.

    CLIP's tokens stay the same: it puts words in lower case, and splits signs from letters itself.
    """
    text = re.sub(r"[\\()\[\]]", r"\\\g<0>", " ".join(prompt.split()))
    text = re.sub(r"<(?=\w+:)", "< ", text)
    return re.sub(r"\b(?:AND|BREAK)\b", lambda word: word[0].lower(), text)


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
