"""What can be said of the loss settings before anything runs. Imports without torch."""

from collections.abc import Sequence
from typing import Literal

from lora_lab.config.schema import LossConfig
from lora_lab.findings import Findings, cannot_act, refused, warned

FLOW: Literal["flow_prediction"] = "flow_prediction"
PredictionType = Literal["epsilon", "v_prediction", "flow_prediction"]
"""What the base model predicts: the noise, the velocity of arXiv 2202.00512, or that of a rectified flow."""


def check(settings: LossConfig, prediction_type: str, num_train_timesteps: int = 1000) -> Findings:
    """What is refused, doubtful or cannot act in these settings on a model of this prediction type."""
    if prediction_type == FLOW:
        found = _timesteps(settings, num_train_timesteps) + _of_flow(settings)
        return found + _inert_huber(settings) + _inert_noise(settings)
    return (
        _timesteps(settings, num_train_timesteps)
        + _unlike_default(settings, "the base model is no flow", OF_FLOW)
        + _against_prediction(settings, prediction_type)
        + _terminal(settings, prediction_type)
        + _inert_huber(settings)
        + _inert_noise(settings)
    )


OF_FLOW = ("timestep_sampling", "sigmoid_scale", "flow_shift")
"""Settings of flows alone."""
OF_SNR = (
    "min_snr_gamma",
    "debiased_estimation_loss",
    "v_pred_like_loss",
    "scale_v_pred_loss_like_noise_pred",
    "zero_terminal_snr",
)
"""Settings of schedules with a signal-to-noise ratio, which flows do not have."""


def _unlike_default(settings: LossConfig, reason: str, names: Sequence[str]) -> Findings:
    off = LossConfig()
    return cannot_act(
        reason, *(f"loss.{name}" for name in names if getattr(settings, name) != getattr(off, name))
    )


def _of_flow(settings: LossConfig) -> Findings:
    found = _unlike_default(settings, "the base model is a flow, which has no signal-to-noise ratio", OF_SNR)
    if settings.timestep_sampling == "uniform":
        found += _unlike_default(settings, "timestep_sampling is uniform", ("sigmoid_scale",))
    if settings.loss_type in ("huber", "smooth_l1") and settings.huber_schedule == "snr":
        found += refused(
            f"loss.huber_schedule=snr with loss.loss_type={settings.loss_type}: a flow has no "
            "signal-to-noise ratio; set loss.huber_schedule=constant or exponential"
        )
    return found


def _timesteps(settings: LossConfig, num_train_timesteps: int) -> Findings:
    low, high = settings.min_timestep, settings.max_timestep
    if low < 0 or high > num_train_timesteps:
        return refused(
            f"loss.min_timestep={low}, loss.max_timestep={high}: must lie from 0 to {num_train_timesteps}"
        )
    if low >= high:
        return refused(
            f"loss.min_timestep={low}, loss.max_timestep={high}: timesteps are drawn from min_timestep "
            f"up to, but without, max_timestep; for timestep {low} alone set max_timestep={low + 1}"
        )
    return Findings()


def _against_prediction(settings: LossConfig, prediction_type: str) -> Findings:
    velocity = prediction_type == "v_prediction"
    if velocity and settings.v_pred_like_loss:
        return refused(
            f"loss.v_pred_like_loss={settings.v_pred_like_loss:g}: makes a noise-prediction loss like "
            "that of v-prediction, and this model predicts v; set it to 0"
        )
    if not velocity and settings.scale_v_pred_loss_like_noise_pred:
        return refused(
            "loss.scale_v_pred_loss_like_noise_pred=true: needs a v-prediction model, and this one predicts "
            "noise; set it to false"
        )
    return Findings()


def _terminal(settings: LossConfig, prediction_type: str) -> Findings:
    if not settings.zero_terminal_snr or prediction_type == "v_prediction":
        return Findings()
    found = warned(
        "loss.zero_terminal_snr=true: the last timestep is pure noise, which teaches a noise-prediction "
        "model nothing; it is meant for v-prediction"
    )
    huge = [
        f"loss.{name}"
        for name, on in (
            ("debiased_estimation_loss", settings.debiased_estimation_loss),
            ("v_pred_like_loss", settings.v_pred_like_loss),
        )
        if on
    ]
    if huge:
        found += warned(
            f"{', '.join(huge)} with loss.zero_terminal_snr=true: the weight grows past 1,000 at the last "
            "timesteps; lower loss.max_timestep to 990 or switch one of them off"
        )
    return found


def _inert_huber(settings: LossConfig) -> Findings:
    off = LossConfig()
    if settings.loss_type not in ("huber", "smooth_l1"):
        changed = [
            n for n in ("huber_c", "huber_schedule", "huber_scale") if getattr(settings, n) != getattr(off, n)
        ]
        return cannot_act(
            f"loss_type {settings.loss_type} has no huber_c", *(f"loss.{name}" for name in changed)
        )
    if settings.huber_schedule == "snr" and settings.huber_scale != 1:
        return cannot_act("huber_schedule snr has no scale; use constant or exponential", "loss.huber_scale")
    return Findings()


def _inert_noise(settings: LossConfig) -> Findings:
    found = Findings()
    if not settings.noise_offset:
        if settings.noise_offset_random_strength:
            found += cannot_act("noise_offset is 0", "loss.noise_offset_random_strength")
        if settings.adaptive_noise_scale:
            found += cannot_act("noise_offset is 0", "loss.adaptive_noise_scale")
    if (
        not settings.multires_noise_iterations
        and settings.multires_noise_discount != LossConfig().multires_noise_discount
    ):
        found += cannot_act("multires_noise_iterations is 0", "loss.multires_noise_discount")
    if not settings.ip_noise_gamma and settings.ip_noise_gamma_random_strength:
        found += cannot_act("ip_noise_gamma is 0", "loss.ip_noise_gamma_random_strength")
    return found
