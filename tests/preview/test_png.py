"""The text chunk that other programs read."""

from pathlib import Path

import pytest
from PIL import Image

from lora_lab.preview import parameters_text, save_png


@pytest.mark.parametrize("prompt", ["a girl, café", "少女、笑顔 😀", "line\nbreak"])
def test_text_survives_the_file(tmp_path: Path, prompt: str) -> None:
    text = parameters_text(prompt, "плохо", "run-000001:0.8", {"Steps": 20, "Seed": 3})
    save_png(Image.new("RGB", (8, 8)), tmp_path / "a.png", text)
    assert Image.open(tmp_path / "a.png").info["parameters"] == text
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_the_form_is_a1111s() -> None:
    text = parameters_text("a cat", "bad", "x-000001:1", {"Steps": 20, "Model": "a, b: c", "Size": "8x8"})
    assert text == '<lora:x-000001:1> a cat\nNegative prompt: bad\nSteps: 20, Model: "a, b: c", Size: 8x8'
    assert parameters_text("a cat", "", "", {"Seed": 1}) == "a cat\nSeed: 1"
