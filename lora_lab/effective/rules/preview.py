"""Rules of the group `preview`. None of its settings acts on weights."""

from __future__ import annotations

from typing import Any

from lora_lab.effective.rules.flat_values import Reasons, Values
from lora_lab.findings import Findings, refused
from lora_lab.losses.process import PROCESSES
from lora_lab.models.families import FAMILIES
from lora_lab.resolved import Facts


def no_effect(v: Values, facts: Facts) -> Reasons:
    """The shift of a flow, where the base model is none."""
    if FAMILIES[facts.family].process != "flow":
        yield "preview.flow_shift", "the base model is no flow"


def findings(asked: Values, v: Values, facts: Facts, total_steps: int) -> Findings:
    """A sampler that is none of the family's noise process, where previews are rendered."""
    family = FAMILIES[facts.family]
    known = PROCESSES[family.process].samplers
    if not v["preview.prompts"] or not v["preview.seeds"] or v["preview.sampler"] in known:
        return Findings()
    return refused(
        f"preview.sampler={v['preview.sampler']}: {family.title} is rendered with {' or '.join(known)} only"
    )


def spelled(v: Values, facts: Facts) -> dict[str, Any]:
    """Nothing is written in several ways."""
    return {}
