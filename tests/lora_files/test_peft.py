"""Files of PEFT act as PEFT merges them, in training and in baking; what is not understood is refused."""

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_lab.errors import ModelError
from lora_lab.lora_files.reading import read
from lora_lab.loras import Ranks, merge, resize
from lora_lab.loras.bake import baked
from lora_lab.models import BaseModel
from lora_lab.networks.merging import merge as merge_into
from tests import tiny

TARGETS = ["to_q", "to_out.0", "proj_in", "conv1", "conv_shortcut", "ff.net.0.proj"]
"""Linear layers, 1x1 and 3x3 convolutions."""
CASES: dict[str, dict[str, Any]] = {
    "plain": {"r": 8, "lora_alpha": 32},
    "alpha pattern": {"r": 4, "lora_alpha": 2, "alpha_pattern": {"to_q": 16, r"down_blocks\..*proj_in": 3}},
    "rank pattern": {"r": 4, "lora_alpha": 2, "rank_pattern": {r".*attn1\.to_q": 2, "conv1": 3}},
    "first match": {"r": 4, "lora_alpha": 2, "alpha_pattern": {r"(mid|up)_block.*to_q": 5, "to_q": 9}},
    "rslora": {"r": 9, "lora_alpha": 2, "use_rslora": True, "rank_pattern": {"to_q": 4}},
    "DoRA": {"r": 4, "lora_alpha": 8, "use_dora": True},
    "DoRA, patterns": {"r": 4, "lora_alpha": 8, "use_dora": True, "use_rslora": True,
                       "rank_pattern": {"proj_in": 2}, "alpha_pattern": {"conv1": 3}},
}  # fmt: skip


@cache
def base() -> BaseModel:
    """A float64 model that no test may change."""
    return tiny.base("sd1", dtype=torch.float64)


def trained(folder: Path, config: peft.LoraConfig) -> dict[str, torch.Tensor]:
    """An adapter of PEFT's in a folder, as PEFT saves it; returns the U-Net's weights as PEFT merges them."""
    torch.manual_seed(3)
    model = peft.get_peft_model(copy.deepcopy(base().unet), config)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            noise = torch.randn_like(parameter)
            parameter.data = parameter.data * (1 + 0.3 * noise) if "magnitude" in name else noise * 0.1
    model.save_pretrained(folder)
    merged: dict[str, torch.Tensor] = model.merge_and_unload().state_dict()
    return merged


@pytest.mark.parametrize("case", CASES)
def test_training_on_and_baking_do_as_peft_does(tmp_path: Path, case: str) -> None:
    expected = trained(tmp_path, peft.LoraConfig(target_modules=TARGETS, **CASES[case]))
    file = read(tmp_path / "adapter_model.safetensors")
    model = copy.deepcopy(base())
    merge_into(model.unet, model.text_encoders, "sd1", file, 1.0)
    changed = 0
    for name, weight in model.unet.state_dict().items():
        assert torch.allclose(weight, expected[name], rtol=1e-5, atol=1e-6), name
        changed += not torch.equal(weight, base().unet.state_dict()[name])
    assert changed == len(file.modules) >= 20
    paths = {name: name for name in expected}
    for module in file.modules.values():
        path = next(p for p in paths if p.replace(".", "_") == f"{module.spelled[10:]}_weight")
        got = baked(module, 1.0, base().unet.state_dict()[path])
        assert torch.allclose(got.double(), expected[path], rtol=1e-4, atol=1e-5), path


@pytest.mark.parametrize("case", [case for case in CASES if "DoRA" not in case])
def test_the_verbs_do_as_peft_does(tmp_path: Path, case: str) -> None:
    expected = trained(tmp_path, peft.LoraConfig(target_modules=TARGETS, **CASES[case]))
    file = read(tmp_path / "adapter_model.safetensors")
    start = base().unet.state_dict()
    for result in (merge([file], [1.0]), resize(file, Ranks(16))):
        for name, item in result.modules.items():
            path = next(p for p in start if p.replace(".", "_") == f"{name[10:]}_weight")
            found = item.up.double().flatten(1) @ item.down.double().flatten(1) * item.scale
            difference = (expected[path] - start[path]).flatten(1)
            assert float((found - difference).norm() / difference.norm()) < 1e-5, path


def test_a_renamed_file_still_finds_its_settings(tmp_path: Path) -> None:
    trained(tmp_path, peft.LoraConfig(target_modules=["to_q"], r=8, lora_alpha=32))
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "person.safetensors")
    assert {module.alpha for module in read(tmp_path / "person.safetensors").modules.values()} == {32.0}


def test_diffusers_metadata_has_patterns_by_part(tmp_path: Path) -> None:
    """diffusers writes the settings of all parts into one metadata value."""
    folder = tmp_path / "peft"
    config = {"r": 4, "lora_alpha": 6, "alpha_pattern": {r"mid_block.*\.to_q": 1}}
    trained(folder, peft.LoraConfig(target_modules=["to_q"], **config))
    tensors = {
        key.replace("base_model.model.", "unet."): tensor
        for key, tensor in load_file(folder / "adapter_model.safetensors").items()
    }
    said = json.dumps({f"unet.{key}": value for key, value in config.items()})
    save_file(tensors, tmp_path / "x.safetensors", {"lora_adapter_metadata": said})
    alphas = {name: module.alpha for name, module in read(tmp_path / "x.safetensors").modules.items()}
    assert set(alphas.values()) == {1.0, 6.0}
    assert all((alpha == 1.0) == ("mid_block" in name) for name, alpha in alphas.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "LOHA"}, "is a LOHA adapter"),
        ({"peft_type": "IA3"}, "is a IA3 adapter"),
        ({"peft_type": "VERA"}, "is a VERA adapter"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights=pissa_niter_4, which changes the base"),
        ({"init_lora_weights": "olora"}, "init_lora_weights=olora"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"use_qalora": True}, "use_qalora"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"r": 3}, "has rank 4, but .*adapter_config.json says 3"),
        ({"alpha_pattern": {"(": 3}}, "is no regular expression"),
        ({"lora_alpha": float("nan")}, "the alpha of .* is nan"),
    ],
)
def test_other_adapters_and_options_are_refused_by_name(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    trained(tmp_path, peft.LoraConfig(target_modules=["to_q"], r=4, lora_alpha=2))
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**settings, **change}))
    with pytest.raises(ModelError, match=message):
        read(tmp_path / "adapter_model.safetensors")


def test_damaged_settings_are_named(tmp_path: Path) -> None:
    trained(tmp_path, peft.LoraConfig(target_modules=["to_q"], r=4))
    for text in ("{", "[]", "[" * 9999):
        (tmp_path / "adapter_config.json").write_text(text)
        with pytest.raises(ModelError, match=r"adapter_config\.json"):
            read(tmp_path / "adapter_model.safetensors")
