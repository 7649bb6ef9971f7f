"""SSD-1B and its kin: SDXL with layers taken out, told by the names of a single file alone."""

import json
import struct
from pathlib import Path

import pytest

from lora_lab import models
from lora_lab.models.families import FAMILIES
from lora_lab.models.identify import UNET_PREFIX
from lora_lab.models.networks import make_denoiser
from lora_lab.models.single_file import unet_sources
from lora_lab.models.unet_sizes import sized

CONFIGS = Path(models.__file__).parent / "configs"
KIN = {
    "SSD-1B": ({4: 2, 5: 2, 7: 4, 8: 4}, {0: 4, 1: 4, 2: 10, 3: 2, 4: 1, 5: 1}),
    "Segmind Vega": ({4: 1, 5: 1, 7: 2, 8: 2}, {0: 2, 1: 2, 2: 2, 3: 1, 4: 1, 5: 1}),
}
"""Transformers of each input and output block of the original's numbering; the middle has one resnet only."""


def public(family: str) -> dict:
    return json.loads((CONFIGS / family / "unet" / "config.json").read_text())


def names(config: dict) -> set[str]:
    unet = make_denoiser(FAMILIES["sdxl"].denoiser, config)
    return {name for name, _ in unet_sources(unet.state_dict(), unet.config).values()}


def taken_out(all_of: set[str], depths: dict[str, dict[int, int]]) -> set[str]:
    """SDXL's names without what is deeper, and without the middle's attention and second resnet."""
    kept = set()
    for name in all_of:
        part, number, *rest = name.removeprefix(UNET_PREFIX).split(".")
        if part == "middle_block" and number != "0":
            continue
        deep = depths.get(part, {}).get(int(number)) if number.isdigit() else None
        if (
            deep is None
            or "transformer_blocks" not in rest
            or int(rest[rest.index("transformer_blocks") + 1]) < deep
        ):
            kept.add(name)
    return kept


@pytest.mark.parametrize("model", KIN)
def test_the_names_give_the_network(model: str) -> None:
    inputs, outputs = KIN[model]
    held = taken_out(names(public("sdxl")), {"input_blocks": inputs, "output_blocks": outputs})
    if model == "SSD-1B":  # its third output block is as deep as SDXL's
        assert UNET_PREFIX + "output_blocks.2.1.transformer_blocks.9.norm1.weight" in held
    assert names(sized(public("sdxl"), held)) == held
    assert len(held) < len(names(public("sdxl")))


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_public_models_stay_as_they_are(family: str) -> None:
    config = public(family)
    assert sized(config, names(config)) == config
    assert sized(config, []) == config


@pytest.mark.parametrize("model", KIN)
def test_a_file_of_it_is_identified_as_sdxl(model: str, tmp_path: Path) -> None:
    inputs, outputs = KIN[model]
    held = taken_out(names(public("sdxl")), {"input_blocks": inputs, "output_blocks": outputs})
    shapes = {name: [1] for name in held} | {
        f"{UNET_PREFIX}input_blocks.0.0.weight": [320, 4, 3, 3],
        "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight": [768],
        "conditioner.embedders.1.model.ln_final.weight": [1280],
        "first_stage_model.encoder.conv_in.weight": [1],
    }
    shapes |= {name: [1, 2048] for name in held if name.endswith("attn2.to_k.weight")}
    entries, at = {}, 0
    for name, shape in sorted(shapes.items()):
        size = 2
        for side in shape:
            size *= side
        entries[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(entries).encode()
    path = tmp_path / "ssd.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)
    found = models.identify(path)
    assert (found.family, found.kind) == ("sdxl", "safetensors")
