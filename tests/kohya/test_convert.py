"""Presets of all ages become settings, and every key of them has its line."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as fuzz
from hypothesis import strategies as st

from lora_lab.config import compose, flat, settings
from lora_lab.errors import ConfigError
from lora_lab.kohya import Imported, convert, read, recipe_text
from lora_lab.kohya.ignored_keys import ZEROS, setting_of
from lora_lab.kohya.lines import COMPUTED, CONTRADICTORY, IGNORED, KEPT, OUTCOMES, RENAMED
from tests.kohya.presets import MIDDLE, NEWER, NEWEST, OLDEST, PRESETS, written


def imported(folder: Path, values: dict[str, Any]) -> Imported:
    return convert(read(written(folder, values)))


def toml(folder: Path, text: str) -> Imported:
    path = folder / "preset.toml"
    path.write_text(text, encoding="utf-8")
    return convert(read(path))


def line(found: Imported, key: str) -> Any:
    lines = [item for item in found.lines if item.key == key]
    assert len(lines) == 1, (key, lines)
    return lines[0]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_of_any_age_becomes_a_recipe_that_composes(name: str, tmp_path: Path) -> None:
    values = PRESETS[name]
    found = imported(tmp_path, values)
    assert sorted(item.key for item in found.lines if ": " not in item.key) == sorted(values)
    assert all(item.why for item in found.lines if item.outcome in (IGNORED, CONTRADICTORY))
    assert "SECRET" not in recipe_text(found) + repr(found)
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "mine.yaml").write_text(recipe_text(found), encoding="utf-8")
    config = compose(["base_model=sd15", "recipe=mine"], [str(tmp_path)], checked=False)
    there = flat(config)
    assert {key: there[key] for key in found.settings} == found.settings


def test_numbers_as_text_and_renamed_keys(tmp_path: Path) -> None:
    found = imported(tmp_path, MIDDLE | {"lora_network_weights": "a.safetensors"})
    assert found.settings["optimizer.learning_rate"] == 1e-4
    assert found.settings["loss.noise_offset"] == 0.05
    assert found.settings["train.max_train_epochs"] == 3
    assert found.settings["dataset.bucket_reso_steps"] == 64
    assert found.settings["network.network_weights"] == "a.safetensors"
    assert line(found, "optimizer").outcome == RENAMED
    assert line(found, "learning_rate").outcome == KEPT
    assert found.settings["dataset.resolution"] == "512"
    assert (
        imported(tmp_path, MIDDLE | {"max_resolution": "512,650"}).settings["dataset.resolution"] == "512x650"
    )


@pytest.mark.parametrize("key", ZEROS)
@pytest.mark.parametrize("zero", [0, "0", 0.0])
def test_zeros_that_the_gui_drops_become_what_was_trained_with(
    key: str, zero: object, tmp_path: Path
) -> None:
    values = NEWEST | {key: zero, "noise_offset_type": "Multires", "multires_noise_iterations": 6}
    found = imported(tmp_path, values)
    assert found.settings[setting_of()[key]] == ZEROS[key]
    assert line(found, key).outcome == COMPUTED
    assert "drops 0" in line(found, key).why


def test_a_zero_is_a_zero_in_sd_scripts_own_arguments(tmp_path: Path) -> None:
    assert toml(tmp_path, "max_grad_norm = 0\n").settings["train.max_grad_norm"] == 0


def test_the_step_formula_is_named(tmp_path: Path) -> None:
    found = imported(tmp_path, NEWEST | {"epoch": 30})
    assert found.settings["train.max_train_epochs"] == 30
    assert found.settings["train.max_train_steps"] is None
    assert "cut epochs" in line(found, "epoch").why


def test_max_train_epochs_overrules_the_rest(tmp_path: Path) -> None:
    found = imported(tmp_path, NEWEST | {"epoch": 4, "max_train_epochs": "10", "max_train_steps": 900})
    assert found.settings["train.max_train_epochs"] == 10
    assert found.settings["train.max_train_steps"] is None
    assert {line(found, key).outcome for key in ("epoch", "max_train_steps")} == {CONTRADICTORY}


def test_sd_scripts_trains_1600_steps_where_nothing_is_said(tmp_path: Path) -> None:
    assert toml(tmp_path, "seed = 3\n").settings["train.max_train_steps"] == 1600


def test_left_over_convolutions_of_a_standard_lora(tmp_path: Path) -> None:
    found = imported(tmp_path, NEWEST)
    assert "network.conv_dim" not in found.settings
    assert "left over" in line(found, "conv_dim").why
    locon = imported(tmp_path, NEWEST | {"LoRA_type": "Kohya LoCon"})
    assert (locon.settings["network.type"], locon.settings["network.conv_dim"]) == ("locon", 16)
    assert locon.settings["network.preset"] == "kohya"


def test_a_locon_of_sd_scripts_without_an_alpha_of_its_own_has_1(tmp_path: Path) -> None:
    text = 'network_module = "networks.lora"\nnetwork_alpha = 8\nnetwork_args = ["conv_dim=4"]\n'
    assert toml(tmp_path, text).settings["network.conv_alpha"] == 1
    lycoris = text.replace("networks.lora", "lycoris.kohya").replace(
        '"conv_dim=4"', '"algo=locon", "conv_dim=4"'
    )
    assert toml(tmp_path, lycoris).settings.get("network.conv_alpha", 0) == 0, (
        "that of the rest, there and here"
    )


def test_dropout_of_lycoris_locon_did_nothing(tmp_path: Path) -> None:
    values = NEWEST | {"LoRA_type": "LyCORIS/LoCon", "network_dropout": 0.3}
    found = imported(tmp_path, values)
    assert found.settings["network.network_dropout"] == 0
    assert "did nothing" in line(found, "network_dropout").why
    assert imported(tmp_path, values | {"bypass_mode": True}).settings["network.network_dropout"] == 0.3
    assert imported(tmp_path, NEWEST | {"network_dropout": 0.3}).settings["network.network_dropout"] == 0.3


def test_adafactor_says_that_rates_have_no_effect(tmp_path: Path) -> None:
    found = imported(tmp_path, NEWEST | {"optimizer": "Adafactor"})
    assert "no effect" in line(found, "optimizer").why
    own = imported(tmp_path, NEWEST | {"optimizer": "Adafactor", "optimizer_args": "relative_step=False"})
    assert own.settings["optimizer.args"] == {"relative_step": False}
    assert line(own, "optimizer").why == ""


@pytest.mark.parametrize("text", ["weight_decay=0.1 betas=0.9,0.99", '"weight_decay=0.1" "betas=0.9,0.99"'])
def test_optimizer_arguments_with_and_without_quotes(text: str, tmp_path: Path) -> None:
    found = imported(tmp_path, NEWEST | {"optimizer_args": text})
    assert found.settings["optimizer.args"] == {"weight_decay": 0.1, "betas": [0.9, 0.99]}


def test_warmup_is_a_percentage_in_the_gui(tmp_path: Path) -> None:
    found = imported(tmp_path, NEWEST | {"lr_scheduler": "cosine", "lr_warmup": "8"})
    assert found.settings["lr_scheduler.lr_warmup_steps"] == "8%"
    none = imported(tmp_path, NEWEST | {"lr_warmup": 10})
    assert none.settings["lr_scheduler.lr_warmup_steps"] == "0"
    assert line(none, "lr_warmup").outcome == CONTRADICTORY


def test_the_switch_for_8_bits_of_early_files(tmp_path: Path) -> None:
    assert imported(tmp_path, OLDEST).settings["optimizer.name"] == "adamw8bit"
    assert imported(tmp_path, NEWEST | {"optimizer": "Lion"}).settings["optimizer.name"] == "lion"


def test_fields_of_other_families_are_passed_over(tmp_path: Path) -> None:
    found = imported(tmp_path, NEWEST | {"timestep_sampling": "sigma", "img_attn_dim": 4})
    assert "family" in line(found, "timestep_sampling").why
    assert "family" in line(found, "img_attn_dim").why


def test_a_rate_of_zero_trains_the_other_part_alone(tmp_path: Path) -> None:
    found = imported(tmp_path, NEWEST | {"text_encoder_lr": 0})
    assert found.settings["network.train_text_encoder"] is False
    assert "network.train_unet" not in found.settings


def test_only_the_chosen_kind_of_noise_is_taken(tmp_path: Path) -> None:
    noise = {"noise_offset_type": "Multires", "multires_noise_iterations": 6, "multires_noise_discount": 0.2}
    found = imported(tmp_path, NEWEST | noise)
    assert "loss.noise_offset" not in found.settings
    assert found.settings["loss.multires_noise_iterations"] == 6


def test_raw_arguments_go_before_the_fields(tmp_path: Path) -> None:
    found = imported(tmp_path, PRESETS["newest-raw"])
    assert found.settings["train.seed"] == 7
    assert line(found, "seed").outcome == CONTRADICTORY
    assert found.settings["network.train_text_encoder"] is False
    assert found.settings["lr_scheduler.name"] == "torch.optim.lr_scheduler.CosineAnnealingLR"
    assert found.settings["lr_scheduler.args"] == {"T_max": 1000, "eta_min": 0.0}
    assert "not read" in line(found, "additional_parameters: --wandb_api_key").why
    assert not any("stray" in item.why for item in found.lines)


def test_an_empty_caption_extension_means_caption_files(tmp_path: Path) -> None:
    assert imported(tmp_path, OLDEST).settings["dataset.caption_extension"] == ".caption"


def test_prompts_of_samples_become_previews(tmp_path: Path) -> None:
    found = imported(tmp_path, NEWER).settings
    assert found["preview.prompts"] == ["a cat"]
    assert found["preview.size"] == "768x1024"
    assert (found["preview.steps"], found["preview.seeds"], found["preview.sampler"]) == (25, [7], "euler_a")
    assert found["preview.negative_prompt"] == "blurry"


def test_families(tmp_path: Path) -> None:
    assert imported(tmp_path, OLDEST).family == "sd1"
    assert imported(tmp_path, NEWEST).settings["base_model.family"] == "sdxl"
    flux = imported(tmp_path, NEWEST | {"sdxl": False, "flux1_checkbox": True, "LoRA_type": "Flux1"})
    assert flux.family == ""
    assert {line(flux, key).outcome for key in ("flux1_checkbox", "LoRA_type")} == {CONTRADICTORY}


def test_arguments_of_sd_scripts_in_sections(tmp_path: Path) -> None:
    text = (
        '[net]\nnetwork_module = "lycoris.kohya"\nnetwork_dim = 8\n'
        'network_args = ["conv_dim=4", "algo=loha", "preset=attn-mlp"]\n[other]\nlearning_rate = 1e-3\n'
        'huggingface_token = "SECRET"\nlr_warmup_steps = 0.1\nlr_scheduler = "cosine"\n'
    )
    found = toml(tmp_path, text)
    assert found.kind == "sd-scripts arguments"
    assert found.settings["network.type"] == "loha"
    assert (found.settings["network.conv_dim"], found.settings["network.preset"]) == (4, "attn-mlp")
    assert found.settings["lr_scheduler.lr_warmup_steps"] == "0.1"
    assert "SECRET" not in repr(found)


def test_a_dataset_file_stays_what_it_is(tmp_path: Path) -> None:
    text = (
        "[general]\nshuffle_caption = true\n[[datasets]]\nresolution = 512\nhelo = 1\n"
        '[[datasets.subsets]]\nimage_dir = "a"\nnum_repeats = 10\ncolor_aug = true\n'
    )
    found = toml(tmp_path, text)
    assert found.settings == {"dataset.path": str((tmp_path / "preset.toml").resolve())}
    assert line(found, "datasets[0].subsets[0].num_repeats").outcome == KEPT
    assert {item.key for item in found.lines if item.outcome == CONTRADICTORY} == {
        "datasets[0].helo", "datasets[0].subsets[0].color_aug",
    }  # fmt: skip
    assert len(found.warnings) == 2


@pytest.mark.parametrize("text", ["", "[]", "{", "no preset", '{"cat": 1}', "\x00", '{"a": ' * 2000])
def test_what_is_no_preset_is_refused_in_one_message(text: str, tmp_path: Path) -> None:
    path = tmp_path / "preset.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(path.name)):
        convert(read(path))


def test_a_dollar_in_a_prompt_stays_text(tmp_path: Path) -> None:
    found = imported(tmp_path, NEWEST | {"training_comment": "costs ${5}"})
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "mine.yaml").write_text(recipe_text(found), encoding="utf-8")
    assert compose(["recipe=mine"], [str(tmp_path)], checked=False).train.training_comment == "costs ${5}"


KEYS = sorted({*NEWEST, *setting_of(), "cache_text_encoder_outputs", "sdpa", "algo", "network_module"})
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**20),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["0", "1e-4", "512,768", "a=1 b=", "--seed 1 --x", "None", "1,2", "10%", "\ud800", "${a}"]
    ),
    st.lists(st.one_of(st.integers(), st.text(max_size=5)), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@fuzz(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=8)), VALUES, max_size=25))
def test_whatever_stands_in_a_preset_is_accounted_for(tmp_path: Path, values: dict[str, Any]) -> None:
    path = tmp_path / "preset.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    try:
        found = convert(read(path))
    except ConfigError:
        return
    if found.kind == "dataset file":
        return
    keys = [item.key for item in found.lines]
    assert {key.encode("utf-8", "replace").decode() for key in values} <= set(keys)
    assert all(item.outcome in OUTCOMES for item in found.lines)
    for key, value in found.settings.items():
        rule = settings()[key].rule
        assert value is None or rule is None or rule(value) is None, (key, value)
    recipe_text(found).encode("utf-8")
