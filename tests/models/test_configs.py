"""The shipped configs describe the published models, and name tensors as published checkpoints do."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders import single_file_utils as library

from lora_lab.models import loading
from lora_lab.models.families import FAMILIES
from lora_lab.models.family import Denoiser
from lora_lab.models.networks import make_clip, make_denoiser, make_vae, schedule
from lora_lab.models.single_file import unet_name, unet_sources

CONFIGS = Path(loading.__file__).parent / "configs"
GOLDEN_NAMES = Path(__file__).parents[1] / "golden" / "names"
UNET_PARAMETERS = {"sd1": 859_520_964, "sd2": 865_910_724, "sd2v": 865_910_724, "sdxl": 2_567_463_684}
ENCODER_PARAMETERS = {
    ("sd1", "text_encoder"): 123_060_480,
    ("sd2", "text_encoder"): 340_387_840,
    ("sd2v", "text_encoder"): 340_387_840,
    ("sdxl", "text_encoder"): 123_060_480,
    ("sdxl", "text_encoder_2"): 694_659_840,
}
VAE_PARAMETERS = 83_653_863


def config(name: str, component: str) -> dict[str, Any]:
    return json.loads((CONFIGS / name / component / "config.json").read_text())


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", UNET_PARAMETERS)
def test_unet_and_vae_have_the_published_sizes(name: str) -> None:
    assert parameters(make_denoiser(Denoiser(), config(name, "unet"))) == UNET_PARAMETERS[name]
    assert parameters(make_vae(config(name, "vae"))) == VAE_PARAMETERS


@pytest.mark.parametrize(("name", "component"), ENCODER_PARAMETERS)
def test_text_encoders_have_the_published_sizes(name: str, component: str) -> None:
    encoder = make_clip(config(name, component), with_projection=component == "text_encoder_2")
    assert parameters(encoder) == ENCODER_PARAMETERS[name, component]


def test_every_family_has_its_configs() -> None:
    for family in FAMILIES.values():
        for prediction, name in family.configs.items():
            assert config(name, "unet")["cross_attention_dim"] == family.width
            assert config(name, family.encoders[0].component)["hidden_act"] == family.hidden_act
            stated = json.loads((CONFIGS / name / "scheduler" / "scheduler_config.json").read_text())
            assert schedule(stated).shape == (1000,)
            assert stated["prediction_type"] == prediction or len(set(family.configs.values())) == 1


@pytest.mark.parametrize("name", ["sd1", "sd2", "sdxl"])
def test_full_size_unet_names_are_those_the_library_knows(name: str) -> None:
    """The library's converter puts each tensor of a published checkpoint where ours comes from."""
    unet = make_denoiser(Denoiser(), config(name, "unet"))
    sources = unet_sources(unet.state_dict(), unet.config)
    content = {sources[key][0]: tensor for key, tensor in unet.state_dict().items()}
    assert len(content) == len(sources)
    converted = library.convert_ldm_unet_checkpoint(dict(content), config=dict(unet.config))
    assert set(converted) == set(sources)
    assert all(converted[key] is content[source] for key, (source, _) in sources.items())


def test_sdxl_names_are_the_references() -> None:
    """Against the reference's map of all its LoRA targets, which flattens the dots of the same names."""
    golden = json.loads((GOLDEN_NAMES / "sdxl_diffusers_to_sai.json").read_text())["map"]
    assert len(golden) == 788
    for module, flat in golden.items():
        name = unet_name(f"{module}.weight", 2, {0, 1}).removesuffix(".weight")
        assert f"lora_unet_{name.replace('.', '_')}" == flat
