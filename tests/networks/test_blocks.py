"""Learning rates by U-Net block: sd-scripts' places and courses, groups for optimizers, blocks left out."""

import pytest
import torch

from lora_lab.errors import ConfigError
from lora_lab.networks.blocks import block_index, block_weights, weight_of
from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import AdapterSpec
from lora_lab.networks.targets import find_targets


@pytest.mark.parametrize(
    ("name", "index"),
    [
        # sd-scripts get_block_index: 3 i + j, samplers 3 i + 2; down from 1, mid 12, up from 13
        ("lora_unet_down_blocks_0_attentions_0_proj_in", 1),
        ("lora_unet_down_blocks_0_resnets_1_conv1", 2),
        ("lora_unet_down_blocks_0_downsamplers_0_conv", 3),
        ("lora_unet_down_blocks_2_attentions_1_transformer_blocks_0_attn1_to_q", 8),
        ("lora_unet_down_blocks_3_resnets_1_conv2", 11),
        ("lora_unet_mid_block_attentions_0_proj_in", 12),
        ("lora_unet_up_blocks_0_resnets_0_conv1", 13),
        ("lora_unet_up_blocks_1_upsamplers_0_conv", 18),
        ("lora_unet_up_blocks_3_attentions_2_proj_out", 24),
        # SDXL, without the two places for embeddings and output
        ("lora_unet_input_blocks_4_1_proj_in", 4),
        ("lora_unet_input_blocks_8_1_proj_in", 8),
        ("lora_unet_middle_block_1_proj_in", 10),
        ("lora_unet_output_blocks_0_1_proj_in", 12),
        ("lora_unet_output_blocks_2_2_conv", 14),
        ("lora_unet_conv_in", None),
        ("lora_unet_time_embedding_linear_1", None),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1", None),
    ],
)
def test_places(name: str, index: int | None) -> None:
    original = any(word in name for word in ("input_blocks", "middle_block", "output_blocks"))
    counts = (9, 3, 9) if original else (12, 1, 12)
    assert block_index(name, counts) == index


def test_courses() -> None:
    """Values of sd-scripts' get_block_lr_weight for 12 blocks."""
    weights = block_weights("sd1", "cosine", "0.5", "sine+.25", 0.0)
    assert weights is not None and len(weights) == 25
    assert [round(w, 6) for w in weights[:3]] == [1.0, 0.989821, 0.959493]
    assert weights[11] == 0.0 and weights[12] == 0.5
    assert [round(w, 6) for w in (weights[13], weights[14], weights[24])] == [0.25, 0.392315, 1.25]
    linear = block_weights("sd1", "linear", "", "reverse_linear", 0.1)
    assert linear is not None and linear[:3] == (0.0, 0.0, 2 / 11) and linear[12] == 1.0
    assert linear[13] == 1.0 and linear[24] == 0.0


def test_numbers_and_threshold() -> None:
    weights = block_weights("sdxl", "1,,0.05,1,1,1,1,1,2", "", "", 0.05)
    assert weights == (1, 0, 0, 1, 1, 1, 1, 1, 2, *[1.0] * 12)
    assert block_weights("sd1", "", "", "", 0.5) is None
    for text in ("1,2", "nan" + ",1" * 11, "-1" + ",1" * 11, "x"):
        with pytest.raises(ConfigError, match="must be 12 numbers of at least 0"):
            block_weights("sd1", text, "", "", 0.0)


def spec_of(blocks, **more):
    return AdapterSpec(4, 2.0, conv_dim=2, blocks=blocks, **more)


@pytest.mark.parametrize("form", ["lora", "lokr"])
@pytest.mark.parametrize("layout", ["stacked", "tensors"])
def test_every_module_is_in_the_group_of_its_rate(unet, text_encoder, form, layout):
    blocks = block_weights("sd1", "sine+0.1", "0", "", 0.0)
    spec, plain = spec_of(blocks, form=form), spec_of(None, form=form)
    pack = Pack(unet, [text_encoder], "sd1", [spec, plain])
    pack.occupy(0, spec)
    seen = set()
    for group in pack.param_groups(0, layout):
        for param, names in zip(group.params, group.names, strict=True):
            param.data.fill_(group.rate)
            seen |= set(names)
            for name in names:
                assert group.rate == weight_of(name, blocks)
    assert seen == {t.name for t in find_targets(unet, [text_encoder], "sd1", spec)}
    assert not any("mid_block" in name for name in seen)
    for key, tensor in pack.export(0).items():
        if not key.endswith("alpha"):
            assert (tensor == weight_of(key.split(".")[0], blocks)).all(), key


def test_flat_leaves_are_not_possible(unet, text_encoder):
    spec = spec_of(block_weights("sd1", "sine", "", "", 0.0))
    pack = Pack(unet, [text_encoder], "sd1", [spec])
    pack.occupy(0, spec)
    with pytest.raises(ValueError, match="no flat leaves"):
        pack.param_groups(0, "flat")


def test_runs_with_other_blocks_share_a_pack(unet, text_encoder):
    whole, part = spec_of(None), spec_of(block_weights("sd1", "zeros", "", "", 0.0))
    pack = Pack(unet, [text_encoder], "sd1", [part, whole])
    for slot, spec in enumerate((part, whole)):
        pack.occupy(slot, spec)
    left = {key for key in pack.export(1) if "down_blocks" not in key}
    assert pack.export(0).keys() == left
    assert torch.equal(pack.parameters.masters[0].abs().sum() > 0, torch.tensor(True))
