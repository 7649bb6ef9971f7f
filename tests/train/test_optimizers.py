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


PAIRS = {
    f"{name} {decay}": [
        f"optimizer={name}",
        f"optimizer.args={{weight_decay: {decay}, d0: 0.001}}",
        "optimizer.learning_rate=1.0",
        "network.network_dim=2",
        "network.train_text_encoder=false",
    ]
    for name in ("prodigy", "dadaptation")
    for decay in (0.0, 0.1)
}


def test_runs_that_estimate_together_end_as_alone_and_resume_bit_for_bit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, row in PAIRS.items():
        monkeypatch.setitem(ROWS, name, row)
    own = ["train.max_train_steps=6"]
    _, straight, records = bench.train(list(PAIRS), own)
    rates = [record.learning_rates["unet"] for record in records if record.run == "prodigy 0.1"]
    assert rates == sorted(rates) and rates[-1] > 1.5 * rates[0], "d has grown, as the records tell"
    _, alone, _ = bench.train(["prodigy 0.1"], own)
    for key, tensor in alone["prodigy 0.1"].items():
        torch.testing.assert_close(straight["prodigy 0.1"][key], tensor, rtol=1e-9, atol=1e-9)
    bench.train(list(PAIRS), own, until=lambda runner: runner.update >= 3)
    _, resumed, _ = bench.train(list(PAIRS), own, states=bench.states)
    for name in PAIRS:
        assert all(torch.equal(straight[name][key], resumed[name][key]) for key in straight[name]), name
