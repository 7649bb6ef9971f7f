"""Rules of the group `preview`. None of its settings acts on weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lora_lab.effective.previews import asks_for_trigger, final_prompts
from lora_lab.effective.rules.flat_values import Reasons, Values
from lora_lab.effective.texts import mark_warnings, refused_trigger
from lora_lab.findings import Findings, refused, warned
from lora_lab.losses.process import PROCESSES
from lora_lab.models.families import FAMILIES
from lora_lab.resolved import Facts


def no_effect(v: Values, facts: Facts) -> Reasons:
    """The shift of a flow, where the base model is none."""
    if FAMILIES[facts.family].process != "flow":
        yield "preview.flow_shift", "the base model is no flow"


def findings(asked: Values, v: Values, facts: Facts, total_steps: int) -> Findings:
    """What is wrong with what is rendered; nothing where previews are off."""
    if not v["preview.prompts"] or not v["preview.seeds"]:
        return Findings()
    prompts = final_prompts(asked["preview.prompts"], asked["dataset.trigger_word"] or facts.trigger)
    marks = warned(*mark_warnings(prompts, asked["preview.negative_prompt"]))
    return _sampler(v, facts) + _bases(facts) + _trigger(asked, facts) + marks + _repeated(v, prompts)


def _repeated(v: Values, prompts: Sequence[str]) -> Findings:
    """What is asked for twice: one image comes of it, and scores count it once."""
    asked = {"seeds": v["preview.seeds"], "strengths": v["preview.strengths"], "prompts": prompts}
    texts = [
        f"preview.{name}: {again[0]!r} stands there {values.count(again[0])} times, and is rendered once"
        for name, values in asked.items()
        if (again := [value for value in dict.fromkeys(values) if values.count(value) > 1])
    ]
    return warned(*texts)


def _sampler(v: Values, facts: Facts) -> Findings:
    """A sampler that is none of the family's noise process."""
    family = FAMILIES[facts.family]
    known = PROCESSES[family.process].samplers
    if v["preview.sampler"] in known:
        return Findings()
    return refused(
        f"preview.sampler={v['preview.sampler']}: {family.title} is rendered with {' or '.join(known)} only"
    )


def _bases(facts: Facts) -> Findings:
    """Further base models that a LoRA of this one does not fit, or that stand there twice."""
    found = Findings()
    for number, item in enumerate(facts.preview_bases):
        if item.family != facts.family:
            found += refused(
                f"preview.base_model={item.path}: it is {FAMILIES[item.family].title}, and a LoRA trained on "
                f"{FAMILIES[facts.family].title} does not fit it; give models of that family"
            )
        earlier = [other.path for other in facts.preview_bases[:number] if other.identity == item.identity]
        if earlier:
            found += refused(
                f"preview.base_model={item.path}: it is the same model as {earlier[0]}; leave one of them out"
            )
    return found


def _trigger(asked: Values, facts: Facts) -> Findings:
    """A trigger word that prompts ask for and that is not set: found, or nowhere to be found."""
    if not asks_for_trigger(asked) or asked["dataset.trigger_word"] or facts.trigger is None:
        return Findings()
    if not facts.trigger:
        return refused(refused_trigger(asked["preview.prompts"]))
    return warned(
        f"{{trigger}} in preview.prompts stands for {facts.trigger!r}, {facts.trigger_from}; "
        "dataset.trigger_word=WORD sets another"
    )


def spelled(v: Values, facts: Facts) -> dict[str, Any]:
    """Nothing is written in several ways."""
    return {}
