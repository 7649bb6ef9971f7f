"""From evidence to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lora_lab.effective import compare
from lora_lab.errors import ConfigError
from lora_lab.metrics.registry import LESS_IS_BETTER
from lora_lab.verdict.advice import recommend
from lora_lab.verdict.agreement import agreement, of_raters
from lora_lab.verdict.analysis import Analysis, analyse
from lora_lab.verdict.effects import effects
from lora_lab.verdict.evidence import Evidence
from lora_lab.verdict.importance import importance
from lora_lab.verdict.interactions import interactions
from lora_lab.verdict.modelled import model_of, without_pairs
from lora_lab.verdict.modelled import notes as model_notes
from lora_lab.verdict.outcomes import costs, courses, usable_shares
from lora_lab.verdict.prior import Prior
from lora_lab.verdict.ranking import Ranked, ranking
from lora_lab.verdict.result import MEASURED, SettingEffect, Verdict
from lora_lab.verdict.sources import noise_by_source
from lora_lab.words import Said, joined, said


def judge(
    evidence: Evidence,
    *,
    noise_floor: float | None = None,
    relevant: float | None = None,
    with_importance: bool = False,
    prior: Prior | None = None,
    looks: Mapping[str, int] | None = None,
) -> Verdict:
    """Say what the scores support.

    Args:
        evidence: The runs, each with the checkpoint that stands for it.
        noise_floor: Run-to-run standard deviation to assume where no run was repeated with another seed.
        relevant: The difference worth knowing of; None is 10 points of 100.
        with_importance: Compute fANOVA importance with its permutation null, which takes a while.
        prior: What the user's earlier sweeps say of the noise (`verdict.prior`); None is what is shipped.
        looks: Verdicts on other scores of this sweep that were taken before, by change (`verdict.looks`).

    Raises:
        ConfigError: A number is not above 0, or above 100 points; or the metric is best where a LoRA does
            nothing.
    """
    if evidence.criterion in LESS_IS_BETTER:
        raise ConfigError(
            f"--metric {evidence.criterion}: less of it is better, and a LoRA that does nothing has least. "
            "So it cannot say which settings work: judge by scores or another metric, and look at it with "
            f"`lora-lab plot --metric {evidence.criterion}`"
        )
    found = analyse(evidence, noise_floor, relevant, prior, looks)
    pairs = interactions(found)
    settings = effects(found, pairs)
    shown, why_not = importance(found) if with_importance else (None, "")
    model = model_of(found)
    notes = [*evidence.notes, *_notes(found, settings, noise_floor), *([why_not] if why_not else [])]
    notes += noise_by_source(found)
    notes += model_notes(model, without_pairs(found, model, settings), found.scale)
    cost = costs(evidence)
    return Verdict(
        evidence=evidence,
        noise=found.noise,
        relevant=found.scale.relevant,
        reference=found.base.name if found.base else "",
        settings=settings,
        interactions=pairs,
        together=_together(found),
        courses=courses(evidence, found.scale),
        costs=cost,
        usable=usable_shares(evidence),
        agreement=agreement(evidence),
        recommendation=recommend(found, settings, cost, model),
        missing={run.name: run.missing for run in evidence.own if run.missing},
        comparisons=len(settings) + len(pairs),
        rater_alpha=of_raters(evidence),
        ranking=_ranking(evidence),
        importance=shown,
        notes=tuple(notes),
    )


def _ranking(evidence: Evidence) -> tuple[Ranked, ...]:
    places = dict.fromkeys(place for pair in evidence.comparisons for place in (pair.left, pair.right))
    return tuple(ranking(list(places), evidence.comparisons))


def _together(found: Analysis) -> tuple[tuple[str, ...], ...]:
    """Settings that always changed together among the scored runs."""
    known = [(cell.name, cell.settings) for cell in found.cells if not cell.unknown]
    return compare(known).aliased


def _notes(found: Analysis, settings: Sequence[SettingEffect], noise_floor: float | None) -> list[Said]:
    evidence = found.evidence
    notes = []
    if noise_floor is not None and found.noise.source == MEASURED:
        notes.append(said("note_floor"))
    if evidence.rule == "best":
        counts = {sum(item.score is not None for item in run.checkpoints) for run in evidence.scored}
        notes.append(said("note_best_alike" if len(counts) < 2 else "note_best_more"))
    twice = [run for run in evidence.runs if run.same_as]
    for origin in dict.fromkeys(run.same_as for run in twice):
        names = ", ".join(run.name for run in twice if run.same_as == origin)
        reasons = dict.fromkeys(item.reason for run in twice if run.same_as == origin for item in run.inert)
        key = "note_same_why" if reasons else "note_same"
        notes.append(said(key, runs=names, origin=origin, why=joined(reasons, "clauses")))
    if any(effect.assumed for effect in settings):
        notes.append(said("note_assumed"))
    return notes
