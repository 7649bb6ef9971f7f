"""Every family through a real run: from its file, with the prediction and noise schedule it speaks of."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lora_lab.config import load
from lora_lab.files import read_lines
from lora_lab.lora_files.disk import read_lora
from lora_lab.losses.schedule import noise_schedule
from lora_lab.models import identify, save_single_file
from lora_lab.models.identify import CONFIG_METADATA
from lora_lab.run import prepare as preparing
from lora_lab.store import read_record
from tests import tiny
from tests.run.bench import Bench

OWN = ("train.max_train_steps=2", "preview.steps=2")


@pytest.fixture
def noobai(tmp_path: Path) -> Path:
    """An SDXL file marked as NoobAI's v-prediction models are: two empty tensors, `v_pred` and `ztsnr`."""
    file = tmp_path / "noob.safetensors"
    save_single_file(tiny.base("sdxl"), file)
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    tensors = load_file(file)
    own = json.loads(metadata[CONFIG_METADATA])
    # Our own files state their scheduler; a file of another origin has the markers alone.
    own.pop("scheduler")
    marks = {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    save_file({**tensors, **marks}, file, {CONFIG_METADATA: json.dumps(own)})
    return file


def test_noobais_markers_decide_prediction_and_schedule(
    bench: Bench, noobai: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = identify(noobai)
    assert (found.family, found.prediction_type, found.zero_terminal_snr) == ("sdxl", "v_prediction", True)
    processes = []
    process_of = preparing.process_of
    monkeypatch.setattr(
        preparing, "process_of", lambda *args: processes.append(process_of(*args)) or processes[-1]
    )
    folder = bench.write("a", *OWN, f"base_model.path={noobai}")
    bench.work([folder])
    record = read_record(folder)
    assert record.status == "done", record.reason
    (used,) = processes
    assert used.prediction_type == "v_prediction"
    torch.testing.assert_close(
        used.schedule.alphas_cumprod_T, noise_schedule("v_prediction", True).alphas_cumprod_T
    )
    assert float(used.schedule.snr_T[-1]) == 0
    tensors, metadata = read_lora(folder.path / record.checkpoints[0].file)
    assert {name.split("_")[1] for name in tensors} == {"unet", "te1", "te2"}
    assert metadata["modelspec.prediction_type"] == "v"
    assert [row["loss"] > 0 for row in read_lines(folder.steps_file)] == [True, True]
    assert record.checkpoints[0].previews[0].metrics["base_distance"] is not None


@pytest.mark.parametrize("key", ["modelspec.prediction_type", "modelspec.predict_key"])
@pytest.mark.parametrize("word", ["epsilon", "Eps", "v", "vpred", "a word of another tool"])
def test_metadata_against_the_marker_is_said_and_the_marker_counts(noobai: Path, key: str, word: str) -> None:
    """ComfyUI, Forge and A1111 go by the tensor; metadata stays behind in merged models."""
    with safe_open(noobai, "pt") as opened:
        metadata = opened.metadata()
    save_file(load_file(noobai), noobai, {**metadata, key: word})
    found = identify(noobai)
    assert found.prediction_type == "v_prediction"
    said = [text for text in found.problems if "contradicts itself" in text]
    assert bool(said) == (word.lower() in ("epsilon", "eps"))
    for text in said:
        assert f"its tensor v_pred says v_prediction, its metadata ({key}) says epsilon; v_prediction" in text
        assert "base_model.v_parameterization=true or false" in text


@pytest.mark.parametrize(("word", "is_velocity"), [("v", True), ("v-prediction", True), ("epsilon", False)])
def test_metadata_alone_is_believed(noobai: Path, word: str, is_velocity: bool) -> None:
    with safe_open(noobai, "pt") as opened:
        metadata = opened.metadata()
    tensors = {name: value for name, value in load_file(noobai).items() if name != "v_pred"}
    save_file(tensors, noobai, {**metadata, "modelspec.predict_key": word})
    found = identify(noobai)
    assert (found.prediction_type == "v_prediction", found.prediction_stated) == (is_velocity, True)
    assert not any("contradicts" in text for text in found.problems)


def test_the_config_overrules_what_a_model_says_of_itself(bench: Bench, noobai: Path) -> None:
    losses = {}
    for value in ("null", "true", "false"):
        said = f"base_model.v_parameterization={value}"
        folder = bench.write(value, *OWN, f"base_model.path={noobai}", said, "preview.seeds=[]")
        bench.work([folder])
        losses[value] = [row["loss"] for row in read_lines(folder.steps_file)]
        assert load(folder.config_file).name == value
    assert losses["null"] == losses["true"] != losses["false"]


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_single_files_train_as_folders_do(bench: Bench, family: str, tmp_path: Path) -> None:
    file = tmp_path / f"{family}.safetensors"
    save_single_file(tiny.base(family), file)
    losses = []
    for name, path in (("file", file), ("folder", tiny.folder(family))):
        folder = bench.write(name, *OWN, f"base_model.path={path}", "preview.seeds=[]")
        bench.work([folder])
        assert read_record(folder).status == "done", read_record(folder).reason
        losses.append([row["loss"] for row in read_lines(folder.steps_file)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
