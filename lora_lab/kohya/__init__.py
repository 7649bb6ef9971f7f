"""What kohya_ss and sd-scripts write down about a training, as settings of ours. Without torch."""

from lora_lab.kohya.convert import Imported, convert
from lora_lab.kohya.entries import read
from lora_lab.kohya.lines import Line
from lora_lab.kohya.recipe import recipe_text

__all__ = ["Imported", "Line", "convert", "read", "recipe_text"]
