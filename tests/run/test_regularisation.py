"""Prior preservation through a whole run: what counts as seen, and the weight of its loss."""

from pathlib import Path

import pytest
import torch

from lora_lab.lora_files.disk import read_lora
from lora_lab.store import read_record
from lora_lab.store.table import rows
from tests.run.bench import Bench, write_images

OWN = ("preview.seeds=[]", "train.save_precision=fp32", "train.save_every_n_steps=4")


@pytest.fixture
def reg(tmp_path: Path) -> Path:
    return write_images(tmp_path / "reg", 4, "1_girl")


def test_exposures_count_training_images_alone(bench: Bench, reg: Path) -> None:
    folder = bench.write("a", *OWN, f"dataset.reg_path={reg}")
    bench.work([folder])
    record = read_record(folder)
    # five training draws and five of regularisation per epoch, two epochs
    assert (record.status, record.images, record.samples, record.reg_samples) == ("done", 5, 20, 10)
    assert record.exposures_per_image == 2.0
    for row, item in zip(rows(bench.sweep), record.checkpoints, strict=True):
        assert row["exposures"] == pytest.approx((item.samples - item.reg_samples) / 5)
    assert [item.reg_samples for item in record.checkpoints if item.tag.startswith("00000")] == [5, 10]


@pytest.mark.slow
def test_weight_zero_is_training_without_their_loss(bench: Bench, reg: Path) -> None:
    own = (*OWN, f"dataset.reg_path={reg}", "optimizer=sgd", "optimizer.learning_rate=0.1")
    weights = {}
    for value in (0, 1):
        folder = bench.write(f"w{value}", *own, f"loss.prior_loss_weight={value}")
        bench.work([folder])
        losses = [row["loss"] for row in rows(bench.sweep) if row["run"] == folder.name]
        weights[value] = read_lora(folder.checkpoint("000002"))[0], losses
    assert any(not torch.equal(weights[0][0][key], weights[1][0][key]) for key in weights[0][0])
    assert weights[0][1][-1] < weights[1][1][-1], "half of the draws have no loss"
