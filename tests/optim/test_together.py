"""Optimizers of several runs in one set of operations, against each run's own steps."""

import copy

import pytest
import torch

from lora_lab.optim.build import build, layout, set_lrs
from lora_lab.optim.together import in_one_view, joins, step_together

STEPS = 200
SHAPES = {
    "stacked": [(3, 4, 6), (2, 5, 3, 3, 3), (2, 4, 7, 1, 1)],
    "flat": [(50,), (31,)],
    "tensors": [(4, 6), (5, 3, 3, 3), (7,)],
}
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
    "prodigy": ("prodigy", [{"weight_decay": decay, "d0": 1e-3} for decay in (0.0, 0.1, 0.3)], 1.0),
    "prodigy, what runs may differ in": (
        "prodigy",
        [
            {"use_bias_correction": True, "d_coef": 2.0, "d0": 1e-3},
            {"safeguard_warmup": True, "growth_rate": 1.05, "d0": 1e-2},
            {"eps": 1e-3, "use_bias_correction": True, "safeguard_warmup": True, "d_coef": 0.5, "d0": 1e-2},
        ],
        1.0,
    ),
    "prodigy, coupled": (
        "prodigy", [{"decouple": False, "weight_decay": decay, "d0": 1e-2} for decay in (0.0, 0.1, 0.3)], 1.0
    ),
    "prodigy, beta3": ("prodigy", [{"beta3": 0.9, "betas": [0.8, 0.99], "d0": 1e-2}, {}, {"d0": 0.1}], 1.0),
    "prodigy, no momentum": ("prodigy", [{"betas": [0.0, 0.99], "d0": 1e-2}] * 3, 0.1),
    "prodigy, slices": ("prodigy", [{"slice_p": 3, "d0": 1e-2}] * 3, 1.0),
    "dadaptation": (
        "dadaptation",
        [{"weight_decay": 0.1, "d0": 1e-2}, {"growth_rate": 1.02, "d0": 1e-2}, {"d0": 1e-1}],
        1.0,
    ),
    "dadaptation, decoupled": (
        "dadaptation", [{"decouple": True, "weight_decay": decay, "d0": 1e-2} for decay in (0, 0.1, 0.3)], 1.0
    ),
    "dadaptadam": (
        "dadaptadam",
        [{"use_bias_correction": True, "d0": 1e-2}, {"growth_rate": 1.02, "d0": 1e-2}, {"weight_decay": 0.1}],
        1.0,
    ),
    "dadaptadam, decoupled": (
        "dadaptadam", [{"decouple": True, "weight_decay": decay, "d0": 1e-2} for decay in (0, 0.1, 0.3)], 1.0
    ),
    "dadaptlion": ("dadaptlion", [{"weight_decay": decay, "d0": 1e-3} for decay in (0.0, 0.1, 0.3)], 0.1),
    "dadaptsgd": (
        "dadaptsgd",
        [{"weight_decay": 0.1, "momentum": 0.9}, {"momentum": 0.9, "growth_rate": 1.02, "d0": 1e-2}, {}],
        1.0,
    ),
    "dadaptadagrad": (
        "dadaptadagrad",
        [{"weight_decay": 0.1, "d0": 1e-2}, {"growth_rate": 1.02, "d0": 1e-2}, {"momentum": 0.9}],
        1.0,
    ),
    "dadaptadan": (
        "dadaptadan",
        [{"weight_decay": 0.0, "d0": 1e-2}, {"growth_rate": 1.02, "d0": 1e-2}, {"no_prox": True}],
        1.0,
    ),
}  # fmt: skip


class Runs:
    """Runs on leaves that are rows of one block, as in a pack, with gradients that pull to a goal of each."""

    def __init__(self, name, args, rate, dtype=torch.float64):
        generator = torch.Generator().manual_seed(3)
        shapes = SHAPES[layout(name, args[0])]
        sizes = [torch.Size(shape).numel() for shape in shapes]
        self.masters = torch.randn(len(args), sum(sizes) + 16, generator=generator, dtype=dtype)
        self.goals = torch.randn(self.masters.shape, generator=generator, dtype=dtype)
        self.masters[:2, : sizes[0]] = 0  # as ups begin; the third goes on from another LoRA
        self.grads = torch.zeros_like(self.masters)
        self.optimizers = []
        for run, arguments in enumerate(args):
            params = []
            for shape, piece in zip(shapes, torch.arange(sum(sizes)).split(sizes), strict=True):
                span = slice(int(piece[0]), int(piece[-1]) + 1)
                leaf = torch.nn.Parameter(self.masters[run, span].view(shape))
                leaf.grad = self.grads[run, span].view(shape)
                params.append(leaf)
            parts = {"unet": params[:-1], "text_encoder": params[-1:]}
            groups = [{"params": own, "lr": rate * (1 + run), "part": part} for part, own in parts.items()]
            self.optimizers.append(build(name, groups, arguments))

    def begin(self, step):
        """The gradients of a step, and its rates.

        They are as uneven as a batch's: where they vanish, Adam's quotients make rounding large.
        """
        generator = torch.Generator().manual_seed(step)
        share = torch.rand((), generator=generator)
        noise = torch.randn(self.masters.shape, generator=generator, dtype=self.masters.dtype)
        self.grads.copy_(self.masters - self.goals).mul_(share).add_(noise, alpha=0.3)
        self.grads[:, -16:] = 0
        for run, optimizer in enumerate(self.optimizers):
            off = step == 0 or (run == 1 and 70 <= step < 73)
            set_lrs(optimizer, 0 if off else 1 / (1 + 0.01 * step * run))

    def without_gradients(self, run):
        self.grads[run] = 0


def assert_same_state(one, other):
    """All that is stored: numbers of the groups, and tensors."""
    mine, theirs = one.state_dict(), other.state_dict()
    assert [list(group) for group in mine["param_groups"]] == [list(g) for g in theirs["param_groups"]]
    for group, same in zip(mine["param_groups"], theirs["param_groups"], strict=True):
        for name, value in group.items():
            number = isinstance(value, float)
            assert value == (pytest.approx(same[name], rel=1e-12) if number else same[name]), name
    assert mine["state"].keys() == theirs["state"].keys()
    for index, state in mine["state"].items():
        assert state.keys() == theirs["state"][index].keys()
        for name, value in state.items():
            torch.testing.assert_close(value, theirs["state"][index][name], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("case", CASES)
def test_steps_together_equal_steps_alone(case):
    """All runs end where they end alone; one comes later, one rests for a while, and all resume from stored
    states. Rates are 0 at first, as in a warmup, and of one run later on."""
    together, alone = Runs(*CASES[case]), Runs(*CASES[case])
    start = alone.masters.clone()
    for step in range(STEPS):
        resting = 1 if 50 <= step < 60 else 2 if step < 20 else -1
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
    assert (alone.masters - start).abs().amax(1).min() > 0.01
    assert torch.equal(together.masters[:, -16:], start[:, -16:])
    for pair in zip(together.optimizers, alone.optimizers, strict=True):
        assert_same_state(*pair)


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
    assert not broken.masters[1, :-16].isfinite().any() or "lion" in case


ESTIMATING = [case for case in CASES if case.startswith(("prodigy", "dadapt"))]


@pytest.mark.parametrize("case", ESTIMATING)
def test_runs_without_gradients_wait_for_some_as_they_do_alone(case):
    """One has none at first, one none for a while: what these classes leave undone then is left undone."""
    together, alone = Runs(*CASES[case]), Runs(*CASES[case])
    for step in range(1, 30):
        for runs in (together, alone):
            runs.begin(step)
            if step < 5 and "sgd" not in case:  # it divides by the norm of its first
                runs.without_gradients(0)
            if 10 <= step < 15:
                runs.without_gradients(1)
        step_together(together.optimizers)
        for optimizer in alone.optimizers:
            optimizer.step()
    torch.testing.assert_close(together.masters, alone.masters, rtol=1e-12, atol=1e-12)
    for pair in zip(together.optimizers, alone.optimizers, strict=True):
        assert_same_state(*pair)


@pytest.mark.parametrize("case", ["prodigy", "dadaptation", "dadaptadam", "dadaptlion"])
def test_estimating_takes_one_reading_for_all_runs(case, monkeypatch):
    runs, read = Runs(*CASES[case]), []
    for name in ("tolist", "item", "__float__", "__bool__"):
        method = getattr(torch.Tensor, name)

        def counted(tensor, method=method, name=name):
            read.append(name)
            return method(tensor)

        monkeypatch.setattr(torch.Tensor, name, counted)
    for step in range(4):
        runs.begin(step)
        read.clear()
        step_together(runs.optimizers)
    assert read == ["tolist"]


def test_a_run_whose_step_breaks_is_named_and_the_others_make_theirs():
    runs, healthy = Runs(*CASES["dadaptation"]), Runs(*CASES["dadaptation"])
    for step in range(6):
        runs.begin(step)
        healthy.begin(step)
        if step == 4:
            for group in runs.optimizers[1].param_groups:
                group["d"] = 1e200  # its square is beyond what a number can be
        failed = step_together(runs.optimizers)
        assert list(failed) == ([runs.optimizers[1]] if step >= 4 else [])
        step_together(healthy.optimizers)
    assert isinstance(failed[runs.optimizers[1]], OverflowError)
    assert torch.equal(runs.masters[[0, 2]], healthy.masters[[0, 2]])


def test_a_run_whose_first_step_breaks_is_named_and_the_others_make_theirs(monkeypatch):
    runs, healthy = Runs(*CASES["lion"]), Runs(*CASES["lion"])
    first = runs.optimizers[1]

    def breaking():
        raise RuntimeError("no kernel")

    monkeypatch.setattr(first, "step", breaking)
    for step in range(3):
        runs.begin(step)
        healthy.begin(step)
        assert list(step_together(runs.optimizers)) == [first]
        step_together(healthy.optimizers)
    assert torch.equal(runs.masters[[0, 2]], healthy.masters[[0, 2]])


def test_what_cannot_step_together_is_told():
    assert all(joins(one) for one in Runs(*CASES["lion"]).optimizers)
    assert not any(joins(one) for one in Runs("adamw", [{}], 1e-3).optimizers)
    assert not any(joins(one) for one in Runs("lion", [{}], 1e-3, torch.bfloat16).optimizers)
    assert all(joins(one) for case in ESTIMATING for one in Runs(*CASES[case]).optimizers)
    assert not any(joins(one) for one in Runs("dadaptadam", [{"log_every": 5}], 1.0).optimizers)
    assert not any(joins(one) for one in Runs("dadaptadanip", [{}], 1.0).optimizers)
    newer = Runs("prodigy", [{}], 1.0).optimizers[0]
    newer.param_groups[0]["an argument of another version"] = True
    assert not joins(newer)


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
