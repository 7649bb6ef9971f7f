"""Rules of the group `preview`. None of its settings acts on weights."""

from __future__ import annotations

from typing import Any

from lora_lab.effective.previews import asks_for_trigger, final_prompts
from lora_lab.effective.rules.flat_values import Reasons, Values
from lora_lab.effective.texts import mark_warnings, refused_trigger
from lora_lab.findings import Findings
from lora_lab.resolved import Facts


def no_effect(v: Values, facts: Facts) -> Reasons:
    """Nothing."""
    yield from ()


def findings(asked: Values, v: Values, facts: Facts, total_steps: int) -> Findings:
    """A trigger word that is nowhere to be found, or was found; marks in prompts that are words here."""
    if not asked["preview.seeds"]:
        return Findings()
    refusals, warnings = [], []
    if asks_for_trigger(asked) and not asked["dataset.trigger_word"]:
        if facts.trigger == "":
            refusals.append(refused_trigger(asked["preview.prompts"]))
        elif facts.trigger:
            warnings.append(
                f"{{trigger}} in preview.prompts stands for {facts.trigger!r}, {facts.trigger_from}; "
                "dataset.trigger_word=WORD sets another"
            )
    prompts = final_prompts(asked["preview.prompts"], asked["dataset.trigger_word"] or facts.trigger)
    warnings += mark_warnings(prompts, asked["preview.negative_prompt"])
    return Findings(tuple(refusals), tuple(warnings))


def spelled(v: Values, facts: Facts) -> dict[str, Any]:
    """Nothing is written in several ways."""
    return {}
