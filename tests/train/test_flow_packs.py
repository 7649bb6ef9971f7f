"""Flows in a pack are trained as alone, in float64, so that rounding cannot hide errors."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lora_lab.models import load
from tests import flow_family
from tests.train.conftest import Bench
from tests.train.test_loop import largest_difference

NAMES = ("adamw", "lion", "unet only", "accumulated", "offset")
EXTRA = ("loss.huber_schedule=constant", "loss.flow_shift=2.5")


@pytest.fixture(scope="module")
def flows(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with flow_family.registered():
        bench = Bench(images, tmp_path_factory.mktemp("cache"), torch.float64)
        bench.base = load(flow_family.folder(), dtype=torch.float64)
        yield bench


@pytest.mark.slow
def test_a_run_in_a_pack_equals_the_run_alone(flows: Bench) -> None:
    _, packed, _ = flows.train(NAMES, EXTRA)
    for name in NAMES:
        _, alone, _ = flows.train([name], EXTRA)
        assert (
            max(float(tensor.abs().max()) for key, tensor in alone[name].items() if "lora_up" in key) > 1e-5
        )
        assert largest_difference(packed[name], alone[name]) < 1e-12, name


def test_resuming_is_bit_for_bit(flows: Bench) -> None:
    _, whole, _ = flows.train(["adamw"], EXTRA)
    flows.train(["adamw"], EXTRA, until=lambda runner: runner.update == 7)
    _, resumed, _ = flows.train(["adamw"], EXTRA, states=flows.states)
    assert largest_difference(whole["adamw"], resumed["adamw"]) == 0
