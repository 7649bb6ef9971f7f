"""Configs of other trainers, in the form of their public examples; every key has its line."""

import json
from pathlib import Path
from typing import Any

import pytest

from lora_lab.errors import ConfigError
from lora_lab.kohya import Imported, convert, read, recipe_text
from lora_lab.kohya.lines import CONTRADICTORY

AI_TOOLKIT = """
job: extension
config:
  name: my_lora_v1
  process:
    - type: sd_trainer
      training_folder: output
      trigger_word: p3r5on
      network: {type: lora, linear: 16, linear_alpha: 8}
      save: {dtype: float16, save_every: 250, max_step_saves_to_keep: 4, push_to_hub: false, hf_token: SECRET}
      datasets:
        - folder_path: /data/person
          caption_ext: txt
          caption_dropout_rate: 0.05
          shuffle_tokens: true
          resolution: [512, 1024]
      train:
        batch_size: 2
        steps: 2000
        train_unet: true
        train_text_encoder: false
        optimizer: adamw8bit
        lr: 1e-4
        ema_config: {use_ema: true, ema_decay: 0.99}
        dtype: bf16
      model: {name_or_path: /models/xl.safetensors, is_xl: true}
      sample:
        width: 1024
        height: 768
        prompts: ["[trigger] at the beach"]
        neg: blurry
        seed: 42
        guidance_scale: 4
        sample_steps: 25
meta: {name: "[name]", version: "1.0"}
"""

TRAIN_TOOLS = {
    "train_base_model": "anything.safetensors", "train_batch_size": 1, "train_num_epochs": 20,
    "train_save_every_n_epochs": 2, "train_optimizer_type": ["Lion"], "train_learning_rate": "0.0001",
    "train_net_dim": 128, "train_alpha": 64, "train_clip_skip": 2, "train_mixed_precision": "fp16",
    "train_xformers": True, "train_base_on_sd_v2": False, "train_num_repetitions": 15,
    "process_width": 512, "process_height": 768, "process_flip": True, "process_split": False,
    "preview_txt2img_prompt": "a girl", "preview_seed": "-1", "preview_lora_multiplier": "0.6,1",
    "preview_sampling_method": ["Euler a"], "train_finish_generate_all_checkpoint_preview": True,
}  # fmt: skip

ONE_TRAINER = {
    "training_method": "LORA", "model_type": "STABLE_DIFFUSION_XL_10_BASE", "workspace_dir": "workspace/run",
    "base_model_name": "xl.safetensors", "lora_rank": 16, "lora_alpha": 1.0, "learning_rate": 0.0003,
    "learning_rate_scheduler": "CONSTANT", "learning_rate_warmup_steps": 0, "epochs": 100, "batch_size": 4,
    "optimizer": {"optimizer": "ADAMW", "weight_decay": 0.01}, "resolution": "1024", "train_unet": True,
    "train_text_encoder": False, "train_dtype": "BFLOAT_16", "offset_noise_weight": 0.05, "ema": "OFF",
}  # fmt: skip


def imported(folder: Path, name: str, text: str) -> Imported:
    (folder / name).write_text(text, encoding="utf-8")
    found = convert(read(folder / name))
    assert all(line.why for line in found.lines if not line.setting)
    return found


def test_ai_toolkit(tmp_path: Path) -> None:
    found = imported(tmp_path, "config.yaml", AI_TOOLKIT)
    expected: dict[str, Any] = {
        "network.network_dim": 16, "network.network_alpha": 8.0, "network.train_text_encoder": False,
        "dataset.path": "/data/person", "dataset.trigger_word": "p3r5on", "dataset.caption_extension": ".txt",
        "dataset.resolution": "1024", "dataset.shuffle_caption": True, "train.max_train_steps": 2000,
        "train.train_batch_size": 2, "train.mixed_precision": "bf16", "optimizer.name": "adamw8bit",
        "optimizer.learning_rate": 1e-4, "base_model.path": "/models/xl.safetensors",
        "preview.prompts": ["{trigger} at the beach"], "preview.seeds": [42], "preview.size": "1024x768",
        "preview.negative_prompt": "blurry", "preview.steps": 25,
    }  # fmt: skip
    assert {key: found.settings.get(key) for key in expected} == expected
    assert found.kind == "ai-toolkit" and found.family == "sdxl"
    assert "SECRET" not in repr(found) + recipe_text(found)
    why = {line.key: line.why for line in found.lines}
    assert (
        "nothing here stands for it" in why["train.ema_config.use_ema"] and "secret" in why["save.hf_token"]
    )
    keys = {"job", "config.name", "type", "training_folder", "meta.name", "datasets.folder_path"}
    assert keys <= set(why) and [line for line in found.lines if line.outcome == CONTRADICTORY] == []


def test_train_tools(tmp_path: Path) -> None:
    found = imported(tmp_path, "train_config.json", json.dumps(TRAIN_TOOLS))
    assert {line.key for line in found.lines} >= set(TRAIN_TOOLS)
    assert found.settings["optimizer.name"] == "lion" and found.settings["network.network_dim"] == 128
    assert found.settings["dataset.repeats"] == 15 and found.settings["dataset.resolution"] == "512x768"
    assert found.settings["preview.strengths"] == [0.6, 1.0] and found.settings["base_model.clip_skip"] == 2
    assert found.settings["preview.sampler"] == "euler_a" and found.settings["train.max_train_epochs"] == 20


def test_one_trainer(tmp_path: Path) -> None:
    found = imported(tmp_path, "config.json", json.dumps(ONE_TRAINER))
    assert found.settings["network.network_dim"] == 16 and found.settings["optimizer.name"] == "adamw"
    assert found.settings["network.train_text_encoder"] is False
    assert found.settings["train.mixed_precision"] == "bf16" and found.settings["loss.noise_offset"] == 0.05


@pytest.mark.parametrize("text", ["a: &x [1]\nb: *x", "a: [", "- 1", "? [a]\n: 1"])
def test_yaml_that_is_no_preset_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read as YAML \(line \d\)$|holds no keys"):
        imported(tmp_path, "odd.yaml", text)


def test_a_key_of_json_that_stands_twice_with_other_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the key network_dim stands twice, with other values"):
        imported(tmp_path, "p.json", '{"LoRA_type": "Standard", "network_dim": 8, "network_dim": 64}')
    same = imported(tmp_path, "p.json", '{"LoRA_type": "Standard", "network_dim": 8, "network_dim": 8}')
    assert same.settings["network.network_dim"] == 8


def test_a_single_key_that_is_no_number_does_not_stand_twice(tmp_path: Path) -> None:
    """NaN is unequal to itself."""
    found = imported(tmp_path, "p.json", '{"LoRA_type": "Standard", "network_dim": 8, "max_grad_norm": NaN}')
    assert found.settings["network.network_dim"] == 8


def test_a_key_of_yaml_that_stands_twice_with_other_values_is_refused(tmp_path: Path) -> None:
    text = "job: extension\nconfig:\n  process:\n  - network: {type: lora, linear: 4, linear: 16}\n"
    with pytest.raises(ConfigError, match="the key linear stands twice, with other values"):
        imported(tmp_path, "p.yaml", text)
