"""The process of Stable Diffusion: noise by a schedule of betas (Ho et al. 2020, arXiv 2006.11239).

Shape suffixes: T timesteps of the schedule, B samples, C channels, H and W latent size.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from lora_lab.config.schema import LossConfig
from lora_lab.losses.schedule import NoiseSchedule, add_noise, target
from lora_lab.losses.settings import PredictionType
from lora_lab.losses.weights import huber_c_table, weight_table


@dataclass(frozen=True)
class Ddpm:
    """The noise process over a schedule; see `process.NoiseProcess`. Times are timesteps, int64."""

    schedule: NoiseSchedule

    @property
    def name(self) -> str:
        """Its key in `process.PROCESSES`."""
        return "ddpm"

    @property
    def prediction_type(self) -> PredictionType:
        """`epsilon` or `v_prediction`."""
        return self.schedule.prediction_type

    def draw_times(self, settings: LossConfig, generators: Sequence[Generator]) -> Tensor:
        """Timesteps from `min_timestep` up to, but without, `max_timestep`: (B,), int64, on the CPU."""
        low, high = settings.min_timestep, settings.max_timestep
        draws = [torch.randint(low, high, (1,), generator=g, device=g.device).cpu() for g in generators]
        return torch.cat(draws)

    def times(self, steps: Sequence[int]) -> Tensor:
        """The timesteps themselves, (B,), int64."""
        return torch.tensor(list(steps))

    def add_noise(self, latents_BCHW: Tensor, noise_BCHW: Tensor, times_B: Tensor) -> Tensor:
        """sqrt(alpha_bar) x + sqrt(1 - alpha_bar) noise."""
        return add_noise(latents_BCHW, noise_BCHW, times_B, self.schedule)

    def target(self, latents_BCHW: Tensor, noise_BCHW: Tensor, times_B: Tensor) -> Tensor:
        """The noise, or v."""
        return target(latents_BCHW, noise_BCHW, times_B, self.schedule)

    def weights(self, settings: LossConfig, times_B: Tensor, like: Tensor) -> Tensor | None:
        """The product of all switched-on weights of the timesteps, (B,)."""
        weights_T, _ = _tables(settings, self.schedule)
        return None if weights_T is None else _at(weights_T, times_B, like)

    def huber_c(self, settings: LossConfig, times_B: Tensor, like: Tensor) -> Tensor | None:
        """huber_c of the timesteps, (B,)."""
        _, huber_c_T = _tables(settings, self.schedule)
        return None if huber_c_T is None else _at(huber_c_T, times_B, like)


@functools.lru_cache(maxsize=256)
def _tables(settings: LossConfig, schedule: NoiseSchedule) -> tuple[Tensor | None, Tensor | None]:
    """Both tables, made once per run: the loop then pays one lookup per step."""
    return weight_table(settings, schedule), huber_c_table(settings, schedule)


def _at(table_T: Tensor, timesteps_B: Tensor, like: Tensor) -> Tensor:
    """What a float64 table says of timesteps, on the device and in the type of `like`."""
    return table_T.to(like.device, like.dtype)[timesteps_B.to(like.device)]
