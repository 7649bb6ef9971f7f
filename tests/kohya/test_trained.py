"""What LoRA files and folders of other trainers say of themselves."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lora_lab.errors import ConfigError
from lora_lab.kohya.trained import settings_of, trained
from tests.kohya.test_others import AI_TOOLKIT, ONE_TRAINER


def lora(path: Path, **metadata: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(1, 1)}, path, metadata)
    return path


def test_metadata_of_sd_scripts(tmp_path: Path) -> None:
    said = {
        "ss_network_dim": "32", "ss_network_alpha": "16.0", "ss_network_module": "networks.lora",
        "ss_network_args": json.dumps({"conv_dim": "8", "conv_alpha": "4"}), "ss_unet_lr": "0.0001",
        "ss_optimizer": "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1)", "ss_resolution": "(512, 768)",
        "ss_batch_size_per_device": "2", "ss_num_epochs": "10", "ss_clip_skip": "2",
        "ss_noise_offset": "None",
        "ss_tag_frequency": "{}", "ss_lr_scheduler": "cosine", "ss_dataset_dirs": "{}",
    }  # fmt: skip
    assert settings_of(tmp_path / "x", said) == {
        "network.network_dim": 32, "network.network_alpha": 16.0, "network.type": "locon",
        "network.conv_dim": 8, "network.conv_alpha": 4.0, "optimizer.unet_lr": 1e-4,
        "optimizer.name": "adamw8bit", "dataset.resolution": "512x768", "train.train_batch_size": 2,
        "train.max_train_epochs": 10, "base_model.clip_skip": 2, "lr_scheduler.name": "cosine",
    }  # fmt: skip


def test_a_folder_of_kohya_is_one_training(tmp_path: Path) -> None:
    for name in ("miko", "miko-000002", "miko-000004"):
        lora(tmp_path / "out" / f"{name}.safetensors")
    (tmp_path / "out" / "config_lora-2025.toml").write_text(
        "network_dim = 8\nlearning_rate = 0.001\nsdpa = true\n"
    )
    found = trained(tmp_path / "out")
    assert [(file.stem, epoch) for file, _, epoch in found.files] == [
        ("miko-000002", 2), ("miko-000004", 4), ("miko", None)]  # fmt: skip
    assert found.trainer == "sd-scripts" and found.settings["network.network_dim"] == 8


def test_a_folder_of_ai_toolkit(tmp_path: Path) -> None:
    for name in ("my_lora_000000500", "my_lora_000000250", "my_lora"):
        lora(tmp_path / f"{name}.safetensors", software=json.dumps({"name": "ai-toolkit"}))
    (tmp_path / "config.yaml").write_text(AI_TOOLKIT)
    found = trained(tmp_path)
    assert found.trainer == "ai-toolkit" and [step for _, step, _ in found.files] == [250, 500, None]
    assert found.settings["network.network_dim"] == 16 and found.settings["train.max_train_steps"] == 2000


def test_a_folder_of_one_trainer(tmp_path: Path) -> None:
    lora(tmp_path / "save" / "lora2024-05-01_10-00-00-save-1200-12-0.safetensors")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "run.json").write_text(json.dumps(ONE_TRAINER))
    found = trained(tmp_path)
    assert found.trainer == "OneTrainer" and found.files[0][1:] == (1200, 12)
    assert found.settings["network.network_alpha"] == 1.0


def test_a_folder_of_peft(tmp_path: Path) -> None:
    file = lora(tmp_path / "adapter_model.safetensors", format="pt")
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "use_dora": True}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    for source in (tmp_path, file):
        found = trained(source)
        assert found.trainer == "PEFT" and found.settings == {
            "network.type": "dora", "network.network_dim": 4, "network.network_alpha": 8,
            "network.network_dropout": 0.1,
        }  # fmt: skip


def test_where_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no .safetensors"):
        trained(tmp_path)
    with pytest.raises(ConfigError, match="no such file"):
        trained(tmp_path / "x.safetensors")
    assert trained(lora(tmp_path / "y.safetensors")).trainer == "an unknown trainer"
