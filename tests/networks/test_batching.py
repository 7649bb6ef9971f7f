import random

import pytest
import torch

from lora_lab.networks.batching import plan_blocks

CPU = torch.device("cpu")


def plan(slots, scales=None):
    return plan_blocks(slots, scales or [1.0] * len(slots), CPU, torch.float64)


@pytest.mark.parametrize(
    "slots, groups, size",
    [([0, 1, 2, 3], 4, 1), ([2, 2, 3, 3], 2, 2), ([5, 5, 5], 1, 3), ([-1, 1, 2, -1], 2, 1)],
)
def test_sorted_equal_batches_are_one_block_on_views(slots, groups, size):
    (block,) = plan(slots)
    assert (block.groups, block.size) == (groups, size)
    assert isinstance(block.samples, slice) and isinstance(block.slots, slice)


def test_nothing_to_do():
    assert plan([-1, -1]) == ()


def test_a_previews_two_halves_stay_views():
    blocks = plan([0, 1, 2, 0, 1, 2])
    assert [block.samples for block in blocks] == [slice(0, 3), slice(3, 6)]
    assert [block.parts for block in blocks] == [(0, 0, 0), (1, 1, 1)]


def test_equal_scales_are_a_number():
    (block,) = plan([0, 1], [0.5, 0.5])
    assert block.scale == 0.5
    (block,) = plan([0, 1], [0.5, 0.25])
    assert block.scale.flatten().tolist() == [0.5, 0.25]


@pytest.mark.parametrize("seed", range(50))
def test_every_sample_meets_its_slot_and_scale_once(seed):
    """For random assignments: selecting by blocks, then scaling, gives each sample its own row."""
    rng = random.Random(seed)
    slots = [rng.randint(-1, 5) for _ in range(rng.randint(1, 12))]
    if seed % 2:
        slots.sort()
    scales = [rng.random() for _ in slots]
    rows, found = torch.arange(6), torch.full((len(slots),), -1.0, dtype=torch.float64)
    for block in plan(slots, scales):
        samples = block.take(torch.arange(len(slots)))
        used = rows[block.slots].repeat_interleave(block.size)
        scale = (
            block.scale.flatten()
            if isinstance(block.scale, torch.Tensor)
            else torch.full((len(samples),), block.scale)
        )
        assert (found[samples] == -1).all()
        found[samples] = used + scale.double() / 10
    for slot, scale, value in zip(slots, scales, found.tolist(), strict=True):
        assert value == pytest.approx(-1 if slot < 0 else slot + scale / 10, abs=1e-6)
