"""Full-size SD 1.5 with random weights, through the commands: it trains, renders, and is in the table.

Minutes and 5 GB of memory each: `pytest -m slow tests/run/test_full_size.py`.
"""

import csv
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from transformers import CLIPTextConfig, CLIPTextModel

from lora_lab import models
from lora_lab.__main__ import main
from lora_lab.store import SweepFolder, read_record
from tests.models import recipe
from tests.run.bench import write_images

CONFIGS = Path(models.__file__).parent / "configs" / "sd1"
MODULES = 264
"""LoRA modules of SD 1.5 by the standard targets: 72 of the text encoder, 192 of the U-Net."""


def config(component: str, file: str = "config.json") -> dict[str, Any]:
    """The public model's config of a component."""
    return dict(json.loads((CONFIGS / component / file).read_text()))


def diffusers_folder(place: Path) -> Path:
    """Made and saved by diffusers itself, in half precision."""
    torch.manual_seed(0)
    whole = diffusers.StableDiffusionPipeline(
        unet=diffusers.UNet2DConditionModel.from_config(config("unet")).half(),
        vae=diffusers.AutoencoderKL.from_config(config("vae")).half(),
        text_encoder=CLIPTextModel(CLIPTextConfig(**config("text_encoder"))).half(),
        tokenizer=None,
        scheduler=diffusers.PNDMScheduler.from_config(config("scheduler", "scheduler_config.json")),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    whole.save_pretrained(str(place / "sd15"))
    return place / "sd15"


def single_file(place: Path) -> Path:
    """In the field's names alone: no configs and no vocabulary in it."""
    return recipe.write_file(place / "sd15.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("write", [diffusers_folder, single_file])
def test_full_size_model_trains_and_renders(
    write: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "model")
    try:
        code = main(["train", *settings(path, tmp_path), "name=run", "sweep=full", "--quiet"])
    finally:
        shutil.rmtree(tmp_path / "model")
    assert code == 0, capsys.readouterr().err
    folder = SweepFolder(tmp_path / "results" / "full").run("run")
    record = read_record(folder)
    assert record.status == "done" and record.step == 2
    rows = [json.loads(line) for line in folder.steps_file.read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    assert all(math.isfinite(row["loss"]) and row["grad_norm"] > 0 for row in rows)

    [checkpoint] = record.checkpoints
    with safe_open(folder.path / checkpoint.file, "pt") as file:
        assert len(list(file.keys())) == 3 * MODULES
        assert file.metadata()["ss_network_dim"] == "4"
    [preview] = checkpoint.previews
    with Image.open(folder.path / preview.file) as image:
        assert image.size == (64, 64)
        assert len(image.getcolors(64 * 64)) > 100
    table = tmp_path / "table.csv"
    assert main(["table", str(tmp_path / "results" / "full"), "-o", str(table)]) == 0
    [row] = csv.DictReader(table.open())
    assert (row["run"], row["status"], row["step"]) == ("run", "done", "2")


def settings(model: Path, place: Path) -> list[str]:
    """Two steps at 64x64 and one preview of two steps."""
    images = write_images(place / "images")
    return [
        "base_model=sd15",
        f"base_model.path={model}",
        f"dataset.path={images}",
        "dataset.resolution='64'",
        "dataset.min_bucket_reso=64",
        "dataset.max_bucket_reso=64",
        "dataset.trigger_word=zz",
        "network.network_dim=4",
        "optimizer.learning_rate=1e-4",
        "train.max_train_steps=2",
        "preview.prompts=['{trigger} girl']",
        "preview.strengths=[1.0]",
        "preview.steps=2",
        f"cache={place / 'cache'}",
        f"results={place / 'results'}",
    ]
