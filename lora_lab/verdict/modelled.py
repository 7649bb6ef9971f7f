"""What a model of all runs says where no two runs differ in one setting alone.

It stands beside the matched pairs and calls nothing: settings are taken to add up, with pairs of settings
that depend on each other (`verdict.model`), and how well that predicts runs that were left out is said with
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lora_lab.axes import show
from lora_lab.verdict.analysis import Analysis
from lora_lab.verdict.calls import Scale, points
from lora_lab.verdict.cells import owner
from lora_lab.verdict.model import Model, fit
from lora_lab.verdict.result import SettingEffect
from lora_lab.words import Label, Said, change_of, joined, said

FEWEST = 8
"""Different runs from which on a model is asked."""
MOST = 200
"""Different runs up to which it is: it takes seconds from there on."""
LEVELS = 6
"""Values of a setting that are named."""


@dataclass(frozen=True)
class Modelled:
    """A change of a setting without matched pairs, as the model has it; `sd` is how unsure that is."""

    key: str
    reference: Any
    level: Any
    difference: float
    sd: float


def model_of(analysis: Analysis) -> Model | None:
    """The model of a sweep's runs; None where they are too few or too many for one."""
    if analysis.base is None or not FEWEST <= len(analysis.cells) <= MOST:
        return None
    if any(cell.scale or cell.unknown for cell in analysis.cells):
        return None
    return fit(analysis.cells, analysis.noise)


def without_pairs(
    analysis: Analysis, model: Model | None, settings: Sequence[SettingEffect]
) -> tuple[Modelled, ...]:
    """What the model says of settings that no matched pair speaks for; nothing where it does not predict."""
    if model is None or not model.predicts or analysis.base is None:
        return ()
    paired = {effect.key for effect in settings}
    given = [cell.settings for cell in analysis.cells]
    found = []
    for key in model.keys:
        if key in paired or owner(key) in model.keys or any(key not in own for own in given):
            continue
        reference = analysis.base.settings[key]
        levels = {repr(own[key]): own[key] for own in given if own[key] != reference}
        for level in sorted(levels.values(), key=show)[:LEVELS]:
            before, after = ([{**own, key: value} for own in given] for value in (reference, level))
            found.append(Modelled(key, reference, level, *model.difference(before, after)))
    return tuple(found)


def notes(model: Model | None, found: Sequence[Modelled], scale: Scale) -> list[Said]:
    """It in words: what the model says, and how far it can be trusted."""
    if model is None or not found:
        return []
    each = [
        said(
            "model_change",
            label=Label(item.key),
            change=change_of(item.key, item.reference, item.level),
            difference=points(item.difference, scale),
            sd=points(item.sd, scale, signed=False),
        )
        for item in found
    ]
    worst = max(model.residuals, key=lambda name: abs(model.residuals[name]))
    return [
        said("note_model", each=joined(each, "clauses")),
        said(
            "note_model_checked",
            n=len(model.residuals),
            explained=f"{model.explained:.0%}",
            rank=f"{model.rank:+.2f}",
            residual=points(model.residual_sd, scale, signed=False),
            run=worst,
            most=points(model.residuals[worst], scale),
        ),
    ]
