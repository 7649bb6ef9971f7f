"""Every optimizer trains a real adapter in a pack, stops, and goes on exactly, alone and in its pack."""

import warnings
from collections.abc import Iterator

import pytest
import torch

from lora_lab.optim import registry
from tests.train.conftest import ROWS, Bench

NAMES = [name for name in registry.names() if registry.find(name).alias_of is None]


@pytest.fixture(scope="module")
def single(images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench in float32, with a row per optimizer."""
    for name in NAMES:
        row = registry.find(name)
        rate = 1.0 if row.learning_rate_about_one else (1e-1 if "sgd" in name else 1e-3)
        ROWS[f"opt {name}"] = [
            f"optimizer={name}",
            f"optimizer.learning_rate={rate}",
            "network.network_dim=2",
        ]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Paged optimizers are not supported on CPU")
        yield Bench(images, tmp_path_factory.mktemp("cache"), torch.float32)
    for name in NAMES:
        del ROWS[f"opt {name}"]


@pytest.mark.slow
def test_all_train_together_and_resume_bit_for_bit(single: Bench) -> None:
    names = [f"opt {name}" for name in NAMES]
    own = ["train.max_train_steps=8"]  # RAdam moves nothing in its first five
    _, straight, records = single.train(names, own)
    assert {record.ended for record in records} == {""}
    for name in names:
        losses = [record.loss for record in records if record.run == name]
        assert len(losses) == 8
        # D-Adaptation and Prodigy begin at 1e-6, and their first updates are that small.
        assert any(float(t.abs().max()) > 0 for key, t in straight[name].items() if "lora_up" in key), name
    single.train(names, own, until=lambda runner: runner.update >= 6)
    _, resumed, _ = single.train(names, own, states=single.states)
    different = [
        name
        for name in names
        if not all(torch.equal(straight[name][key], resumed[name][key]) for key in straight[name])
    ]
    assert different == []
