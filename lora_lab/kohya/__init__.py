"""What kohya_ss and sd-scripts write down about a training, as settings of ours. Without torch."""

from lora_lab.kohya.arguments import Arguments, arguments, toml_text
from lora_lab.kohya.convert import Imported, convert
from lora_lab.kohya.entries import read
from lora_lab.kohya.lines import Line
from lora_lab.kohya.recipe import recipe_text

__all__ = ["Arguments", "Imported", "Line", "arguments", "convert", "read", "recipe_text", "toml_text"]
