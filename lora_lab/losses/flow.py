"""Rectified flow: straight lines from latents to noise (Liu et al. 2022, arXiv 2209.03003).

Noisy latents are (1 - sigma) x + sigma noise, sigma from 0 to 1, and the model answers their velocity along
sigma, noise - x. Times are 1000 sigma, as transformers of this kind are told them.

Shape suffixes: B samples, C channels, H and W latent size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from lora_lab.config.schema import LossConfig
from lora_lab.losses.settings import FLOW, PredictionType

STEPS = 1000
"""What a time of pure noise is called."""


@dataclass(frozen=True)
class Flow:
    """The noise process; see `process.NoiseProcess`. Times are 1000 sigma, float32."""

    @property
    def name(self) -> str:
        """Its key in `process.PROCESSES`."""
        return "flow"

    @property
    def prediction_type(self) -> PredictionType:
        """The velocity along sigma."""
        return FLOW

    def draw_times(self, settings: LossConfig, generators: Sequence[Generator]) -> Tensor:
        """Times from `min_timestep` to `max_timestep`, (B,), float32, on the CPU.

        `sigmoid` draws the sigmoid of a normal number times `sigmoid_scale`: logit-normal, arXiv 2403.03206,
        section 3.1; `uniform` a uniform one. Both are shifted by `flow_shift`, then spread over the range.
        """
        shares = [_share(settings, generator) for generator in generators]
        sigmas_B = shifted(torch.tensor(shares, dtype=torch.float64), settings.flow_shift)
        low, high = settings.min_timestep, settings.max_timestep
        return (low + (high - low) * sigmas_B).float()

    def times(self, steps: Sequence[int]) -> Tensor:
        """The same numbers, (B,), float32."""
        return torch.tensor(list(steps), dtype=torch.float32)

    def add_noise(self, latents_BCHW: Tensor, noise_BCHW: Tensor, times_B: Tensor) -> Tensor:
        """(1 - sigma) x + sigma noise."""
        sigma = (times_B.double() / STEPS).to(latents_BCHW).view(-1, *[1] * (latents_BCHW.dim() - 1))
        return (1 - sigma) * latents_BCHW + sigma * noise_BCHW

    def target(self, latents_BCHW: Tensor, noise_BCHW: Tensor, times_B: Tensor) -> Tensor:
        """noise - x, at every time."""
        return noise_BCHW - latents_BCHW

    def weights(self, settings: LossConfig, times_B: Tensor, like: Tensor) -> Tensor | None:
        """None: where samples count is left to the drawing of times, as trainers of flows have it."""
        return None

    def huber_c(self, settings: LossConfig, times_B: Tensor, like: Tensor) -> Tensor | None:
        """constant: c. exponential: from 1 at time 0 down to c. Both times `huber_scale`.

        Raises:
            ValueError: The schedule is `snr`, which a flow does not have; checks refuse it before.
        """
        if settings.loss_type not in ("huber", "smooth_l1"):
            return None
        if settings.huber_schedule == "snr":
            raise ValueError("loss.huber_schedule=snr: a flow has no such ratio")
        c = torch.full_like(times_B, settings.huber_c, dtype=torch.float64)
        if settings.huber_schedule == "exponential":
            c = torch.exp(math.log(settings.huber_c) / STEPS * times_B.double())
        return (c * settings.huber_scale).to(like)


def _share(settings: LossConfig, generator: Generator) -> float:
    """A number from 0 to 1, drawn in fp32."""
    if settings.timestep_sampling == "uniform":
        return float(torch.rand((), generator=generator, device=generator.device))
    normal = float(torch.randn((), generator=generator, device=generator.device))
    return 1 / (1 + math.exp(-settings.sigmoid_scale * normal))


def shifted(sigmas: Tensor, shift: float) -> Tensor:
    """shift sigma / (1 + (shift - 1) sigma): above 1 towards noise (arXiv 2403.03206, equation 23)."""
    return shift * sigmas / (1 + (shift - 1) * sigmas)
