"""What a verdict says beside its tables, line by line: for the terminal, the gallery and the report alike.

Here stands which sentence is said and with which numbers; its words are in `lora_lab.words`.
"""

from __future__ import annotations

from dataclasses import dataclass

from lora_lab.metrics.registry import OF_100
from lora_lab.verdict.calls import Scale, each_pair, points
from lora_lab.verdict.cells import LEVEL
from lora_lab.verdict.evidence import SCORE
from lora_lab.verdict.outcomes import number
from lora_lab.verdict.raters import RaterEvidence
from lora_lab.verdict.result import (
    ASSUMED,
    EARLIER,
    MEASURED,
    NO_DIFFERENCE,
    NOT_DECIDED,
    Contrast,
    Noise,
    SettingEffect,
    Verdict,
)
from lora_lab.words import Said, joined, said

NAMED = 3
"""Groups of repeats, and combinations on which nothing was decided, that are named one by one."""
FIRST_PAIRS = 4
"""Matched pairs that are shown one by one."""


def scale_of(verdict: Verdict) -> Scale:
    """The scale of the numbers that runs are judged by."""
    of_100 = verdict.evidence.criterion in OF_100
    return Scale(verdict.relevant, of_100, said("unit") if of_100 else "")


def judged_by(verdict: Verdict) -> list[Said]:
    """How many runs are judged, by what, and how steady its raters are."""
    found, scale = verdict.evidence, scale_of(verdict)
    rule = {"last": said("by_last"), "best": said("by_best")}.get(found.rule, said("by_tag", tag=found.rule))
    key = "runs_judged_without" if verdict.missing else "runs_judged"
    lines = [said(key, n=len(found.scored), without=len(verdict.missing), rule=rule)]
    if found.criterion == SCORE:
        lines += [_rater(item, len(found.raters) > 1, scale) for item in found.raters]
    if verdict.rater_alpha is not None:
        lines.append(said("raters_agree", alpha=f"{verdict.rater_alpha:.2f}"))
    elsewhere = [(run, run.given) for run in found.runs if run.elsewhere]
    given = [f"{run.name} {number(value, scale)}" for run, value in elsewhere if value is not None]
    return lines + ([said("runs_external", scores=", ".join(given))] if given else [])


def _rater(rater: RaterEvidence, several: bool, scale: Scale) -> Said:
    level = said("rater_level", level=points(rater.level, scale)) if several else ""
    again: Said = said("rater_never")
    if rater.repeat_sd is not None and rater.repeat_low is not None and rater.repeat_high is not None:
        sd, low, high = (number(one, scale) for one in (rater.repeat_sd, rater.repeat_low, rater.repeat_high))
        again = said("rater_again", sd=sd, low=low, high=high, n=rater.repeats)
    drift = said("rater_drift", drift=points(rater.drift, scale)) if rater.drift is not None else ""
    return said("rater", name=rater.name, n=rater.judgements, level=level, again=again, drift=drift)


def noise_text(noise: Noise, scale: Scale) -> Said:
    """The noise floor: what was measured, what is reckoned with, and why."""

    def of(value: float | None) -> str:
        return points(value or 0.0, scale, signed=False)

    ends = joined(noise.at_the_end)
    why = said("noise_why_ends", runs=ends) if ends else said("noise_why_none")
    if noise.single is None:
        return said("noise_none", why=why)
    each, measured = said("noise_each", smallest=of(noise.smallest)), noise.source == MEASURED
    own = {"sd": of(noise.sd), "low": of(noise.low), "high": of(noise.high)}
    if noise.source == ASSUMED:
        return said("noise_assumed", sd=of(noise.sd), smallest=of(noise.smallest))
    if measured and noise.prior is None:
        return said("noise_plain", **own, groups=_groups(noise), each=each)
    prior = _prior(noise, scale)
    if measured:
        reckoned = of(noise.reckoned)
        return said(
            "noise_reckoned",
            **own,
            df=f"{noise.df:g}",
            groups=_groups(noise),
            reckoned=reckoned,
            prior=prior,
            each=each,
        )
    if noise.source == EARLIER:
        return said("noise_earlier", prior=prior, each=each)
    way = said("noise_way_between" if ends else "noise_way_replicates")
    return said("noise_unmeasured", prior=prior, why=why, way=way)


def _prior(noise: Noise, scale: Scale) -> Said:
    prior = noise.prior
    assert prior is not None
    of = points(prior.sd, scale, signed=False)
    if prior.shipped:
        return said("prior_shipped", sd=of, df=f"{prior.df:g}")
    return said("prior_earlier", sd=of, df=f"{prior.df:.0f}", sweeps=", ".join(prior.sweeps))


def _groups(noise: Noise) -> Said:
    if len(noise.groups) > NAMED:
        return said("groups_many", n=len(noise.groups), runs=sum(map(len, noise.groups)))
    return joined((joined(group) for group in noise.groups), "clauses")


def noise_warnings(noise: Noise, scale: Scale) -> list[Said]:
    """What has to be known of the noise beside its size, and beside why it is not known (`noise_text`)."""
    found = []
    if noise.unequal:
        (steady, least), (wild, most) = noise.unequal[0], noise.unequal[-1]
        found.append(
            said(
                "noise_unequal",
                steady=steady,
                least=points(least, scale, signed=False),
                wild=wild,
                most=points(most, scale, signed=False),
                p=f"{noise.equal_p:.2g}",
            )
        )
    if noise.at_the_end and noise.tested:
        found.append(said("noise_ends", runs=joined(noise.at_the_end)))
    return found


def counted(verdict: Verdict) -> list[Said]:
    """How often these scores were looked at, and how many calls luck alone would make."""
    count = verdict.comparisons
    if not verdict.noise.tested:
        return [said("counted_untested", n=count)]
    by_chance = f"{LEVEL * count:.1f}".removesuffix(".0")
    return [*looked(verdict), said("counted", n=count, by_chance=by_chance)]


def looked(verdict: Verdict) -> list[Said]:
    """The how-many-th verdict this is, where it is not the first."""
    if verdict.look < 2:
        return []
    return [said("look", n=verdict.look, level=f"{100 * LEVEL / verdict.look**2:.2g}")]


@dataclass(frozen=True)
class Called:
    """The call of one change.

    Attributes:
        star: Whether it stands when all settings are counted together.
        bound: How large a difference there may be where none is called.
        holds: Up to which noise it would hold, where none was measured.
        pairs: What each matched pair says, where that matters.
        instead: The setting's own sentence, which then stands for all of it.
    """

    call: Said
    star: bool
    bound: Said | str = ""
    holds: Said | str = ""
    pairs: Said | str = ""
    instead: Said | str = ""


def called(effect: SettingEffect, contrast: Contrast, scale: Scale) -> Called:
    """The call of one change, with what has to be known beside it."""
    decided = contrast.call not in (NOT_DECIDED, NO_DIFFERENCE)
    limit: Said | str = ""
    holds: Said | str = ""
    instead: Said | str = ""
    if contrast.call == NO_DIFFERENCE and contrast.low is not None and contrast.high is not None:
        bound = max(-contrast.low, contrast.high)
        limit = said("call_no_larger", bound=points(bound, scale, signed=False))
    elif contrast.call == NOT_DECIDED and effect.call == NOT_DECIDED and contrast is effect.contrasts[0]:
        instead = effect.sentence
    elif decided and contrast.low is None:
        holds = said("call_holds", limit=points(contrast.holds_up_to, scale, signed=False))
    pairs: Said | str = ""
    if len(contrast.pairs) > 1 and (decided or contrast.conflict is not None and contrast.conflict < LEVEL):
        pairs = each_pair(contrast.pairs[:FIRST_PAIRS], scale)
        if len(contrast.pairs) > FIRST_PAIRS:
            pairs = said("pairs_more", pairs=pairs)
        pairs = said("call_pairs", pairs=pairs)
    return Called(said(f"call_{contrast.call}"), contrast.star, limit, holds, pairs, instead)
