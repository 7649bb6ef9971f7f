"""The loss of each sample: a distance between prediction and target, times a weight of the timestep.

All weights are factors, and are applied in sd-scripts' order: min-SNR, scale-v, v-like, debiased. Where the
SNR is 0 (last timestep under zero terminal SNR) a weight takes its limit, where that is finite, and else
the value of the smallest SNR above 0; the peer's formulas give NaN or infinity there (which it never meets,
since it keeps the SNR of the betas before rescaling).

Shape suffixes: T timesteps of the schedule, B samples, C channels, H and W latent size.
"""

import functools
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


def distance(
    pred_BCHW: Tensor, target_BCHW: Tensor, loss_type: str, huber_c_B: Tensor | None = None
) -> Tensor:
    """The elementwise loss: l2, l1, or pseudo-Huber in two scalings (arXiv 2403.16728).

    huber: 2 c (sqrt(d^2 + c^2) - c), which is d^2 for small d; smooth_l1: the same without the factor c.
    """
    difference = pred_BCHW - target_BCHW
    if loss_type == "l2":
        return difference.square()
    if loss_type == "l1":
        return difference.abs()
    assert huber_c_B is not None, "huber losses need huber_c for each sample"
    c = huber_c_B.to(difference).view(-1, *[1] * (difference.dim() - 1))
    bend = 2 * ((difference.square() + c.square()).sqrt() - c)
    return bend * c if loss_type == "huber" else bend


def per_sample_loss(
    pred_BCHW: Tensor,
    target_BCHW: Tensor,
    timesteps_B: Tensor,
    settings: LossConfig,
    schedule: NoiseSchedule,
    mask_B1HW: Tensor | None = None,
) -> Tensor:
    """The weighted loss of each sample, (B,), in fp32 or wider; `prior_loss_weight` is left to the caller.

    A mask from 0 to 1 multiplies the elementwise loss; the mean is still over all elements, as in sd-scripts,
    so that a picture counts by how much of it is unmasked.
    """
    if pred_BCHW.dtype in (torch.float16, torch.bfloat16):
        pred_BCHW = pred_BCHW.float()
    target_BCHW = target_BCHW.to(pred_BCHW.dtype)
    weights_T, huber_c_T = _tables(settings, schedule)
    huber_c_B = None if huber_c_T is None else _at(huber_c_T, timesteps_B, pred_BCHW)
    loss_BCHW = distance(pred_BCHW, target_BCHW, settings.loss_type, huber_c_B)
    if mask_B1HW is not None:
        loss_BCHW = loss_BCHW * mask_B1HW.to(loss_BCHW)
    loss_B = loss_BCHW.flatten(1).mean(dim=1)
    return loss_B if weights_T is None else loss_B * _at(weights_T, timesteps_B, loss_B)


@functools.lru_cache(maxsize=256)
def _tables(settings: LossConfig, schedule: NoiseSchedule) -> tuple[Tensor | None, Tensor | None]:
    """Both tables, made once per run: the loop then pays one lookup per step."""
    return weight_table(settings, schedule), huber_c_table(settings, schedule)


def _at(table_T: Tensor, timesteps_B: Tensor, like: Tensor) -> Tensor:
    """What a float64 table says of timesteps, on the device and in the type of `like`."""
    return table_T.to(like.device, like.dtype)[timesteps_B.to(like.device)]
