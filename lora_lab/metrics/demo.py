"""The demo's own metric."""

from __future__ import annotations

from PIL import Image


def likeness(image: Image.Image, _base: Image.Image | None) -> dict[str, float | None]:
    """How much of the demo's character is in an image, from 0 to 100."""
    from lora_lab.demo.likeness import score

    return {"likeness": score([image])}
