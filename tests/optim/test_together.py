"""Optimizers of several runs in one set of operations, against each run's own steps."""

import copy

import pytest
import torch

from lora_lab.optim.build import build, layout, set_lrs
from lora_lab.optim.together import in_one_view, joins, step_together

STEPS = 200
SHAPES = {"stacked": [(3, 4, 6), (2, 5, 3, 3, 3), (2, 4, 7, 1, 1)], "flat": [(50,), (31,)]}
CASES = {
    "adafactor": ("adafactor", [{}, {}, {"weight_decay": 0.1}], 1.0),
    "adafactor, warmup": ("adafactor", [{"warmup_init": True, "beta1": 0.9}] * 3, 1.0),
    "adafactor, fixed": (
        "adafactor",
        [
            {"relative_step": False, "scale_parameter": False, "weight_decay": decay}
            for decay in (0.0, 0.1, 0.3)
        ],
        1e-2,
    ),
    "lion": ("lion", [{"weight_decay": decay} for decay in (0.0, 0.1, 0.3)], 1e-2),
    "sgd": ("sgd", [{"weight_decay": decay} for decay in (0.0, 0.1, 0.3)], 1e-1),
    "sgd, momentum": ("sgd", [{"momentum": 0.9, "dampening": 0.2}] * 3, 1e-1),
    "sgdnesterov": ("sgdnesterov", [{"maximize": True}, {}, {}], 1e-1),
}  # fmt: skip


class Runs:
    """Runs on leaves that are rows of one block, as in a pack, with gradients that pull to a goal of each."""

    def __init__(self, name, args, rate, dtype=torch.float64):
        generator = torch.Generator().manual_seed(3)
        shapes = SHAPES[layout(name, args[0])]
        sizes = [torch.Size(shape).numel() for shape in shapes]
        self.masters = torch.randn(len(args), sum(sizes) + 16, generator=generator, dtype=dtype)
        self.goals = torch.randn(self.masters.shape, generator=generator, dtype=dtype)
        self.grads = torch.zeros_like(self.masters)
        self.optimizers = []
        for run, own in enumerate(args):
            params = []
            for shape, piece in zip(shapes, torch.arange(sum(sizes)).split(sizes), strict=True):
                span = slice(int(piece[0]), int(piece[-1]) + 1)
                leaf = torch.nn.Parameter(self.masters[run, span].view(shape))
                leaf.grad = self.grads[run, span].view(shape)
                params.append(leaf)
            groups = [{"params": params, "lr": rate * (1 + run), "part": "unet"}]
            self.optimizers.append(build(name, groups, own))

    def begin(self, step):
        """The gradients of a step, and its rates."""
        self.grads.copy_(self.masters - self.goals).mul_(
            torch.rand((), generator=torch.Generator().manual_seed(step))
        )
        for run, optimizer in enumerate(self.optimizers):
            set_lrs(optimizer, 1 / (1 + 0.01 * step * run))


@pytest.mark.parametrize("case", CASES)
def test_steps_together_equal_steps_alone(case):
    """All runs end where they end alone; one rests for a while, and all resume from stored states."""
    together, alone = Runs(*CASES[case]), Runs(*CASES[case])
    start = alone.masters.clone()
    for step in range(STEPS):
        resting = 1 if 50 <= step < 60 else -1
        together.begin(step)
        alone.begin(step)
        if step == 100:
            for optimizer in together.optimizers:
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        step_together([one for run, one in enumerate(together.optimizers) if run != resting])
        for run, optimizer in enumerate(alone.optimizers):
            if run != resting:
                optimizer.step()
    torch.testing.assert_close(together.masters, alone.masters, rtol=1e-12, atol=1e-12)
    assert (alone.masters - start).abs().max() > 0.01
    assert torch.equal(together.masters[:, -16:], start[:, -16:])


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_is_not_finite_leaves_its_neighbours_alone(case):
    healthy, broken = Runs(*CASES[case]), Runs(*CASES[case])
    for step in range(5):
        for runs in (healthy, broken):
            runs.begin(step)
            if runs is broken and step == 2:
                runs.grads[1] = float("nan")
            step_together(runs.optimizers)
    assert torch.equal(healthy.masters[[0, 2]], broken.masters[[0, 2]])
    assert not broken.masters[1, :-16].isfinite().any() or case == "lion"


def test_what_cannot_step_together_is_told():
    assert all(joins(one) for one in Runs(*CASES["lion"]).optimizers)
    assert not any(joins(one) for one in Runs("adamw", [{}], 1e-3).optimizers)
    assert not any(joins(one) for one in Runs("lion", [{}], 1e-3, torch.bfloat16).optimizers)


def test_one_view_of_tensors_at_equal_distances():
    block = torch.arange(24.0).view(4, 6)
    rows = [block[run, 1:4] for run in range(4)]
    found = in_one_view(rows)
    assert torch.equal(found, block[:, 1:4])
    assert found.data_ptr() == rows[0].data_ptr()
    assert in_one_view([rows[0], rows[1], rows[3]]) is None
    assert in_one_view([rows[1], rows[0]]) is None
    assert in_one_view([rows[0], rows[1].clone()]) is None
    assert in_one_view([rows[0], rows[1][:2]]) is None
