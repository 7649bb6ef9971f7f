"""The noise schedule of a diffusion model (Ho et al. 2020, arXiv 2006.11239), in float64.

sd-scripts has its tables in fp32. There, 1 - alpha_bar of the first steps has few digits left, and which ones
depends on the CPU: its SNR is off by up to 2e-4 of itself, under zero terminal SNR more. Here all tables are
float64, and what is looked up in them is cast last, so that every machine has the same numbers.

Shape suffixes: T timesteps of the schedule, B samples, C channels, H and W latent size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lora_lab.errors import ModelError
from lora_lab.losses.settings import PredictionType


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """What a model was trained to denoise.

    `alphas_cumprod_T` is the signal's share of the variance, alpha_bar; `snr_T` is alpha_bar / (1 -
    alpha_bar). All are float64 and on the CPU, whatever the model computes in.
    """

    prediction_type: PredictionType
    betas_T: Tensor
    alphas_cumprod_T: Tensor
    snr_T: Tensor

    def __len__(self) -> int:
        return len(self.betas_T)


def noise_schedule(
    prediction_type: PredictionType = "epsilon",
    zero_terminal_snr: bool = False,
    *,
    beta_schedule: str = "scaled_linear",
    beta_start: float = 0.00085,
    beta_end: float = 0.012,
    num_train_timesteps: int = 1000,
) -> NoiseSchedule:
    """The schedule of Stable Diffusion 1.x, 2.x and XL, or another one of the same two forms.

    With `zero_terminal_snr` the betas are rescaled so that the last timestep is pure noise, and the SNR is
    that of the rescaled betas. The peer (sd-scripts) keeps the SNR of the betas before, so that its weights
    and its noise belong to different schedules; see `loss.py` for how weights stay finite at SNR 0.

    Raises:
        ModelError: The beta schedule is neither `scaled_linear` nor `linear`.
    """
    if beta_schedule == "scaled_linear":
        betas_T = (
            torch.linspace(beta_start**0.5, beta_end**0.5, num_train_timesteps, dtype=torch.float64) ** 2
        )
    elif beta_schedule == "linear":
        betas_T = torch.linspace(beta_start, beta_end, num_train_timesteps, dtype=torch.float64)
    else:
        raise ModelError(f"noise schedule '{beta_schedule}' is not supported; known: scaled_linear, linear")
    return schedule_from_betas(betas_T, prediction_type, zero_terminal_snr)


def schedule_from_betas(
    betas_T: Tensor, prediction_type: PredictionType = "epsilon", zero_terminal_snr: bool = False
) -> NoiseSchedule:
    """The schedule of a model that states its betas, (T,); `zero_terminal_snr` as in `noise_schedule`."""
    betas_T = betas_T.detach().cpu().double()
    if zero_terminal_snr:
        betas_T = rescale_zero_terminal_snr(betas_T)
    alphas_cumprod_T = torch.cumprod(1.0 - betas_T, dim=0)
    snr_T = alphas_cumprod_T / (1.0 - alphas_cumprod_T)
    return NoiseSchedule(prediction_type, betas_T, alphas_cumprod_T, snr_T)


def rescale_zero_terminal_snr(betas_T: Tensor) -> Tensor:
    """Betas whose last step has SNR 0 and whose first is unchanged: algorithm 1 of arXiv 2305.08891.

    Computed and returned in float64.
    """
    betas_T = betas_T.double()
    root_T = torch.cumprod(1.0 - betas_T, dim=0).sqrt()
    first, last = root_T[0].clone(), root_T[-1].clone()
    root_T = (root_T - last) * (first / (first - last))
    alpha_bar_T = root_T**2
    return 1.0 - torch.cat([alpha_bar_T[:1], alpha_bar_T[1:] / alpha_bar_T[:-1]])


def _signal_and_noise(schedule: NoiseSchedule, timesteps_B: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    alpha_bar_T, shape = schedule.alphas_cumprod_T, [-1] + [1] * (like.dim() - 1)
    tables = (alpha_bar_T.sqrt(), (1.0 - alpha_bar_T).sqrt())
    at_B = timesteps_B.to(like.device)
    signal, sigma = (table_T.to(like.device, like.dtype)[at_B].view(shape) for table_T in tables)
    return signal, sigma


def add_noise(
    latents_BCHW: Tensor, noise_BCHW: Tensor, timesteps_B: Tensor, schedule: NoiseSchedule
) -> Tensor:
    """The noisy latents: sqrt(alpha_bar) x + sqrt(1 - alpha_bar) noise (arXiv 2006.11239, equation 4)."""
    signal, sigma = _signal_and_noise(schedule, timesteps_B, latents_BCHW)
    return signal * latents_BCHW + sigma * noise_BCHW


def velocity(
    latents_BCHW: Tensor, noise_BCHW: Tensor, timesteps_B: Tensor, schedule: NoiseSchedule
) -> Tensor:
    """v = sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) x (Salimans and Ho, arXiv 2202.00512, appendix D)."""
    signal, sigma = _signal_and_noise(schedule, timesteps_B, latents_BCHW)
    return signal * noise_BCHW - sigma * latents_BCHW


def target(latents_BCHW: Tensor, noise_BCHW: Tensor, timesteps_B: Tensor, schedule: NoiseSchedule) -> Tensor:
    """What the model should predict: the noise, or the velocity. `noise` is without input perturbation."""
    if schedule.prediction_type == "v_prediction":
        return velocity(latents_BCHW, noise_BCHW, timesteps_B, schedule)
    return noise_BCHW
