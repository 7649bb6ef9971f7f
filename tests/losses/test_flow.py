"""Rectified flow: values by hand, distributions by their quantiles, and diffusers' sampler."""

import math
from dataclasses import replace

import pytest
import torch

from lora_lab.config.schema import LossConfig
from lora_lab.losses.flow import Flow, shifted
from lora_lab.losses.loss import per_sample_loss
from lora_lab.losses.process import PROCESSES, noise_process
from lora_lab.losses.settings import FLOW, OF_FLOW, OF_SNR, check
from lora_lab.preview.samplers import SAMPLERS, build, first, scaled

PLAIN = LossConfig()
UNIFORM = LossConfig(timestep_sampling="uniform")


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


def test_noise_and_target_by_hand() -> None:
    flow = Flow()
    latents, noise = torch.full((2, 1, 1, 1), 3.0).double(), torch.full((2, 1, 1, 1), -1.0).double()
    times = torch.tensor([0.0, 250.0])
    assert flow.add_noise(latents, noise, times).flatten().tolist() == [3.0, 0.75 * 3 - 0.25]
    assert flow.target(latents, noise, times).flatten().tolist() == [-4.0, -4.0]
    assert flow.add_noise(latents, noise, flow.times([1000, 1000])).flatten().tolist() == [-1.0, -1.0]


def test_the_target_is_the_slope_of_the_noisy_latents() -> None:
    flow, drawn = Flow(), torch.randn(2, 5, 4, 3, 3, dtype=torch.float64)
    low, high = (flow.add_noise(drawn[0], drawn[1], flow.times([t] * 5)) for t in (400, 600))
    torch.testing.assert_close((high - low) / 0.2, flow.target(drawn[0], drawn[1], flow.times([500] * 5)))


@pytest.mark.parametrize(
    ("settings", "quantile"),
    [
        (PLAIN, lambda p: 1 / (1 + math.exp(-_normal(p)))),
        (replace(PLAIN, sigmoid_scale=0.5), lambda p: 1 / (1 + math.exp(-0.5 * _normal(p)))),
        (UNIFORM, lambda p: p),
        (replace(UNIFORM, flow_shift=3.0), lambda p: 3 * p / (1 + 2 * p)),
        (
            replace(PLAIN, timestep_sampling="uniform", min_timestep=200, max_timestep=600),
            lambda p: 0.2 + 0.4 * p,
        ),
    ],
)
def test_times_have_the_stated_distribution(settings: LossConfig, quantile) -> None:
    times = Flow().draw_times(settings, generators(4000)).double().sort().values / 1000
    assert times.dtype == torch.float64
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert abs(float(times[int(share * 4000)]) - quantile(share)) < 0.025, share


def _normal(share: float) -> float:
    return math.sqrt(2) * float(torch.erfinv(torch.tensor(2 * share - 1, dtype=torch.float64)))


def test_the_shift_keeps_both_ends_and_one_leaves_it() -> None:
    sigmas = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    assert shifted(sigmas, 3.0).tolist() == [0.0, 0.75, 1.0]
    assert torch.equal(shifted(sigmas, 1.0), sigmas)


def test_losses_by_hand() -> None:
    flow, zeros = Flow(), torch.zeros(2, 1, 1, 1)
    goal, times = torch.full((2, 1, 1, 1), 2.0), flow.times([0, 500])
    assert per_sample_loss(zeros, goal, times, PLAIN, flow).tolist() == [4.0, 4.0]
    huber = replace(PLAIN, loss_type="huber", huber_schedule="exponential", huber_c=0.25)
    expected = [2 * c * (math.sqrt(4 + c * c) - c) for c in (1.0, 0.5)]
    torch.testing.assert_close(per_sample_loss(zeros, goal, times, huber, flow), torch.tensor(expected))
    constant = replace(huber, huber_schedule="constant", huber_scale=2.0)
    expected = [2 * 0.5 * (math.sqrt(4.25) - 0.5)] * 2
    torch.testing.assert_close(per_sample_loss(zeros, goal, times, constant, flow), torch.tensor(expected))
    with pytest.raises(ValueError, match="huber_schedule=snr"):
        per_sample_loss(zeros, goal, times, replace(huber, huber_schedule="snr"), flow)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_euler_follows_a_known_velocity_to_its_end(shift: float) -> None:
    """With the true velocity of one latent, noise - x, every step stays on its line and the last is x."""
    noise, latent = torch.randn(1, 4, 2, 2), torch.randn(1, 4, 2, 2)
    scheduler = build("euler", Flow(), 5, "cpu", shift)
    sigmas = shifted(torch.linspace(1, 0.2, 5, dtype=torch.float64), shift)
    torch.testing.assert_close(scheduler.timesteps.double() / 1000, sigmas, rtol=0, atol=1e-6)
    now = first(scheduler, noise)
    for timestep, sigma in zip(scheduler.timesteps, sigmas, strict=True):
        torch.testing.assert_close(now, ((1 - sigma) * latent + sigma * noise).float(), rtol=1e-4, atol=1e-5)
        assert scaled(scheduler, now, timestep) is now
        now = scheduler.step(noise - latent, timestep, now).prev_sample
    torch.testing.assert_close(now, latent, rtol=1e-4, atol=1e-5)


def test_what_has_no_effect_and_what_is_refused() -> None:
    loud = {"min_snr_gamma": 5.0, "debiased_estimation_loss": True, "v_pred_like_loss": 0.5,
            "scale_v_pred_loss_like_noise_pred": True, "zero_terminal_snr": True}  # fmt: skip
    found = check(LossConfig(**loud), FLOW)
    assert {item.key for item in found.inert} == {f"loss.{name}" for name in OF_SNR}
    assert not found.refusals
    flows = {"timestep_sampling": "uniform", "sigmoid_scale": 2.0, "flow_shift": 3.0}
    for prediction in ("epsilon", "v_prediction"):
        found = check(LossConfig(**flows), prediction)
        assert {item.key for item in found.inert} == {f"loss.{name}" for name in OF_FLOW}
    assert [item.key for item in check(LossConfig(**flows), FLOW).inert] == ["loss.sigmoid_scale"]
    (refusal,) = check(LossConfig(loss_type="huber"), FLOW).refusals
    assert "constant or exponential" in refusal


def test_processes_and_samplers_fit() -> None:
    assert set(PROCESSES["ddpm"].samplers) == set(SAMPLERS)
    assert set(PROCESSES["flow"].samplers) == {name for name, item in SAMPLERS.items() if item.flow}
    betas = torch.linspace(0.01, 0.02, 10)
    for name, facts in PROCESSES.items():
        for prediction in facts.predictions:
            made = noise_process(name, betas, prediction)
            assert (made.name, made.prediction_type) == (name, prediction)
