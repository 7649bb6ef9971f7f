"""Verdicts that were taken on a sweep: each is kept beside its scores, and intervals allow for all of them.

Who asks again after every new run gives chance another try each time: at 5 % a time, 15 % of settings without
an effect had been called after five verdicts. So the k-th verdict on changed scores tests a setting at
5 % / k^2. The levels add up to 8 % at most however often one asks; as verdicts on growing scores are alike,
5 to 6 % came out in simulation. Asking again without new scores gives the same answer and is no new look.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from lora_lab.errors import LoraLabError, RunFolderError
from lora_lab.store import SweepFolder, read_scores
from lora_lab.store.verdicts import keep_verdict, read_verdicts
from lora_lab.verdict.analysis import change_key
from lora_lab.verdict.evidence import SCORE, Evidence
from lora_lab.verdict.gather import evidence
from lora_lab.verdict.interactions import pair_key
from lora_lab.verdict.judge import judge
from lora_lab.verdict.prior import Prior, from_earlier
from lora_lab.verdict.result import Verdict
from lora_lab.words import said

MOST_EARLIER = 30
"""Earlier sweeps that are read for a prior, the newest first."""


def take(folder: SweepFolder, found: Evidence, **choices: Any) -> Verdict:
    """The verdict on a sweep, with all that were taken before it allowed for; it is kept with them.

    Args:
        found: The evidence of the sweep.
        choices: Those of `judge`, without `prior` and `looks`.

    Raises:
        ConfigError: As `judge`.
    """
    own, lines = digest(found), read_verdicts(folder)
    verdict = judge(found, prior=earlier_prior(folder, found), looks=looks(lines, found), **choices)
    if not any(line.get("data") == own for line in lines):
        try:
            keep_verdict(folder, _line(verdict, own))
        except RunFolderError as error:
            note = said("note_unkept", error=error)
            verdict = replace(verdict, notes=(*verdict.notes, note))
    return verdict


def before(folder: SweepFolder, found: Evidence) -> tuple[Prior | None, dict[str, int]]:
    """What is known before the scores of a sweep are judged: the prior, and the verdicts taken on others."""
    return earlier_prior(folder, found), looks(read_verdicts(folder), found)


def digest(found: Evidence) -> str:
    """What scores a verdict is on: who asks twice with the same ones has looked once."""
    values = [(run.known_as or run.name, run.chosen, round(run.score or 0.0, 9)) for run in found.scored]
    text = json.dumps([found.criterion, found.rule, sorted(values)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def looks(lines: Iterable[Mapping[str, Any]], found: Evidence) -> dict[str, int]:
    """How many verdicts on other scores of this sweep were taken before, by change and by pair of settings.

    Args:
        lines: The log of verdicts.
    """
    own, counted = digest(found), dict[str, int]()
    seen: set[str] = set()
    for line in lines:
        data = str(line.get("data"))
        if data == own:
            break
        if data in seen or line.get("criterion") != found.criterion or line.get("rule") != found.rule:
            continue
        seen.add(data)
        calls = line.get("calls")
        for key in calls if isinstance(calls, dict) else ():
            counted[key] = counted.get(key, 0) + 1
    return counted


def _line(verdict: Verdict, data: str) -> dict[str, Any]:
    calls = {
        change_key(item.key, item.under, (each.reference, each.level)): each.call
        for item in verdict.settings
        for each in item.contrasts
        if not each.same_training
    }
    calls |= {pair_key(item.one[0], item.other[0]): item.call for item in verdict.interactions}
    found = verdict.evidence
    recommended = verdict.recommendation.run if verdict.recommendation else ""
    return {
        "data": data,
        "criterion": found.criterion,
        "rule": found.rule,
        "runs": len(found.scored),
        "calls": calls,
        "recommended": recommended,
    }


def earlier_prior(folder: SweepFolder, found: Evidence) -> Prior | None:
    """What the sweeps beside this one say of run-to-run noise; None where they say too little."""
    return from_earlier(_earlier(folder, found), found)


def _earlier(folder: SweepFolder, found: Evidence) -> Sequence[Evidence]:
    with suppress(OSError):
        beside = [SweepFolder(path) for path in folder.path.resolve().parent.iterdir() if path.is_dir()]
        others = [item for item in beside if item.path != folder.path.resolve() and item.is_sweep()]
        if found.criterion == SCORE:
            others = [item for item in others if read_scores(item).scores]
        others.sort(key=lambda item: item.path.stat().st_mtime, reverse=True)
        return [one for item in others[:MOST_EARLIER] if (one := _read(item, found)) is not None]
    return []


def _read(folder: SweepFolder, found: Evidence) -> Evidence | None:
    with suppress(LoraLabError, OSError):
        return evidence(folder, metric=None if found.criterion == SCORE else found.criterion)
    return None
