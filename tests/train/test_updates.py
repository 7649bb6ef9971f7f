"""What one update does, by hand: clipping, accumulation, rates by part, LoRA+, the schedule's rate."""

import pytest
import torch

from lora_lab.config.schema import LrSchedulerConfig
from lora_lab.optim.schedules import lr_factor
from lora_lab.train import PackTrainer, Record, Runner
from tests.train.conftest import Bench, Weights

SGD = [
    "optimizer=sgd",
    "optimizer.learning_rate=0.5",
    "train.max_grad_norm=0",
    "dataset.shuffle_caption=false",
]


def updates(bench: Bench, extra: list[str], count: int = 1) -> tuple[Weights, Weights, list[Record]]:
    """Weights before and after some updates of a run, and their records."""
    (prepared,) = bench.prepared(["adamw"], extra)
    pack = bench.pack([prepared])
    trainer = PackTrainer(bench.base, pack)
    runner = Runner(prepared.job, 0, pack, prepared.source)
    # Ups start at zero, where downs have no gradient.
    generator = torch.Generator().manual_seed(3)
    start = {
        key: torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype) * 0.05
        if tensor.dim()
        else tensor
        for key, tensor in runner.weights().items()
    }
    pack.load(0, start)
    trainer.add(runner)
    records: list[Record] = []
    while len(records) < count:
        records += trainer.step()
    after = runner.weights()
    pack.detach()
    return start, after, records


def moved(before: Weights, after: Weights, part: str = "", side: str = "lora_") -> torch.Tensor:
    keys = [key for key in before if part in key and side in key]
    return torch.cat([(after[key] - before[key]).flatten() for key in keys])


def test_clipping_scales_the_whole_step_to_the_norm(bench: Bench) -> None:
    before, after, (plain,) = updates(bench, SGD)
    step = moved(before, after)
    assert float(step.norm()) == pytest.approx(0.5 * plain.grad_norm, rel=1e-6)
    limit = plain.grad_norm / 3
    before, after, (record,) = updates(bench, [*SGD, f"train.max_grad_norm={limit}"])
    assert record.grad_norm == pytest.approx(plain.grad_norm), "the log has the norm before clipping"
    clipped = moved(before, after)
    assert float(clipped.norm()) == pytest.approx(0.5 * limit, rel=1e-4)
    torch.testing.assert_close(clipped * 3, step, rtol=1e-4, atol=1e-9)
    before, after, _ = updates(bench, [*SGD, f"train.max_grad_norm={plain.grad_norm * 2}"])
    torch.testing.assert_close(moved(before, after), step)


def test_accumulated_batches_are_their_mean(bench: Bench) -> None:
    """Two batches of one make the step of their mean gradient, counted as one update."""
    own = [*SGD, "dataset.enable_bucket=false"]
    before, after, records = updates(bench, [*own, "train.gradient_accumulation_steps=2"])
    together = moved(before, after)
    before, after, (batched,) = updates(bench, [*own, "train.train_batch_size=2"])
    torch.testing.assert_close(together, moved(before, after), rtol=1e-6, atol=1e-12)
    assert [(record.step, record.samples) for record in records] == [(1, 2)]
    assert records[0].loss == pytest.approx(batched.loss)


def test_each_part_has_its_rate(bench: Bench) -> None:
    before, after, _ = updates(bench, SGD)
    own = [*SGD, "optimizer.unet_lr=0.25", "optimizer.text_encoder_lr=0.05"]
    _, other, (record,) = updates(bench, own)
    for part, share in (("lora_unet", 0.5), ("lora_te", 0.1)):
        torch.testing.assert_close(moved(before, other, part), share * moved(before, after, part))
    assert record.learning_rates == pytest.approx({"unet": 0.25, "text_encoder": 0.05})
    _, other, _ = updates(bench, [*SGD, "optimizer.text_encoder_lr=0"])
    assert not any("lora_te" in key for key in other), "rate 0 leaves the part out"


def test_loraplus_multiplies_the_rate_of_ups(bench: Bench) -> None:
    before, after, _ = updates(bench, SGD)
    _, other, _ = updates(bench, [*SGD, "optimizer.loraplus_lr_ratio=4"])
    torch.testing.assert_close(moved(before, other, side="lora_up"), 4 * moved(before, after, side="lora_up"))
    torch.testing.assert_close(moved(before, other, side="lora_down"), moved(before, after, side="lora_down"))


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (["lr_scheduler=cosine", "lr_scheduler.lr_warmup_steps=2"], LrSchedulerConfig("cosine", "2")),
        (["lr_scheduler=linear", "lr_scheduler.lr_warmup_steps=25%"], LrSchedulerConfig("linear", "25%")),
        (["lr_scheduler=piecewise_constant", "lr_scheduler.step_rules='1:3,0.1'"],
         LrSchedulerConfig("piecewise_constant", step_rules="1:3,0.1")),
    ],
)  # fmt: skip
def test_the_log_has_the_schedules_rate_of_each_step(
    bench: Bench, words: list[str], settings: LrSchedulerConfig
) -> None:
    own = [*SGD, *words, "train.max_train_epochs=null", "train.max_train_steps=8"]
    before, after, records = updates(bench, own, 8)
    expected = [0.5 * lr_factor(i, settings, 8, 0.5) for i in range(8)]
    assert [record.learning_rates["unet"] for record in records] == pytest.approx(expected)


def test_a_warmup_begins_with_a_step_of_nothing(bench: Bench) -> None:
    own = [*SGD, "lr_scheduler=constant_with_warmup", "lr_scheduler.lr_warmup_steps=4"]
    before, after, _ = updates(bench, own)
    assert float(moved(before, after).abs().max()) == 0.0


def test_timesteps_stay_in_their_range(bench: Bench) -> None:
    (prepared,) = bench.prepared(["adamw"], ["loss.min_timestep=300", "loss.max_timestep=310"])
    seen = set()
    for update in range(60):
        (draws,) = prepared.source.micro_batches(update, 1)
        seen |= set(prepared.source.batch(draws, update).times_B.tolist())
    assert seen <= set(range(300, 310)) and len(seen) > 5


def test_the_prior_weight_multiplies_the_loss_of_regularisation(bench: Bench, images) -> None:
    own = [f"dataset.reg_path={images}", "loss.prior_loss_weight=0.3"]
    (prepared,) = bench.prepared(["adamw"], own)
    for update in range(8):
        (draws,) = prepared.source.micro_batches(update, 1)
        is_reg = prepared.source.items[draws.draws[0].image].is_reg
        (weight,) = prepared.source.batch(draws, update).weights_B.tolist()
        assert weight == pytest.approx(0.3 if is_reg else 1.0)
    own[1] = "loss.prior_loss_weight=1"
    (prepared,) = bench.prepared(["adamw"], own)
    batches = [prepared.source.micro_batches(update, 1)[0] for update in range(8)]
    kinds = {prepared.source.items[batch.draws[0].image].is_reg for batch in batches}
    assert kinds == {True, False}
