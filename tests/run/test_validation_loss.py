"""The validation loss through a whole run: when it is measured, where it stands, and what it leaves alone."""

from pathlib import Path

import pytest
import torch

from lora_lab.files import read_lines
from lora_lab.lora_files.disk import read_lora
from lora_lab.run.task import Task
from lora_lab.store import RunFolder, read_record
from lora_lab.store.table import rows
from lora_lab.training_data import gather
from tests.run.bench import Bench, Stop, write_images


class StopAfter(Stop):
    """An interrupt that comes when a run has logged so many updates."""

    def __init__(self, folder: RunFolder, updates: int) -> None:
        super().__init__()
        self.folder, self.updates = folder, updates

    @property
    def reason(self) -> str:
        return "stopped by SIGTERM" if len(read_lines(self.folder.steps_file)) >= self.updates else ""


OWN = ("preview.seeds=[]", "train.save_precision=fp32", "train.validation_timesteps=[300,700]")


def losses(bench: Bench, name: str) -> dict[int, float]:
    lines = read_lines(bench.sweep.run(name).steps_file)
    return {row["step"]: row["validation_loss"] for row in lines if "validation_loss" in row}


@pytest.mark.slow
def test_split_pack_table_and_resume(bench: Bench) -> None:
    own = (*OWN, "train.validation_split=0.4", "train.validate_every_n_steps=2")
    folders = [bench.write("a", *own), bench.write("b", *own, "optimizer=lion")]
    bench.work(folders)
    records = [read_record(folder) for folder in folders]
    assert [record.status for record in records] == ["done", "done"], records[0].reason
    assert [(record.images, record.step) for record in records] == [(3, 6), (3, 6)]
    for folder, record in zip(folders, records, strict=True):
        # an epoch of three steps: every second step, and every checkpoint
        assert list(losses(bench, folder.name)) == [2, 3, 4, 6]
        for checkpoint in record.checkpoints:
            assert set(checkpoint.validation) == {"300", "700"}
            assert checkpoint.validation_loss == pytest.approx(sum(checkpoint.validation.values()) / 2)
            assert checkpoint.validation_loss == losses(bench, folder.name)[checkpoint.step]
    assert losses(bench, "a") != losses(bench, "b")
    table = rows(bench.sweep)
    assert [row["validation_loss"] for row in table] == [
        item.validation_loss for record in records for item in record.checkpoints
    ]
    keys = list(table[0])
    at = keys.index("validation_loss")
    assert keys[at - 1 : at + 3] == ["loss", "validation_loss", "validation_loss.300", "validation_loss.700"]
    _, metadata = read_lora(folders[0].path / records[0].checkpoints[0].file)
    assert metadata["ss_num_validation_images"] == "2" and metadata["ss_num_train_images"] == "3"

    stopped = bench.write("c", *own, "train.save_state_every_n_steps=1")
    bench.work([stopped], stop=StopAfter(stopped, 3))
    assert read_record(stopped).status == "cancelled"
    bench.work([stopped])
    assert read_record(stopped).resumed_at_steps == [3]
    assert losses(bench, "c") == pytest.approx(losses(bench, "a"), rel=1e-4)


def test_a_folder_of_its_own_changes_no_weight(bench: Bench, tmp_path: Path) -> None:
    other = write_images(tmp_path / "held", 2)
    bench.work([bench.write("plain", *OWN)])
    bench.work([bench.write("held", *OWN, f"dataset.validation_path={other}")])
    plain, held = (read_record(bench.sweep.run(name)) for name in ("plain", "held"))
    assert [item.validation_loss is None for item in (*plain.checkpoints, *held.checkpoints)] == [
        True, True, False, False
    ]  # fmt: skip
    one, two = (read_lora(bench.sweep.run(name).checkpoint("000002"))[0] for name in ("plain", "held"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_validation_images_that_are_trained_on_are_named(bench: Bench, images: Path) -> None:
    config = Task.open(bench.write("a", f"dataset.validation_path={images}")).config
    texts = [str(problem) for problem in gather(config).problems]
    assert any("5 of 5 validation images are trained on, too" in text for text in texts)
