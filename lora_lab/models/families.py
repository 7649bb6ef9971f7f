"""The registry of base-model families."""

from lora_lab.models import sd1, sd2, sdxl
from lora_lab.models.family import Family

FAMILIES: dict[str, Family] = {
    "sd1": sd1.FAMILY,
    "sd2": sd2.FAMILY,
    "sdxl": sdxl.FAMILY,
}
