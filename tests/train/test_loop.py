"""Packed training equals training alone, whatever the pack-mates do; and goes on exactly after a stop."""

from typing import Any

import pytest
import torch

from tests.train.conftest import ROWS, Bench, Weights

EIGHT = list(ROWS)


def largest_difference(one: Weights, other: Weights) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.fixture(scope="module")
def packed(bench: Bench) -> dict[str, Weights]:
    return bench.train(EIGHT)[1]


@pytest.mark.parametrize("name", EIGHT)
def test_a_run_in_a_pack_of_eight_equals_the_run_alone(
    bench: Bench, packed: dict[str, Weights], name: str
) -> None:
    _, alone, _ = bench.train([name])
    moved = max(float(tensor.abs().max()) for key, tensor in alone[name].items() if "lora_up" in key)
    assert moved > 1e-6
    assert largest_difference(packed[name], alone[name]) < 1e-9


def test_two_different_seeds_give_different_weights(bench: Bench, packed: dict[str, Weights]) -> None:
    _, other, _ = bench.train(["adamw"], ["train.seed=7"])
    assert largest_difference(packed["adamw"], other["adamw"]) > 1e-4


@pytest.mark.slow
def test_a_diverging_run_ends_and_disturbs_nobody(
    bench: Bench, packed: dict[str, Weights], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROWS, "wild", ["optimizer=sgdnesterov", "optimizer.learning_rate=1e300"])
    _, weights, records = bench.train(["adamw", "wild", "lion", "locon"])
    wild = [record for record in records if record.run == "wild"]
    assert wild[-1].ended == "diverged" and "not finite" in wild[-1].reason
    assert len(wild) < 20
    for name in ("adamw", "lion", "locon"):
        assert largest_difference(packed[name], weights[name]) < 1e-9


def test_a_broken_optimizer_fails_its_own_run_only(
    bench: Bench, packed: dict[str, Weights], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = torch.optim.SGD.step

    def breaking(self: torch.optim.SGD, *args: Any) -> Any:
        raise RuntimeError("no kernel for this device")

    monkeypatch.setattr(torch.optim.SGD, "step", breaking)
    _, weights, records = bench.train(["adamw", "unet only"])
    monkeypatch.setattr(torch.optim.SGD, "step", step)
    broken = [record for record in records if record.run == "unet only"]
    assert [record.ended for record in broken] == ["failed"]
    assert "no kernel for this device" in broken[0].reason
    assert largest_difference(packed["adamw"], weights["adamw"]) < 1e-9


@pytest.mark.parametrize(
    ("name", "stop"),
    [
        ("adamw", 1),
        ("locon", 2),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (("adafactor", 4), ("accumulated", 3))),
    ],
)
def test_resuming_alone_is_bit_for_bit(bench: Bench, name: str, stop: int) -> None:
    _, straight, _ = bench.train([name])
    bench.train([name], until=lambda runner: runner.update >= stop)
    bench.train([name], states=bench.states, until=lambda runner: runner.update >= stop + 2)
    _, resumed, _ = bench.train([name], states=bench.states)
    assert largest_difference(straight[name], resumed[name]) == 0.0


@pytest.mark.slow
def test_resuming_in_the_same_pack_is_bit_for_bit(bench: Bench) -> None:
    # A run that accumulates makes its updates at other passes than its pack-mates, so that a stop composes
    # the passes differently afterwards; that case is the next test's.
    names = [name for name in EIGHT if name != "accumulated"]
    _, straight, _ = bench.train(names)
    bench.train(names, until=lambda runner: runner.update >= 3)
    _, resumed, _ = bench.train(names, states=bench.states)
    for name in names:
        assert largest_difference(straight[name], resumed[name]) == 0.0


@pytest.mark.slow
def test_resuming_in_another_pack_is_within_rounding(bench: Bench, packed: dict[str, Weights]) -> None:
    bench.train(EIGHT, until=lambda runner: runner.update >= 3)
    states = dict(bench.states)
    for name in ("adafactor", "locon"):
        _, resumed, _ = bench.train([name], states=states)
        assert largest_difference(packed[name], resumed[name]) < 1e-9


def test_records_count_steps_epochs_and_samples(bench: Bench) -> None:
    _, _, records = bench.train(["lion", "accumulated"])
    lion = [record for record in records if record.run == "lion"]
    # buckets of 3 and 2 images x 2 repeats at batch 2: ceil(6 / 2) + ceil(4 / 2) updates per epoch
    assert [record.step for record in lion] == list(range(1, 11))
    assert [record.epoch for record in lion] == [1] * 5 + [2] * 5
    assert lion[-1].samples == 20
    accumulated = [record for record in records if record.run == "accumulated"]
    assert accumulated[-1].step == 10 and accumulated[-1].samples == 20
    assert all(record.key_norm is not None and record.key_norm <= 0.01 * 1.0001 for record in accumulated)


def test_the_loss_of_shared_seeds_starts_equal(bench: Bench) -> None:
    """Runs with one seed see the same first image, noise and timestep; a new LoRA changes nothing."""
    _, _, records = bench.train(["adamw", "adafactor"])
    first = [record.loss for record in records if record.step == 1]
    assert first[0] == pytest.approx(first[1], rel=1e-9)
