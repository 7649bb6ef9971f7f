"""Weights of timesteps, and huber_c, under a noise schedule.

All weights are factors, and are applied in sd-scripts' order: min-SNR, scale-v, v-like, debiased. Where the
SNR is 0 (last timestep under zero terminal SNR) a weight takes its limit, where that is finite, and else
the value of the smallest SNR above 0; sd-scripts' formulas give NaN or infinity there (which it never meets,
since it keeps the SNR of the betas before rescaling).

Shape suffix: T timesteps of the schedule.
"""

import math

import torch
from torch import Tensor

from lora_lab.config.schema import LossConfig
from lora_lab.losses.schedule import NoiseSchedule

_SNR_CAP = 1000.0
"""The peer's cap on the SNR in scale-v, v-like and debiased weights; it acts on the first timestep alone."""


def min_snr_weights(schedule: NoiseSchedule, gamma: float) -> Tensor:
    """Min-SNR-gamma (Hang et al. 2023, arXiv 2303.09556): min(SNR, gamma) / SNR, or / (SNR + 1) for v.

    Returns:
        The factor of each timestep, (T,).
    """
    snr_T = schedule.snr_T
    if schedule.prediction_type == "v_prediction":
        return snr_T.clamp(max=gamma) / (snr_T + 1)
    return torch.where(snr_T > gamma, gamma / snr_T, torch.ones_like(snr_T))


def scale_v_weights(schedule: NoiseSchedule) -> Tensor:
    """`scale_v_pred_loss_like_noise_pred`: SNR / (SNR + 1), small at noisy timesteps. Returns (T,)."""
    snr_T = schedule.snr_T.clamp(max=_SNR_CAP)
    return snr_T / (snr_T + 1)


def v_like_weights(schedule: NoiseSchedule, share: float) -> Tensor:
    """`v_pred_like_loss`: 1 + share (SNR + 1) / SNR. Returns (T,)."""
    snr_T = _without_zero(schedule.snr_T).clamp(max=_SNR_CAP)
    return 1 + share / (snr_T / (snr_T + 1))


def debiased_weights(schedule: NoiseSchedule) -> Tensor:
    """Debiased estimation (arXiv 2310.08442): 1 / sqrt(SNR), or 1 / (SNR + 1) for v. Returns (T,)."""
    if schedule.prediction_type == "v_prediction":
        return 1 / (schedule.snr_T.clamp(max=_SNR_CAP) + 1)
    return 1 / _without_zero(schedule.snr_T).clamp(max=_SNR_CAP).sqrt()


def _without_zero(snr_T: Tensor) -> Tensor:
    smallest = torch.where(snr_T > 0, snr_T, torch.inf).min()
    return torch.maximum(snr_T, smallest)


def weight_table(settings: LossConfig, schedule: NoiseSchedule) -> Tensor | None:
    """The factor of every timestep, (T,), all switched-on modifiers in one; None where there is none."""
    parts = []
    if settings.min_snr_gamma:
        parts.append(min_snr_weights(schedule, settings.min_snr_gamma))
    if settings.scale_v_pred_loss_like_noise_pred:
        parts.append(scale_v_weights(schedule))
    if settings.v_pred_like_loss:
        parts.append(v_like_weights(schedule, settings.v_pred_like_loss))
    if settings.debiased_estimation_loss:
        parts.append(debiased_weights(schedule))
    return torch.stack(parts).prod(dim=0) if parts else None


def huber_c_table(settings: LossConfig, schedule: NoiseSchedule) -> Tensor | None:
    """huber_c of every timestep, (T,); None where the loss type has none.

    constant: c. exponential: from 1 at t = 0 down to c. snr: (1 - c) / (1 + sigma)^2 + c, with sigma the
    noise's standard deviation over the signal's; `huber_scale` multiplies the first two, as in sd-scripts.
    """
    if settings.loss_type not in ("huber", "smooth_l1"):
        return None
    alpha_bar_T = schedule.alphas_cumprod_T
    steps = len(schedule)
    if settings.huber_schedule == "exponential":
        times_T = torch.arange(steps, dtype=alpha_bar_T.dtype)
        return torch.exp(math.log(settings.huber_c) / steps * times_T) * settings.huber_scale
    if settings.huber_schedule == "snr":
        sigma_T = ((1.0 - alpha_bar_T) / alpha_bar_T) ** 0.5
        return (1 - settings.huber_c) / (1 + sigma_T) ** 2 + settings.huber_c
    return torch.full_like(alpha_bar_T, settings.huber_c * settings.huber_scale)
