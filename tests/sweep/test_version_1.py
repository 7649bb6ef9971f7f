"""A finished and a half-done sweep of the first version: skipped, resumed and read as what they are.

The data was made with the code of that time: four finished runs, and `long`, stopped at step 62 of 600.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch

from lora_lab.__main__ import main
from lora_lab.lora_files.disk import read_lora
from lora_lab.store import SweepFolder, read_record
from lora_lab.sweep import plan, read_sweep

DATA = Path(__file__).parents[1] / "data" / "version1"


@pytest.fixture
def old(tmp_path: Path) -> SweepFolder:
    """The sweep as it would lie on this machine."""
    shutil.copytree(DATA / "pictures", tmp_path / "pictures")
    shutil.copytree(DATA / "old", tmp_path / "results" / "old")
    for file in (tmp_path / "results" / "old").rglob("*"):
        if file.suffix in (".json", ".yaml"):
            file.write_text(file.read_text().replace("{place}", str(tmp_path)))
    return SweepFolder(tmp_path / "results" / "old")


def test_finished_runs_are_skipped_and_the_half_done_one_resumes(old: SweepFolder) -> None:
    made = plan(read_sweep(old.sweep_file), folder=old)
    assert {row.name: row.status for row in made.rows} == {
        "reference": "done", "alpha-4": "done", "decay": "done", "long": "resume", "reference-r2": "done",
    }  # fmt: skip
    assert made.row("long").reason == "goes on after step 62"
    # States and files bear the fingerprint of their time; a new row finds them all the same.
    assert made.row("long").fingerprint == read_record(old.run("long")).fingerprint
    assert made.row("decay").resolved.fingerprint == made.row("reference").resolved.fingerprint


@pytest.mark.parametrize(
    "changed", ["network.network_alpha=2", "train.max_train_steps=7", "train.seed=9", "loss.min_snr_gamma=5"]
)
def test_another_experiment_is_still_another_one(old: SweepFolder, changed: str) -> None:
    made = plan(read_sweep(old.sweep_file), [changed], folder=old)
    assert {row.status for row in made.rows} == {"conflict"}


def test_another_image_is_another_experiment(old: SweepFolder, tmp_path: Path) -> None:
    (tmp_path / "pictures" / "3_miko" / "001.txt").write_text("another caption")
    assert {row.status for row in plan(read_sweep(old.sweep_file), folder=old).rows} == {"conflict"}


def test_its_table_and_verdict_are_read(
    old: SweepFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["table", str(old.path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["run"] for row in rows} == {"reference", "alpha-4", "decay", "long", "reference-r2"}
    scores = tmp_path / "scores.csv"
    scores.write_text("run,score\nreference,60\nreference-r2,64\nalpha-4,40\ndecay,61\n")
    assert main(["verdict", str(old.path), "--scores", str(scores), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    effects = {item["key"]: item["contrasts"] for item in found["settings"]}
    assert list(effects) == ["network.network_alpha"]
    (alpha,) = effects["network.network_alpha"]
    assert (alpha["reference"], alpha["level"]) == (1, 4)
    # decay is the reference with a default written out: the same seed, the same experiment, one run.
    assert alpha["difference"] == pytest.approx(40 - 62, abs=0.5)


@pytest.mark.slow
def test_the_half_done_run_ends_as_one_that_was_never_stopped(old: SweepFolder, tmp_path: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in old.path.glob("*/checkpoints/*")}
    assert main(["sweep", str(old.path), "--quiet"]) == 0
    record = read_record(old.run("long"))
    assert (record.status, record.resumed_at_steps) == ("done", [62])
    assert all(file.stat().st_mtime_ns == mtime for file, mtime in before.items())
    alone = ["train.max_train_steps=600", "train.save_every_n_epochs=0", "name=whole", "sweep=new"]
    base = [text for text in read_sweep(old.sweep_file).base if not text.startswith("train.max_train_steps")]
    own = [text for text in base if not text.startswith("train.save_every_n_epochs")]
    assert main(["train", *own, *alone, "--quiet"]) == 0
    whole = SweepFolder(tmp_path / "results" / "new").run("whole")
    one, other = (
        read_lora(run.path / read_record(run).checkpoints[-1].file)[0] for run in (old.run("long"), whole)
    )
    assert one.keys() == other.keys()
    # The state is of another machine; half precision in the file rounds what differs by float order.
    assert all(torch.allclose(one[key].float(), other[key].float(), atol=2e-3) for key in one)
