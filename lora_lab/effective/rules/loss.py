"""Rules of the group `loss`."""

from __future__ import annotations

from typing import Any

from lora_lab.config.schema import LossConfig
from lora_lab.effective.rules.flat_values import Reasons, Values, group_of, probed
from lora_lab.findings import Findings
from lora_lab.losses.settings import FLOW, check
from lora_lab.resolved import Facts

_OTHER: dict[str, Any] = {
    "min_snr_gamma": 5.0,
    "debiased_estimation_loss": True,
    "v_pred_like_loss": 0.5,
    "scale_v_pred_loss_like_noise_pred": True,
    "zero_terminal_snr": True,
    "timestep_sampling": "uniform",
    "sigmoid_scale": 2.0,
    "flow_shift": 3.0,
    "huber_c": 0.3,
    "huber_schedule": "constant",
    "huber_scale": 3.0,
    "noise_offset_random_strength": True,
    "adaptive_noise_scale": 0.3,
    "multires_noise_discount": 0.7,
    "ip_noise_gamma_random_strength": True,
}
"""A value other than the default, for asking the loss's check whether the setting would act."""


def no_effect(v: Values, facts: Facts) -> Reasons:
    """What the loss's own check says of each dependent setting, and what images or the model decide."""
    settings: LossConfig = group_of(v, "loss", LossConfig)
    yield from probed("loss", settings, _OTHER, check, _prediction(v, facts))
    if not facts.reg_images:
        yield "loss.prior_loss_weight", "there are no regularisation images"
    if facts.zero_terminal_snr:
        yield "loss.zero_terminal_snr", "the base model says that it has zero terminal SNR"


def findings(asked: Values, v: Values, facts: Facts, total_steps: int) -> Findings:
    """What the loss's own check refuses or doubts."""
    found = check(group_of(v, "loss", LossConfig), _prediction(v, facts))
    return Findings(found.refusals, found.warnings)


def spelled(v: Values, facts: Facts) -> dict[str, Any]:
    """Zero terminal SNR where the config asks for it or the model has it."""
    return {"loss.zero_terminal_snr": bool(v["loss.zero_terminal_snr"] or facts.zero_terminal_snr)}


def _prediction(v: Values, facts: Facts) -> str:
    if facts.prediction_type == FLOW:
        return FLOW
    return "v_prediction" if v["base_model.v_parameterization"] else "epsilon"
