"""Fixed prompts x seeds x strengths to images, for any number of adapters in one batch."""

from lora_lab.preview.png import parameters_text, save_png
from lora_lab.preview.render import RenderSettings, Shot, render

__all__ = ["RenderSettings", "Shot", "parameters_text", "render", "save_png"]
