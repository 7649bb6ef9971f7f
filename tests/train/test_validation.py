"""The validation loss against a computation of its own, and that measuring it changes nothing."""

import hashlib

import pytest
import torch

from lora_lab.models import encode_text, tokenize
from lora_lab.run.prepare import Caches, on_base, prepare
from lora_lab.train import PackTrainer, Runner
from tests.train.conftest import ROWS, Bench

SPLIT = ["train.validation_split=0.4", "train.validation_timesteps=[100,500,900]"]


@pytest.fixture(autouse=True)
def _rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROWS, "dropped", ["optimizer=adamw", "optimizer.learning_rate=1e-2",
                                          "network.network_dropout=0.5", "loss.min_snr_gamma=1"])  # fmt: skip


def by_hand(bench: Bench, runner: Runner, validation) -> dict[int, float]:
    """Every image alone, noise and formulas written out."""
    found = {}
    alpha_bar = torch.cumprod(1 - bench.base.betas, 0)
    for timestep in (100, 500, 900):
        losses = []
        for image in validation.images:
            text = f"0\nvalidation {image.key}\n{timestep}"
            seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
            noise = torch.randn(image.latent_Chw.shape, generator=torch.Generator().manual_seed(seed))
            share = alpha_bar[timestep]
            noisy = share.sqrt() * image.latent_Chw + (1 - share).sqrt() * noise
            runner._pack.route([runner.slot])
            runner._pack.new_draw({})
            states = encode_text(bench.base, tokenize(bench.base, [image.caption]), 1)
            predicted = bench.base.unet(
                noisy[None].double(), torch.tensor([timestep]), encoder_hidden_states=states.hidden
            ).sample[0]
            losses.append(float((predicted - noise).square().mean()))
        found[timestep] = sum(losses) / len(losses)
    return found


@pytest.mark.slow
def test_it_is_the_mean_over_samples_and_unlike_the_training_loss(bench: Bench) -> None:
    names = ["adamw", "dropped"]
    prepared = [prepare(on_base(bench.config(name, SPLIT), bench.base), Caches(bench.base)) for name in names]
    pack = bench.pack(prepared)
    trainer = PackTrainer(bench.base, pack)
    for slot, item in enumerate(prepared):
        trainer.add(Runner(item.job, slot, pack, item.source))
    assert [len(item.training_data.items) for item in prepared] == [3, 3]
    images = prepared[0].validation.images
    assert len(images) == 2 and len({tuple(p.latent_Chw.shape) for p in images}) <= 2
    assert all(image.caption.startswith("zz, tag") for image in images), "captions are not shuffled"
    for _ in range(4):
        trainer.step()
    results = []
    for runner, item in zip(trainer.active, prepared, strict=True):
        measured = trainer.validate(runner, item.validation)
        with torch.no_grad():
            expected = by_hand(bench, runner, item.validation)
        assert measured == pytest.approx(expected, rel=1e-5)
        results.append(measured)
    assert results[0] != results[1]
    pack.detach()


@pytest.mark.parametrize(
    "name", ["adamw", *(pytest.param(name, marks=pytest.mark.slow) for name in ("dropped", "unet only"))]
)
def test_measuring_changes_no_weight(bench: Bench, name: str) -> None:
    _, plain, _ = bench.train([name], SPLIT)
    (prepared,) = bench.prepared([name], SPLIT)
    pack = bench.pack([prepared])
    trainer = PackTrainer(bench.base, pack)
    runner = Runner(prepared.job, 0, pack, prepared.source)
    trainer.add(runner)
    state = torch.get_rng_state()
    while not runner.finished:
        trainer.validate(runner, prepared.validation)
        trainer.step()
    assert torch.equal(torch.get_rng_state(), state)
    measured = runner.weights()
    pack.detach()
    assert all(torch.equal(measured[key], plain[name][key]) for key in plain[name])


def test_batches_do_not_count_only_samples_do(bench: Bench) -> None:
    losses = []
    for size in (1, 2, 5):
        (prepared,) = bench.prepared(["adamw"], [*SPLIT, f"preview.batch_size={size}"])
        pack = bench.pack([prepared])
        trainer = PackTrainer(bench.base, pack)
        runner = Runner(prepared.job, 0, pack, prepared.source)
        losses.append(trainer.validate(runner, prepared.validation))
        pack.detach()
    assert losses[1] == pytest.approx(losses[0], rel=1e-5) and losses[2] == pytest.approx(losses[0], rel=1e-5)


def test_schedule_free_runs_are_measured_with_the_weights_for_use(bench: Bench) -> None:
    ROWS["free"] = ["optimizer=adamwschedulefree", "optimizer.learning_rate=1e-2"]
    (prepared,) = bench.prepared(["free"], SPLIT)
    pack = bench.pack([prepared])
    trainer = PackTrainer(bench.base, pack)
    runner = Runner(prepared.job, 0, pack, prepared.source)
    trainer.add(runner)
    for _ in range(4):
        trainer.step()
    measured = trainer.validate(runner, prepared.validation)
    runner.rest()
    with torch.no_grad():
        assert measured == pytest.approx(by_hand(bench, runner, prepared.validation), rel=1e-5)
    runner.go_on()
    with torch.no_grad():
        assert measured != pytest.approx(by_hand(bench, runner, prepared.validation), rel=1e-5)
    pack.detach()
    del ROWS["free"]
