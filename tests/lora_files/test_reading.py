"""Reading files of any origin: names, families, alphas, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lora_lab.errors import ModelError
from lora_lab.lora_files.factors import delta, products
from lora_lab.lora_files.unified_names import block, kernel, part, unified
from lora_lab.loras import read
from lora_lab.models.lora_family import family_of
from tests.loras.made import dense, error, kohya, numbers, opened

NAMES = Path(__file__).parents[1] / "golden" / "names"


def test_every_sdxl_module_gets_the_originals_name() -> None:
    """The peer's complete map of diffusers' U-Net paths (788)."""
    table = json.loads((NAMES / "sdxl_diffusers_to_sai.json").read_text())["map"]
    for path, name in table.items():
        assert unified("lora_unet_" + path.replace(".", "_"), "sdxl") == name
        assert unified(name, "sdxl") == name


@pytest.mark.parametrize(
    ("file", "family"),
    [
        ("sd15.kohya.conv4", "sd1"),
        ("sd15.lycoris.conv4", "sd1"),
        ("sdxl.kohya.conv4", "sdxl"),
        ("sdxl.kohya", "sdxl"),
    ],
)
def test_real_names_stay_as_they_are(file: str, family: str) -> None:
    modules = json.loads((NAMES / f"{file}.json").read_text())["modules"]
    assert all(unified(item["name"], family) == item["name"] for item in modules)
    assert {part(item["name"]) for item in modules} <= {"unet", "te", "te1", "te2"}
    for item in modules:
        shape = item["down"]
        found = kernel(item["name"], family)
        assert (found or 1) == (shape[2] if len(shape) == 4 else 1), item["name"]
        assert block(item["name"]) != "rest" or "_te" not in item["name"]
    widths = {item["name"]: item["down"][1] for item in modules}
    assert family_of(widths, {}) == family


@pytest.mark.parametrize(
    "name", ["lora_te_encoder_layers_0_mlp_fc1", "lora_te1_text_model_encoder_layers_0_mlp_fc1"]
)
def test_text_encoders_have_one_name(name: str) -> None:
    """transformers 5.6 dropped the `text_model` level; diffusers calls the first encoder one of two."""
    assert unified(name, "sd1") == "lora_te_text_model_encoder_layers_0_mlp_fc1"
    assert unified(name, "sdxl") == "lora_te1_text_model_encoder_layers_0_mlp_fc1"


def test_original_block_names_of_sd1() -> None:
    name = "lora_unet_output_blocks_5_2_conv"
    assert unified(name, "sd1") == "lora_unet_up_blocks_1_upsamplers_0_conv"
    assert (
        unified("lora_unet_input_blocks_4_0_in_layers_2", "sd1") == "lora_unet_down_blocks_1_resnets_0_conv1"
    )
    assert unified("lora_unet_middle_block_1_proj_in", "sd1") == "lora_unet_mid_block_attentions_0_proj_in"


@pytest.mark.parametrize(
    ("metadata", "widths", "family"),
    [
        ({"ss_base_model_version": "sdxl_base_v1-0"}, {"lora_unet_x": 8}, "sdxl"),
        ({"modelspec.architecture": "stable-diffusion-v2-768-v/lora"}, {"lora_unet_x": 8}, "sd2"),
        ({"ss_base_model_version": "sd_v1"}, {"lora_unet_x_attn2_to_k": 2048}, "sdxl"),
        ({}, {"lora_te_text_model_encoder_layers_0_self_attn_q_proj": 1024}, "sd2"),
        ({}, {"lora_te_text_model_encoder_layers_0_self_attn_q_proj": 768}, "sd1"),
        ({}, {"lora_unet_x": 8}, "unknown"),
        # CLIP-L alone: kohya calls it so for SD 1.x only; `te1` is SDXL's, Flux's, SD 3's, and other tools'.
        ({}, {"lora_te1_text_model_encoder_layers_0_self_attn_q_proj": 768}, "unknown"),
        (
            {"ss_base_model_version": "sdxl_base_v1-0"},
            {"lora_te1_text_model_encoder_layers_0_self_attn_q_proj": 768},
            "sdxl",
        ),
        (
            {},
            {
                "lora_te1_text_model_encoder_layers_0_self_attn_q_proj": 768,
                "lora_te2_text_model_encoder_layers_0_mlp_fc2": 5120,
            },
            "sdxl",
        ),
        # An SD 1.x file in which a tool wrote `te1`, without a module that shows the width of text states.
        (
            {},
            {
                "lora_te1_text_model_encoder_layers_0_self_attn_q_proj": 768,
                "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q": 320,
            },
            "sd1",
        ),
    ],  # fmt: skip
)
def test_families(metadata: dict[str, str], widths: dict[str, int], family: str) -> None:
    assert family_of(widths, metadata) == family


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("alpha", [None, 2.0, 4])
def test_precisions_and_alphas(tmp_path: Path, dtype: torch.dtype, alpha: float | None) -> None:
    tensors = kohya(alpha=alpha, dtype=dtype)
    file = opened(tmp_path / "x.safetensors", tensors)
    assert (file.family, file.dtype, len(file.modules)) == ("sd1", dtype, 4)
    expected = dense(tensors)
    for name, found in products(file).items():
        assert error(delta(found), expected[name]) < 1e-6
        assert found.down.shape[1:] == tensors[f"{name}.lora_down.weight"].shape[1:]


def test_old_diffusers_keys_of_attention_processors(tmp_path: Path) -> None:
    start = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor"
    tensors = {}
    for place, leaf in enumerate(("to_q", "to_out")):
        tensors[f"{start}.{leaf}_lora.down.weight"] = numbers(4, 8, seed=place)
        tensors[f"{start}.{leaf}_lora.up.weight"] = numbers(6, 4, seed=place + 5)
    file = opened(tmp_path / "x.safetensors", tensors, {"ss_base_model_version": "sd_v1"})
    head = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1"
    assert set(file.modules) == {f"{head}_to_q", f"{head}_to_out_0"}
    expected = tensors[f"{start}.to_q_lora.up.weight"] @ tensors[f"{start}.to_q_lora.down.weight"]
    assert error(delta(products(file)[f"{head}_to_q"]), expected) < 1e-6


@pytest.mark.parametrize(("rslora", "scale"), [(False, 0.5), (True, 1.0)])
def test_alphas_of_peft_stand_beside_the_file(tmp_path: Path, rslora: bool, scale: float) -> None:
    """alpha / rank, or alpha / sqrt(rank) with rank-stabilised LoRA."""
    key = "base_model.model.mid_block.attentions.0.proj_in"
    save_file(
        {f"{key}.lora_A.weight": numbers(4, 8), f"{key}.lora_B.weight": numbers(6, 4)},
        tmp_path / "adapter_model.safetensors",
    )
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 2, "r": 4, "use_rslora": rslora}))
    (found,) = products(read(tmp_path / "adapter_model.safetensors")).values()
    assert found.scale == pytest.approx(scale)


NAME = "lora_unet_up_blocks_1_resnets_0_conv1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(f"{NAME}.lora_up.weight"), f"{NAME} lacks up"),
        (lambda t: t.update({f"{NAME}.lora_up.weight": numbers(14, 3, 1, 1)}), "ranks 4 and 3"),
        (lambda t: t.update({f"{NAME}.alpha": torch.tensor(float("nan"))}), "alpha of .* not one"),
        (lambda t: t.update({f"{NAME}.alpha": torch.ones(2)}), "alpha of .* not one finite number"),
        (lambda t: t[f"{NAME}.lora_up.weight"].fill_(float("inf")), "holds NaN, infinity or"),
        (lambda t: t.update({f"{NAME}.lora_up.weight": torch.ones(14, 4, dtype=torch.int8)}), "type int8"),
        (lambda t: t.update({f"{NAME}.lora_up.weight": torch.ones(0, 4, 1, 1)}), "is empty"),
        (lambda t: t.update({f"{NAME}.lora_A.weight": numbers(4, 10, 3, 3)}), "a tensor that it has already"),
        (lambda t: t.update({"epoch": numbers(1)}), "no LoRA's and would be lost: epoch"),
        (lambda t: t.update({f"{NAME}.dora_scale": numbers(14, 1)}), r"DoRA: 1 \(lora_unet_up_blocks_1"),
        (lambda t: t.update({"lora_unet_conv_in.diff": numbers(4, 4)}), "full weight differences: 1"),
        (lambda t: t.update({"lora_unet_conv_in.oft_blocks": numbers(4, 4)}), "OFT: 1"),
        (
            lambda t: t.update({"lora_unet_input_blocks_0_0.lora_down.weight": numbers(2, 4),
                                "lora_unet_conv_in.lora_down.weight": numbers(2, 4)}),
            "lora_unet_conv_in twice, in two spellings",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(tmp_path: Path, change, message: str) -> None:
    tensors = kohya()
    change(tensors)
    with pytest.raises(ModelError, match=message):
        products(opened(tmp_path / "x.safetensors", tensors))
