"""What is drawn: statistics, independence of the batch, and the reference's formulas on its own numbers."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_lab.config.schema import LossConfig
from lora_lab.losses import noise
from lora_lab.losses.ddpm import Ddpm
from lora_lab.losses.schedule import noise_schedule

GOLDEN = Path(__file__).parents[1] / "golden" / "loss_weights"
TENSORS = load_file(GOLDEN / "noise_and_losses.safetensors")
DDPM = Ddpm(noise_schedule())
LATENTS = TENSORS["latents"]
EVERYTHING = LossConfig(
    noise_offset=0.1,
    noise_offset_random_strength=True,
    adaptive_noise_scale=0.01,
    multires_noise_iterations=4,
    ip_noise_gamma=0.1,
    ip_noise_gamma_random_strength=True,
)


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize(
    ("adaptive", "key"), [(0.0, "noise_offset_0.1"), (0.01, "noise_offset_0.1_adaptive_0.01")]
)
def test_offset_noise_equals_the_reference(adaptive, key, monkeypatch):
    used = iter(TENSORS["noise_offset.randn_used"])
    monkeypatch.setattr(noise, "_normal", lambda *_: next(used))
    settings = LossConfig(noise_offset=0.1, adaptive_noise_scale=adaptive)
    made = noise.offset_noise(TENSORS["noise"], LATENTS, settings, generators(1, 2, 3, 4))
    torch.testing.assert_close(made, TENSORS[key], rtol=0, atol=1e-6)


def test_a_sample_does_not_depend_on_its_batch():
    together = noise.draw(LATENTS, EVERYTHING, DDPM, generators(1, 2, 3, 4))
    alone = noise.draw(LATENTS[2:3], EVERYTHING, DDPM, generators(3))
    assert torch.equal(together.times_B[2:3], alone.times_B)
    assert torch.equal(together.noise_BCHW[2:3], alone.noise_BCHW)
    assert torch.equal(together.input_noise_BCHW[2:3], alone.input_noise_BCHW)
    assert not torch.equal(together.noise_BCHW[1], alone.noise_BCHW[0])


def test_runs_that_differ_in_noise_settings_share_timesteps_and_plain_noise():
    plain = noise.draw(LATENTS, LossConfig(), DDPM, generators(1, 2, 3, 4))
    perturbed = noise.draw(LATENTS, LossConfig(ip_noise_gamma=0.1), DDPM, generators(1, 2, 3, 4))
    everything = noise.draw(LATENTS, EVERYTHING, DDPM, generators(1, 2, 3, 4))
    assert torch.equal(plain.times_B, everything.times_B)
    assert torch.equal(plain.noise_BCHW, perturbed.noise_BCHW)
    assert plain.input_noise_BCHW is plain.noise_BCHW


def test_timesteps_fill_the_range_without_its_end():
    settings = LossConfig(min_timestep=3, max_timestep=6)
    drawn = DDPM.draw_times(settings, generators(*range(200)))
    assert drawn.dtype == torch.int64
    assert set(drawn.tolist()) == {3, 4, 5}


def test_noise_is_standard_normal_and_of_the_latents_dtype():
    big = torch.zeros(2, 4, 64, 64, dtype=torch.float16)
    drawn = noise.draw_noise(big, generators(1, 2))
    assert drawn.dtype == torch.float16
    assert abs(float(drawn.float().mean())) < 0.02
    assert abs(float(drawn.float().std()) - 1) < 0.02


def test_offset_moves_whole_channels_by_its_strength():
    big = torch.zeros(200, 4, 2, 2)
    plain = noise.draw_noise(big, generators(*range(200)))
    gens = generators(*range(1000, 1200))
    shift = noise.offset_noise(plain, big, LossConfig(noise_offset=0.5), gens) - plain
    assert torch.allclose(shift, shift[..., :1, :1].expand_as(shift), atol=1e-6)
    assert abs(float(shift[..., 0, 0].std()) - 0.5) < 0.05
    random = LossConfig(noise_offset=0.5, noise_offset_random_strength=True)
    shift = noise.offset_noise(plain, big, random, generators(*range(1000, 1200))) - plain
    assert abs(float(shift[..., 0, 0].std()) - 0.5 / 3**0.5) < 0.05  # E[u^2] = 1/3


def test_adaptive_scale_follows_the_latents_mean_and_does_not_go_below_zero():
    flat = torch.ones(1, 4, 2, 2) * torch.tensor([0.0, -2.0, 4.0, -8.0]).view(1, 4, 1, 1)
    zero = torch.zeros_like(flat)
    unit = noise.offset_noise(zero, zero, LossConfig(noise_offset=1.0), generators(5))
    grown = noise.offset_noise(
        zero, flat, LossConfig(noise_offset=1.0, adaptive_noise_scale=-0.2), generators(5)
    )
    torch.testing.assert_close(
        grown / unit, torch.tensor([1, 0.6, 0.2, 0.0]).view(1, 4, 1, 1).expand(1, 4, 2, 2)
    )


def test_multires_noise_has_unit_variance_per_sample_and_is_smoother():
    big = torch.zeros(3, 4, 64, 64)
    plain = noise.draw_noise(big, generators(1, 2, 3))
    settings = LossConfig(multires_noise_iterations=6, multires_noise_discount=0.8)
    made = noise.multires_noise(plain, settings, generators(4, 5, 6))
    torch.testing.assert_close(made.flatten(1).std(dim=1), torch.ones(3))

    def neighbours(x):
        return float((x[..., 1:] * x[..., :-1]).mean())

    assert neighbours(made) > 0.15
    assert abs(neighbours(plain)) < 0.05


def test_multires_noise_follows_its_formula(monkeypatch):
    """Two levels by hand: the noise, full-size noise, and coarse noise enlarged, times the discount."""
    small = torch.zeros(1, 1, 4, 4)
    plain = noise.draw_noise(small, generators(1))
    made = noise.multires_noise(plain, LossConfig(multires_noise_iterations=2), generators(2))
    g = torch.Generator().manual_seed(2)
    torch.rand((), generator=g)
    full = torch.randn(1, 1, 4, 4, generator=g)
    side = int(4 / (2 + 2 * float(torch.rand((), generator=g))))
    coarse = torch.nn.Upsample(size=(4, 4), mode="bilinear")(torch.randn(1, 1, side, side, generator=g))
    total = plain + full + 0.3 * coarse
    torch.testing.assert_close(made, total / total.std())


def test_input_perturbation_is_in_the_input_only():
    made = noise.draw(torch.zeros(50, 4, 8, 8), LossConfig(ip_noise_gamma=0.3), DDPM, generators(*range(50)))
    assert abs(float((made.input_noise_BCHW - made.noise_BCHW).std()) - 0.3) < 0.02
