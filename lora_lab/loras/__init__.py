"""LoRA files of any origin: what they are, and algebra on them.

`lora_lab.loras.extract` and `lora_lab.loras.bake` work with base models, and need diffusers to be imported;
the rest does not.
"""

from lora_lab.lora_files.reading import LoraFile, read
from lora_lab.loras.info import Info, info
from lora_lab.loras.merge import Result, merge, svd_merge
from lora_lab.loras.ranks import Ranks
from lora_lab.loras.resize import resize
from lora_lab.loras.writing import Making, check_output, save

__all__ = [
    "Info",
    "LoraFile",
    "Making",
    "Ranks",
    "Result",
    "check_output",
    "info",
    "merge",
    "read",
    "resize",
    "save",
    "svd_merge",
]
