"""U-Nets with other numbers of transformers than the public model's, such as SSD-1B. Without torch.

SSD-1B and its kin are SDXL with layers taken out; their single files do not say so, but their names do.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lora_lab.models.identify import UNET_PREFIX

_TRANSFORMER = re.compile(
    re.escape(UNET_PREFIX)
    + r"(?:(?P<part>input_blocks|output_blocks)\.(?P<block>\d+)|(?P<middle>middle_block))\.1\."
    r"transformer_blocks\.(?P<number>\d+)\."
)


def sized(config: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """A U-Net's config with as many transformers in each block as a single file has.

    Args:
        config: The public model's, for `UNet2DConditionModel`.
        names: Of the file's tensors. A file without transformers leaves the config as it is.
    """
    names = list(names)
    depths = _depths(names)
    same, layers = dict(config), config["layers_per_block"]
    if not depths or not isinstance(layers, int):
        return same
    levels = range(len(config["block_out_channels"]))
    downs = [
        [depths.get(("input_blocks", 1 + level * (layers + 1) + n), 0) for n in range(layers)]
        for level in levels
    ]
    ups = [
        [depths.get(("output_blocks", level * (layers + 1) + n), 0) for n in range(layers + 1)]
        for level in levels
    ]
    middle = depths.get(("middle_block", 0), 0)
    public = config.get("transformer_layers_per_block", 1)
    expected = public if isinstance(public, list) else [public] * len(levels)
    found = {depth for level, own in enumerate(downs) for depth in own if depth != expected[level]} - {0}
    found |= {depth for level, own in enumerate(ups[::-1]) for depth in own if depth != expected[level]} - {0}
    if not found and middle == expected[-1]:
        return same
    same["transformer_layers_per_block"] = [[depth or 1 for depth in own] for own in downs]
    same["reverse_transformer_layers_per_block"] = [[depth or 1 for depth in own] for own in ups]
    if not middle:
        same["mid_block_type"] = "UNetMidBlock2D"
    return same


def _depths(names: Iterable[str]) -> dict[tuple[str, int], int]:
    """Transformers of each block of the original's naming that has any."""
    found: dict[tuple[str, int], int] = {}
    for name in names:
        if match := _TRANSFORMER.match(name):
            place = match["part"] or match["middle"], int(match["block"] or 0)
            found[place] = max(found.get(place, 0), int(match["number"]) + 1)
    return found
