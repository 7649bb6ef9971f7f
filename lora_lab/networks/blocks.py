"""Learning rates by U-Net block, as sd-scripts counts the blocks and reads their weights. Without torch."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from lora_lab.errors import ConfigError
from lora_lab.models.families import FAMILIES

_SHAPES: dict[str, Callable[[float], float]] = {
    "cosine": lambda place: math.sin(math.pi * (1 - place) / 2),
    "sine": lambda place: math.sin(math.pi * place / 2),
    "linear": lambda place: place,
    "reverse_linear": lambda place: 1 - place,
    "zeros": lambda place: 0.0,
}
_SD_BLOCK = re.compile(r"(up|down)_blocks_(\d+)_(resnets|upsamplers|downsamplers|attentions)_(\d+)_")
_SGM_BLOCK = re.compile(r"lora_unet_(input_blocks|middle_block|output_blocks)_(\d+)")


def block_weights(
    family: str, down: str, mid: str, up: str, zero_threshold: float
) -> tuple[float, ...] | None:
    """The weights of all blocks of a family, down to up; None where nothing is asked for.

    Each text has one number for every block, separated by commas (an empty one is 0), or names a course:
    cosine, sine, linear, reverse_linear, zeros, and `name+0.25` adds 0.25 to it. Without text it is 1
    everywhere. Weights up to `zero_threshold` are 0.

    Raises:
        ConfigError: A text is neither, or has another number of blocks, or the family has none.
    """
    if not (down or mid or up):
        return None
    found: list[float] = []
    counts = FAMILIES[family].denoiser.blocks
    if counts is None:
        raise ConfigError(
            f"network.down_lr_weight, mid_lr_weight, up_lr_weight: {FAMILIES[family].title} has no down, mid "
            "and up blocks; leave them empty"
        )
    for name, text, count in zip(("down", "mid", "up"), (down, mid, up), counts, strict=True):
        found += _read(name, text, count) if text else [1.0] * count
    return tuple(weight if weight > zero_threshold else 0.0 for weight in found)


def _read(name: str, text: str, count: int) -> list[float]:
    course, _, base = text.replace(" ", "").partition("+")
    try:
        if course in _SHAPES and name != "mid":
            return [_SHAPES[course](i / (count - 1)) + float(base or 0) for i in range(count)]
        numbers = [float(part or 0) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(0 <= number < math.inf for number in numbers):
        courses = "" if name == "mid" else f", or one of {', '.join(_SHAPES)}"
        raise ConfigError(
            f"network.{name}_lr_weight={text!r} must be {count} numbers of at least 0, separated by "
            f"commas{courses}"
        )
    return numbers


def by_part(weights: tuple[float, ...]) -> list[tuple[str, tuple[float, ...]]]:
    """What `block_weights` gave, as ("down" | "mid" | "up", weights)."""
    down, _, up = _counts(len(weights))
    return [("down", weights[:down]), ("mid", weights[down:-up]), ("up", weights[-up:])]


def weight_of(name: str, weights: tuple[float, ...] | None) -> float:
    """The weight of a module by its name in files; 1 outside of the U-Net's blocks."""
    if weights is None:
        return 1.0
    index = block_index(name, _counts(len(weights)))
    return 1.0 if index is None else weights[index]


def _counts(total: int) -> tuple[int, int, int]:
    """Down, mid and up blocks of the families that have so many."""
    known = {family.denoiser.blocks for family in FAMILIES.values()}
    return next(counts for counts in known if counts and sum(counts) == total)


def block_index(name: str, counts: tuple[int, int, int]) -> int | None:
    """The place of a U-Net module's weight, from its name in files; None outside of the blocks.

    SD 1.x and 2.x: block i has 3 places, for its resnets with attentions and its sampler; place 0 is
    `conv_in`, which has no such name. SDXL: the original's input, middle and output blocks.
    """
    down, mid, _ = counts
    if found := _SGM_BLOCK.match(name):
        start = {"input_blocks": 0, "middle_block": down, "output_blocks": down + mid}[found[1]]
        return start + int(found[2])
    if not name.startswith("lora_unet_"):
        return None
    if found := _SD_BLOCK.search(name):
        place = 3 * int(found[2]) + (2 if found[3].endswith("samplers") else int(found[4]))
        return place + (1 if found[1] == "down" else down + mid)
    return down if "mid_block_" in name else None
