"""fp16 with a loss scale per run: the scale follows torch's rule, and one run's overflow is its own."""

from pathlib import Path

import pytest
import torch

from lora_lab.train import PackTrainer, Runner
from lora_lab.train.scaling import LossScale
from tests.train.conftest import Bench


@pytest.fixture(scope="module")
def half(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(images, tmp_path_factory.mktemp("cache"), torch.float16)


def test_the_scale_follows_torchs_scaler() -> None:
    theirs = torch.amp.GradScaler("cpu", enabled=True)
    ours = LossScale(True)
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    pattern = [True] * 1999 + [False] + [True] * 2001 + [False, False]
    for finite in pattern:
        theirs.scale(weight.sum()).backward()
        if not finite:
            weight.grad.fill_(float("inf"))
        theirs.step(optimizer)
        theirs.update()
        optimizer.zero_grad()
        ours.update(finite)
    assert ours.scale == theirs.get_scale()
    assert ours.good_updates == theirs.state_dict()["_growth_tracker"]


def test_without_scaling_the_factor_is_one_and_an_overflow_is_the_end() -> None:
    off = LossScale(False)
    assert off.factor == 1.0 and off.hopeless
    on = LossScale(True)
    assert on.factor == 65536.0 and not on.hopeless


@pytest.mark.slow
def test_an_overflow_costs_its_own_run_a_step_and_nobody_else(half: Bench) -> None:
    names = ["adamw", "unet only"]
    prepared = half.prepared(names, ["train.max_train_steps=6"])
    assert all(item.job.loss_scaling for item in prepared)

    def run(chosen: list[int], scale: float) -> dict[str, list]:
        pack = half.pack([prepared[i] for i in chosen])
        trainer = PackTrainer(half.base, pack)
        for slot, i in enumerate(chosen):
            trainer.add(Runner(prepared[i].job, slot, pack, prepared[i].source))
        trainer.active[0].scale.scale = scale
        records: dict[str, list] = {names[i]: [] for i in chosen}
        while trainer.active:
            for record in trainer.step():
                records[record.run].append(record)
            for runner in [item for item in trainer.active if item.finished]:
                trainer.remove(runner)
        pack.detach()
        return records

    together = run([0, 1], 2.0**30)
    overflowed = [record.skipped for record in together["adamw"]]
    assert overflowed[0] and not any(record.ended for record in together["adamw"])
    assert not any(record.skipped for record in together["unet only"])
    alone = run([1], 65536.0)
    ours = [record.loss for record in together["unet only"]]
    assert ours == pytest.approx([record.loss for record in alone["unet only"]], rel=1e-2)


def test_the_scale_does_not_show_in_gradient_norms(half: Bench) -> None:
    (prepared,) = half.prepared(["adamw"], ["train.max_train_steps=1"])
    norms = []
    for scale in (64.0, 4096.0):
        pack = half.pack([prepared])
        trainer = PackTrainer(half.base, pack)
        runner = Runner(prepared.job, 0, pack, prepared.source)
        runner.scale.scale = scale
        trainer.add(runner)
        norms += [record.grad_norm for record in trainer.step()]
        pack.detach()
    assert norms[0] == pytest.approx(norms[1], rel=2e-2) and norms[0] > 0


@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", 1e-3), ("adafactor", 1e-3), ("prodigy", 10.0)])
@pytest.mark.slow
def test_full_fp16_trains_and_resumes_bit_for_bit(half: Bench, optimizer: str, rate: float) -> None:
    """The bench's adapters are fp16 themselves, as under train.full_fp16."""
    own = [f"optimizer={optimizer}", f"optimizer.learning_rate={rate}", "train.max_train_steps=4"]
    _, straight, records = half.train(["adamw"], own)
    assert not any(record.ended for record in records)
    half.train(["adamw"], own, until=lambda runner: runner.update >= 2)
    _, resumed, _ = half.train(["adamw"], own, states=half.states)
    assert all(torch.equal(straight["adamw"][key], resumed["adamw"][key]) for key in straight["adamw"])
    ups = [tensor for key, tensor in straight["adamw"].items() if "lora_up" in key]
    assert any(float(tensor.abs().max()) > 0 for tensor in ups)
