"""`lora-lab copier` on a tiny base model, from two images to LoRA, sheet and numbers."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lora_lab.__main__ import main
from lora_lab.engines import Pack, Report
from lora_lab.lora_files.disk import read_lora
from lora_lab.run.events import Events
from lora_lab.run.task import Task
from lora_lab.run.work import PackWork
from lora_lab.store import SweepFolder, read_record
from tests import tiny
from tests.run.bench import Stop


class Here:
    """An engine that works in this process, and counts the packs."""

    def __init__(self) -> None:
        self.packs: list[int] = []

    def run(self, packs: Sequence[Pack], report: Report) -> None:
        """Work through the packs one after the other."""
        for pack in packs:
            tasks = [task for folder in pack.runs if (task := Task.open(folder))]
            self.packs.append(len(tasks))
            PackWork(tasks, len(tasks), Events(None), Stop()).run()
            for task in tasks:
                task.lock.release()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Here:
    torch.set_num_threads(1)
    here = Here()
    monkeypatch.setattr("lora_lab.sweep.launch.make_engine", lambda config: here)
    return here


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A command on a coloured image and its grey twin."""
    pixels = np.random.default_rng(0).integers(0, 255, (48, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels).convert("L").save(tmp_path / "b.png")
    return [
        "copier", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "base_model=sd15",
        f"base_model.path={tiny.folder()}", f"results={tmp_path}/results", f"cache={tmp_path}/cache",
        "device=cpu", "train.mixed_precision='no'", "train.max_train_epochs=1", "train.save_precision=fp32",
        "train.save_every_n_epochs=0", "optimizer.learning_rate=1e-2", "dataset.resolution='32x48'",
        "dataset.min_bucket_reso=64", "dataset.enable_bucket=false", "preview.prompts=['a cat','']",
        "preview.seeds=[1,2]", "preview.steps=2", "--quiet",
    ]  # fmt: skip


def delta(tensors: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    """The weight difference of one module, by the definition."""
    down, up = tensors[f"{name}.lora_down.weight"].double(), tensors[f"{name}.lora_up.weight"].double()
    return float(tensors[f"{name}.alpha"]) / len(down) * (up.flatten(1) @ down.flatten(1))


def test_two_images_become_a_lora(
    words: list[str], engine: Here, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--precision", "fp32", "--strengths=-1,0.5,1"]) == 0
    assert engine.packs == [2], "both train in one pack"
    folder = SweepFolder(tmp_path / "results" / "copier-a-b")
    own = {name: read_lora(folder.run(name).checkpoint("000001"))[0] for name in "AB"}
    made, metadata = read_lora(folder.path / "copier-a-b.safetensors")
    names = {key.rsplit(".lora_", 1)[0] for key in made if ".lora_" in key}
    assert len(names) == len({key.rsplit(".lora_", 1)[0] for key in own["A"] if ".lora_" in key})
    for name in names:
        wanted = delta(own["B"], name) - delta(own["A"], name)
        assert torch.allclose(delta(made, name), wanted, atol=1e-5 * float(wanted.abs().max()) + 1e-8), name
    assert "copier of 1 x B-000001 + -1 x A-000001" in metadata["ss_training_comment"]
    report = json.loads((folder.path / "copier.json").read_text(encoding="utf-8"))
    assert report["retained_energy"] == pytest.approx(1)
    assert [item["strength"] for item in report["strengths"]] == [-1, 0.5, 1]
    assert len(report["images"]) == 2 * 2 * 4
    still = [item for item in report["images"] if item["strength"] == 0]
    assert all((item["towards_b"], item["distance"]) == (0, 0) for item in still)
    assert set(report["copies"]) == {"base", "A", "B"}
    assert Image.open(folder.path / "copier" / report["images"][0]["file"]).size == (32, 48)
    colours = Image.open(folder.path / "copier.png").convert("RGB").getcolors(1 << 20)
    assert colours and len(colours) > 50
    assert "towards B" in capsys.readouterr().out
    assert main([*words, "--precision", "fp32"]) == 0, "the same command again trains nothing"
    assert engine.packs == [2]


@pytest.mark.slow
def test_b_on_a_base_that_holds_a(words: list[str], engine: Here, tmp_path: Path) -> None:
    assert main([*words, "--method", "merged-base", "--precision", "fp32"]) == 0
    assert engine.packs == [1, 1], "B has to wait for A"
    folder = SweepFolder(tmp_path / "results" / "copier-a-b")
    made, _ = read_lora(folder.path / "copier-a-b.safetensors")
    own, _ = read_lora(folder.run("B").checkpoint("000001"))
    name = next(key.removesuffix(".alpha") for key in own if key.endswith(".alpha") and "unet" in key)
    assert torch.allclose(delta(made, name), delta(own, name), atol=1e-6)


def test_a_failed_run_makes_no_copier(
    words: list[str], engine: Here, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "optimizer.learning_rate=1e30"]) == 1
    assert read_record(SweepFolder(tmp_path / "results" / "copier-a-b").run("A")).status == "diverged"
    assert "no copier was made: both LoRAs are needed" in capsys.readouterr().err
    assert not (tmp_path / "results" / "copier-a-b" / "copier.png").exists()


@pytest.mark.parametrize(
    ("more", "words_"),
    [
        (["third.png"], "give two images, A.png and its edited twin B.png; got 3"),
        (["--name", "a/b"], "--name: name 'a/b' cannot be a folder"),
        (["-o", "copier.ckpt"], "--output copier.ckpt must end in .safetensors"),
        (["netwrok.network_dim=4"], "unknown setting 'netwrok.network_dim'"),
        (["dataset.path=x"], "dataset.path is set by the command"),
        (["--new-rank", "0"], "--new-rank must be at least 1, got 0"),
        (["--strengths", "a,b"], "invalid strengths value: 'a,b'"),
    ],
)
def test_wrong_requests(
    words: list[str], engine: Here, more: list[str], words_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, *more]) == 2
    assert words_ in capsys.readouterr().err
    assert engine.packs == []
