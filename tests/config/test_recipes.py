"""Every recipe plans with what its guide states, and trains a few steps."""

import random
import re
import shlex
from pathlib import Path

import pytest
import torch

from lora_lab.config import CONF_DIR, compose, dump, flat, groups
from lora_lab.data.captions import process
from lora_lab.run.events import Events
from lora_lab.run.task import Task
from lora_lab.run.work import PackWork
from lora_lab.store import SweepFolder, read_record
from lora_lab.sweep import Plan, plan, rows_from_overrides
from lora_lab.training_data import subset_settings
from tests import tiny
from tests.material import write_images, write_model
from tests.run.bench import Stop
from tests.run.bench import write_images as write_tiny

RECIPES = [name for name in groups()["recipe"] if name != "none"]
FAMILY = {"style": "sdxl", "copier": "sd1", "parameters": "sd1"}
BASE_MODEL = {"style": "sdxl", "copier": "sd15", "parameters": "sd15"}

STATED = {
    # Images, steps, looks at each image; and what the guide says of the rest.
    "style_locon": (30, 3600, 120, {"network.network_dim": 64, "network.preset": "full",
                                    "lr_scheduler.name": "cosine", "dataset.keep_tokens": 1}),
    "style_locon_1x30": (120, 3600, 30, {"network.type": "locon", "dataset.repeats": 1}),
    "style_locon_2x150": (30, 9000, 300, {"network.network_alpha": 32, "dataset.repeats": 2}),
    "copier": (1, 4000, 4000, {"network.network_dim": 8, "network.network_alpha": 1,
                               "optimizer.name": "adamw8bit", "optimizer.learning_rate": 1e-4,
                               "lr_scheduler.name": "constant", "dataset.trigger_word": None}),
    "copier_1x800": (1, 800, 800, {"network.network_dim": 16, "network.network_alpha": 1}),
    "copier_demo": (1, 450, 750, {"network.network_dim": 8, "network.train_text_encoder": False}),
    "parameters": (30, 2000, 66.667, {"train.save_every_n_steps": 200, "train.save_last_n_steps_state": 300,
                                      "network.scale_weight_norms": 1, "train.full_bf16": True,
                                      "loss.v_pred_like_loss": 0.5}),
    "parameters_v": (30, 2000, 66.667, {"loss.scale_v_pred_loss_like_noise_pred": True,
                                        "loss.v_pred_like_loss": 0}),
}  # fmt: skip


def kind(name: str) -> str:
    """style, copier or parameters."""
    return name.split("_")[0]


def planned(name: str, root: Path, images: int) -> Plan:
    """The plan of one run of a recipe on so many images."""
    prediction = "v_prediction" if name.endswith("_v") else "epsilon"
    write_images(root / "images", images, "10_miko girl")
    write_model(root / "model", FAMILY[kind(name)], prediction_type=prediction)
    words = [f"base_model={BASE_MODEL[kind(name)]}", f"recipe={name}", f"base_model.path='{root}/model'"]
    words += [f"dataset.path='{root}/images'", f"results='{root}/results'", f"cache='{root}/cache'"]
    return plan(rows_from_overrides([["train.seed=1"]]), [*words, "device=cuda", "engine.workers=1"])


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_plans(name: str, tmp_path: Path) -> None:
    images, steps, looks, settings = STATED[name]
    (row,) = planned(name, tmp_path, images).rows
    # The parameters' guide has no repeats of its own: the folder's 10 count, and the cap on steps.
    assert (row.images, row.total_steps) == (images, steps)
    assert row.exposures_per_image == pytest.approx(looks, abs=1e-3)
    assert {key: flat(row.config)[key] for key in settings} == settings
    # A cap on the steps ends the run before its epochs do: that is what it is for.
    assert {item.key for item in row.inert} <= {"train.max_train_epochs"}, "it sets nothing that cannot act"


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains(name: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    prediction = "v_prediction" if name.endswith("_v") else "epsilon"
    model = tiny.folder(FAMILY[kind(name)], prediction_type=prediction)
    images = write_tiny(tmp_path / "images", 1 if kind(name) == "copier" else 3)
    folder = SweepFolder(tmp_path / "results" / "recipes").run(name)
    config = compose(
        [
            f"base_model={BASE_MODEL[kind(name)]}", f"recipe={name}", f"base_model.path='{model}'",
            f"dataset.path='{images}'", f"cache='{tmp_path}/cache'", "device=cpu",
            "train.max_train_steps=2", "dataset.resolution='32'",
            "dataset.enable_bucket=false", "network.network_dim=4", "preview=off",
        ]
    )  # fmt: skip
    config.name = name
    folder.path.mkdir(parents=True)
    dump(config, folder.config_file)
    task = Task.open(folder)
    assert task
    PackWork([task], 1, Events(None), Stop()).run()
    task.lock.release()
    record = read_record(folder)
    assert (record.status, record.reason, record.step) == ("done", "", 2)
    assert record.checkpoints[-1].loss and record.checkpoints[-1].loss > 0


def test_a_recipe_is_laid_over_the_other_choices() -> None:
    own = ["base_model.path=x", "dataset.path=y"]
    found = compose(["recipe=style_locon", "optimizer=lion", *own])
    assert (found.optimizer.name, found.optimizer.learning_rate) == ("lion", 1e-4)
    assert (
        compose(["recipe=style_locon", "optimizer.learning_rate=3e-5", *own]).optimizer.learning_rate == 3e-5
    )
    assert compose(["recipe=none", "optimizer=lion"]) == compose(["optimizer=lion"])


def test_the_sweep_of_the_style_is_the_recipe(tmp_path: Path) -> None:
    from lora_lab.sweep import read_sweep

    base = read_sweep(Path(__file__).parents[2] / "sweeps/style_locon.yaml").base
    assert base == ("recipe=style_locon",)


def test_what_the_style_recipe_advises_for_pony_keeps_trigger_and_tags_in_front() -> None:
    text = (CONF_DIR / "recipe" / "style_locon.yaml").read_text(encoding="utf-8")
    (advice,) = re.findall(r"dataset\.caption_prefix='[^']+' dataset\.keep_tokens=\d+", text)
    (trigger,) = re.findall(r"dataset\.trigger_word=(\w+)", text)
    own = ["base_model.path=x", "dataset.path=y", f"dataset.trigger_word={trigger}"]
    captions = subset_settings(compose(["recipe=style_locon", *own, *shlex.split(advice)])).captions
    assert captions.shuffle_caption
    for seed in range(20):
        tags = process("sea, boat, sky, wave", captions, random.Random(seed), 1).split(", ")
        assert tags[:5] == [trigger, "score_9", "score_8_up", "score_7_up", "source_anime"]
        assert sorted(tags[5:]) == ["boat", "sea", "sky", "wave"]
