"""Names, counts and shapes against those of sd-scripts and LyCORIS, on full-size models without weights."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from lora_lab.lora_files import module_names
from lora_lab.networks.flat_parameters import plan_layout
from lora_lab.networks.spec import PRESETS, AdapterSpec
from lora_lab.networks.targets import find_targets

GOLDEN = Path(__file__).parents[1] / "golden" / "names"
BY_PRESET = json.loads((GOLDEN / "presets.json").read_text())


@pytest.fixture(scope="module")
def bases():
    with torch.device("meta"):
        clip_l = CLIPTextModel(_clip(768, 12, 12))
        sd1 = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        sdxl = UNet2DConditionModel(
            block_out_channels=(320, 640, 1280),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=[1, 2, 10],
            attention_head_dim=[5, 10, 20],
            cross_attention_dim=2048,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
        )
        clip_g = CLIPTextModelWithProjection(_clip(1280, 32, 20))
    return {"sd15": (sd1, [clip_l], "sd1"), "sdxl": (sdxl, [clip_l, clip_g], "sdxl")}


def _clip(width, layers, heads):
    return CLIPTextConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=heads
    )


def _spec(label: str) -> AdapterSpec:
    if "lycoris" in label:
        return AdapterSpec(8, 4, preset=label.split()[-1])
    return AdapterSpec(8, 4, conv_dim=16 if "LoCon" in label else 0)


@pytest.mark.parametrize("label", BY_PRESET)
def test_preset_has_the_peers_modules(bases, label):
    found = [target.name for target in find_targets(*bases[label.split()[0]], _spec(label))]
    assert len(found) == len(set(found))
    assert set(found) == set(BY_PRESET[label])


def test_every_preset_is_covered():
    assert {"kohya", *(label.split()[-1] for label in BY_PRESET if "lycoris" in label)} == set(PRESETS)


@pytest.mark.parametrize("base", ["sd15", "sdxl"])
@pytest.mark.parametrize(
    "variant, spec",
    [
        ("kohya", AdapterSpec(8, 4)),
        ("kohya.conv4", AdapterSpec(8, 4, conv_dim=4, conv_alpha=2)),
        ("lycoris.conv4", AdapterSpec(8, 4, conv_dim=4, conv_alpha=2, preset="full")),
    ],
)
def test_shapes_and_alphas(bases, base, variant, spec):
    golden = json.loads((GOLDEN / f"{base}.{variant}.json").read_text())
    layout = plan_layout(find_targets(*bases[base], spec), [spec])
    sites = {site.target.name: site for site in layout.sites}
    assert sum(site.target.part != "unet" for site in layout.sites) == golden["n_text_encoder"]
    assert sum(site.target.part == "unet" for site in layout.sites) == golden["n_unet"]
    assert layout.length >= golden["lora_params"]
    for module in golden["modules"]:
        site = sites[module["name"]]
        kind = site.target.kind
        rank, out, *ones = site.shape("up", spec)
        assert list(site.shape("down", spec)) == module["down"]
        assert [out, rank, *ones] == module["up"]
        assert (spec.alpha(kind), spec.rank(kind)) == (module["alpha"], module["rank"])


def test_standard_locon_standard(bases):
    """The peer keeps LoCon's targets for the next plain network of the process: 228 instead of 192."""
    counts = []
    for conv_dim in (0, 4, 0):
        targets = find_targets(*bases["sd15"], AdapterSpec(8, 4, conv_dim=conv_dim))
        counts.append(sum(target.part == "unet" for target in targets))
    assert counts == [192, 278, 192]


def test_sdxl_block_names(bases):
    table = json.loads((GOLDEN / "sdxl_diffusers_to_sai.json").read_text())["map"]
    blocks = module_names.sgm_blocks(bases["sdxl"][0])
    assert {path: module_names.unet_name(path, "sdxl", blocks) for path in table} == table


def test_text_encoder_names_do_not_depend_on_the_library_version():
    """transformers 5.6 dropped the `text_model` level of one of the two classes; files never do."""
    for path in ("encoder.layers.0.mlp.fc1", "text_model.encoder.layers.0.mlp.fc1"):
        assert module_names.text_encoder_name(path, 0, "sd1") == "lora_te_text_model_encoder_layers_0_mlp_fc1"
        assert (
            module_names.text_encoder_name(path, 1, "sdxl") == "lora_te2_text_model_encoder_layers_0_mlp_fc1"
        )


def test_unet_or_text_encoder_only(bases):
    for spec, parts in (
        (AdapterSpec(8, 4, train_text_encoder=False), {"unet"}),
        (AdapterSpec(8, 4, train_unet=False), {"te1", "te2"}),
    ):
        assert {target.part for target in find_targets(*bases["sdxl"], spec)} == parts
