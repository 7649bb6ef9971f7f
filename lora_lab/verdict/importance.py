"""Importance of settings by fANOVA, shown beside what shuffled scores give; and refused where it misleads.

Optuna's default, PED-ANOVA, is never used: it compares the best runs' settings with all runs', and in a
design that changes one factor at a time nearly all of the best hold the base's value, whatever matters.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lora_lab.axes import axis
from lora_lab.verdict.analysis import Analysis
from lora_lab.verdict.cells import Cell
from lora_lab.verdict.result import Importance
from lora_lab.words import said

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FEWEST = 20
"""Runs below which no importance is computed."""
SHUFFLES = 99
"""Times that the scores are shuffled over the runs."""
TREES = 32
"""Trees of each forest; more change the shares little and take as much longer."""


def importance(analysis: Analysis) -> tuple[tuple[Importance, ...] | None, str]:
    """Shares of the scores' variance by setting, or None with the reason.

    The shares of a table always add up to 1, even where nothing matters. So each stands beside the share that
    the same setting gets in 95 % of tables with shuffled scores, and p counts how often that is as large.
    """
    members = analysis.cells
    if len(members) < FEWEST:
        return (
            None,
            said("importance_few", fewest=FEWEST, n=len(members)),
        )
    keys = _moving(members)
    if len(keys) < 2:
        return None, said("importance_settings")
    scores = np.array([cell.mean for cell in members])
    own = _shares(members, keys, scores)
    generator = np.random.default_rng(0)
    shuffled = [_shares(members, keys, generator.permutation(scores)) for _ in range(SHUFFLES)]
    found = [
        Importance(
            key,
            axis(key).label,
            own[key],
            float(np.quantile([one[key] for one in shuffled], 0.95)),
            (1 + sum(one[key] >= own[key] for one in shuffled)) / (SHUFFLES + 1),
        )
        for key in keys
    ]
    return tuple(sorted(found, key=lambda item: -item.share)), ""


def _moving(members: Sequence[Cell]) -> list[str]:
    """Settings that every run has and that differ; of those that move together, the first."""
    shared = set.intersection(*(set(cell.settings) for cell in members))
    found: dict[tuple[str, ...], str] = {}
    for key in members[0].settings:
        if key in shared:
            column = tuple(repr(cell.settings[key]) for cell in members)
            numbered = {text: str(place) for place, text in enumerate(dict.fromkeys(column))}
            if len(numbered) > 1:
                found.setdefault(tuple(numbered[text] for text in column), key)
    return list(found.values())


def _shares(members: Sequence[Cell], keys: Sequence[str], scores: Any) -> dict[str, float]:
    import optuna
    from optuna.importance import FanovaImportanceEvaluator

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    spaces = {key: _distribution([cell.settings[key] for cell in members]) for key in keys}
    for cell, score in zip(members, scores, strict=True):
        params = {key: _value(cell.settings[key]) for key in keys}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=spaces, value=float(score)))
    evaluator = FanovaImportanceEvaluator(n_trees=TREES, seed=0)
    found: dict[str, float] = defaultdict(float, evaluator.evaluate(study))
    return {key: found[key] for key in keys}


def _distribution(values: Sequence[Any]) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution

    return CategoricalDistribution(tuple(dict.fromkeys(map(_value, values))))


def _value(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else json.dumps(value)
