"""The way back: what sd-scripts' own parser knows, and no more; and through the import again unchanged."""

import json
import math
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lora_lab.__main__ import main
from lora_lab.config import compose, dump, flat, from_dict
from lora_lab.kohya import Arguments, arguments, convert, read, toml_text
from lora_lab.models.families import ASSUMED, FAMILIES
from lora_lab.optim.schedules import steps_of
from lora_lab.store import RunRecord, SweepFolder, write_record
from tests.kohya.presets import FILES, FIRST, NEWEST, WHOLE, file_of, written

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "sd_scripts_parser.json").read_text())
TYPES = {"bool": bool, "int": int, "float": float, "str": str, "int_or_float": (int, float)}
LENGTHS = ("lr_scheduler.lr_warmup_steps", "lr_scheduler.lr_decay_steps")


def hold(made: Arguments) -> None:
    """Every argument is one of the parser's, of its type, one of its choices."""
    known = GOLDEN["arguments"] | (GOLDEN["sdxl_only"] if made.script.startswith("sdxl") else {})
    assert set(made.values) <= set(known)
    for name, value in made.values.items():
        items = value if known[name].get("nargs") else [value]
        assert isinstance(items, list), name
        for item in items:
            wanted = TYPES[known[name]["type"]]
            assert isinstance(item, wanted) and (wanted is bool or not isinstance(item, bool)), (name, value)
            assert "choices" not in known[name] or item in known[name]["choices"], (name, value)


def back(folder: Path, made: Arguments) -> dict[str, Any]:
    """The settings that the import makes of arguments; every key of them has its line."""
    file = folder / "back.toml"
    file.write_text(toml_text(made.values, "head"), encoding="utf-8")
    assert tomllib.loads(file.read_text(encoding="utf-8")) == made.values
    found = convert(read(file))
    keys = {
        line.key for line in found.lines if ": " not in line.key and not line.key.startswith("network_args ")
    }
    assert set(made.values) <= keys
    assert [line for line in found.lines if line.outcome == "contradictory"] == []
    return found.settings


def whole(settings: dict[str, Any]) -> dict[str, Any]:
    """Imported settings over the defaults."""
    nested: dict[str, Any] = {}
    for key, value in settings.items():
        group, _, last = key.rpartition(".")
        (nested.setdefault(group, {}) if group else nested)[last] = value
    return flat(from_dict(nested, checked=False))


def test_presets_are_of_all_ages() -> None:
    assert (len(FIRST), len(WHOLE)) == (28, 287) and len(FILES) > 30


@pytest.mark.parametrize("name", FILES)
def test_a_preset_of_any_age_goes_back(name: str, tmp_path: Path) -> None:
    path, keys = file_of(tmp_path, name)
    found = convert(read(path))
    assert keys <= {line.key.rpartition(": ")[2] for line in found.lines}, "no key unaccounted for"
    assert not any("that is known here" in line.why for line in found.lines), "and none unknown"
    there = whole(found.settings)
    made = arguments(there, FAMILIES[found.family or ASSUMED], "mine")
    hold(made)
    again = whole(back(tmp_path, made))
    if there["network.type"] == "locon" and not there["network.conv_dim"]:
        for name in ("dim", "alpha"):
            there[f"network.conv_{name}"] = there[f"network.network_{name}"]
    for key in LENGTHS:
        there[key], again[key] = steps_of(there[key], 10_000), steps_of(again[key], 10_000)
    skipped = {key for key in there if any(note.startswith(f"{key}") for note in made.notes)}
    skipped |= {key for key in there if key.startswith("preview.")} | {"name", "results", "base_model.family"}
    # What is off in the preset has no argument; sd-scripts' own default then stands in the import.
    skipped |= {"network.network_dropout"} if made.values["network_module"] != "networks.lora" else set()
    differ = {
        key: (there[key], again[key]) for key in there if there[key] != again[key] and key not in skipped
    }
    assert {key: pair for key, pair in differ.items() if not inert(key, there)} == {}


def inert(key: str, v: dict[str, Any]) -> bool:
    """Whether a setting says nothing in a config, so that it needs no argument."""
    if key == "loss.prior_loss_weight":
        return not v["dataset.reg_path"]
    if key in ("network.conv_dim", "network.conv_alpha"):
        return v["network.type"] == "lora"
    if key == "loss.multires_noise_discount":
        return not v["loss.multires_noise_iterations"]
    return key == "dataset.token_warmup_min" and not v["dataset.token_warmup_step"]


@pytest.mark.parametrize("words", [
    ["optimizer=lion", "network=locon", "network.down_lr_weight='1,1,0.5'", "optimizer.loraplus_lr_ratio=16"],
    ["optimizer=prodigy", "optimizer.args.betas=[0.9,0.99]", "optimizer.args.use_bias_correction=true"],
    ["network=dora", "network.network_dropout=0.1", "lr_scheduler=cosine",
     "lr_scheduler.lr_warmup_steps='10%'"],
    ["network=lokr", "train.mixed_precision=bf16", "train.max_train_steps=null", "train.max_train_epochs=3"],
    ["optimizer=adam", "loss.multires_noise_iterations=6", "dataset.resolution='512x768'", "loss=min_snr"],
    ["lr_scheduler.name=torch.optim.lr_scheduler.StepLR", "+lr_scheduler.args={step_size: 10}",
     "dataset.repeats=4", "base_model.max_token_length=225", "train.save_precision=fp32"],
])  # fmt: skip
@pytest.mark.parametrize("family", ["sd15", "sd2", "sdxl"])
def test_settings_of_ours_are_arguments_of_its_parser(words: list[str], family: str) -> None:
    words = [f"base_model={family}", "base_model.path=m.safetensors", "dataset.path=/x", *words]
    config = compose(words, checked=False)
    made = arguments(flat(config), next(item for item in FAMILIES.values() if item.conf == family), "mine")
    hold(made)
    assert made.values["pretrained_model_name_or_path"] == "m.safetensors"
    assert ("v2" in made.values) == (family == "sd2")
    assert (made.script == "sdxl_train_network.py") == (family == "sdxl")
    if "dataset.repeats=4" in words:
        assert any("folder names" in note for note in made.notes)
        assert made.values["lr_scheduler_args"] == ["step_size=10"]
    if "network=dora" in words:
        assert {"algo=locon", "dora_wd=True", "wd_on_output=False"} <= set(made.values["network_args"])
        assert "network_dropout" not in made.values and math.isclose(made.values["lr_warmup_steps"], 0.1)


def test_the_command_writes_what_the_run_was_trained_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = SweepFolder(tmp_path / "results" / "colours").run("red")
    prompts = ["preview.prompts=['a cat']", "preview.seeds=[7]"]
    config = compose(["base_model=demo", "dataset=demo", "optimizer=lion", *prompts], checked=False)
    dump(config, run.config_file)
    write_record(run, RunRecord("done"))
    assert main(["export-kohya", "colours/red"]) == 0
    printed = capsys.readouterr().out
    folder = tmp_path / "results" / "colours" / "exports"
    values = tomllib.loads((folder / "red.toml").read_text())
    assert values["optimizer_type"] == "lion" and values["output_name"] == "red"
    assert values["sample_prompts"] == str(folder / "red.prompts.txt")
    assert (folder / "red.prompts.txt").read_text().startswith("a cat --w ")
    assert "--d 7" in (folder / "red.prompts.txt").read_text() and "colours/exports/red.toml" in printed
    assert main(["export-kohya", "results/colours/red", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["arguments"]["optimizer_type"] == "lion"
    assert main(["export-kohya", "colours/blue"]) == 2
    assert "there is no run colours/blue" in capsys.readouterr().err


def test_secrets_and_text_of_any_kind(tmp_path: Path) -> None:
    odd = NEWEST | {"training_comment": 'a "quoted" \\ line\nあ\x7f', "caption_prefix": "é,"}
    made = arguments(whole(convert(read(written(tmp_path, odd))).settings), FAMILIES[ASSUMED], "n")
    assert back(tmp_path, made)["train.training_comment"] == odd["training_comment"]
    assert "SECRET" not in toml_text(made.values)
