"""Rules of the group `base_model`."""

from __future__ import annotations

from typing import Any

from lora_lab.effective.rules.flat_values import Reasons, Values
from lora_lab.effective.rules.memory import check_memory
from lora_lab.findings import Findings, refused
from lora_lab.losses.settings import FLOW
from lora_lab.models.families import FAMILIES, unknown_family
from lora_lab.resolved import Facts


def no_effect(v: Values, facts: Facts) -> Reasons:
    """Clip skip, where the family fixes the layer; v-prediction, where it is a flow."""
    family = FAMILIES[facts.family]
    if facts.prediction_type == FLOW:
        yield "base_model.v_parameterization", f"{family.title} predicts the velocity of its flow"
    if not family.clip_skip:
        yield "base_model.clip_skip", f"{family.title} always takes the last layer but one"


def findings(asked: Values, v: Values, facts: Facts, total_steps: int) -> Findings:
    """A family that is not the model's, layers that it has not, what saves memory elsewhere only."""
    found = check_memory(asked, facts.device_type)
    family = asked["base_model.family"]
    if family not in (*FAMILIES, "auto"):
        found += refused(unknown_family(family))
    elif family not in ("auto", facts.family):
        found += refused(
            f"base_model.family={family}: the model is {facts.family}; set base_model.family=auto, or give "
            "another file"
        )
    if facts.text_layers and v["base_model.clip_skip"] > facts.text_layers:
        found += refused(
            f"base_model.clip_skip={v['base_model.clip_skip']}: the text encoder has {facts.text_layers} "
            f"layers; set it to {facts.text_layers} or less"
        )
    return found


def spelled(v: Values, facts: Facts) -> dict[str, Any]:
    """The family as found, and v-prediction as the model says unless it is forced."""
    forced = v["base_model.v_parameterization"]
    velocity = facts.prediction_type == "v_prediction" if forced is None else forced
    velocity = velocity and facts.prediction_type != FLOW
    return {"base_model.family": facts.family, "base_model.v_parameterization": velocity}
