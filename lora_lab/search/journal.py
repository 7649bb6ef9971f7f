"""The scored runs as an Optuna study: for Optuna's TPE sampler, and as a journal for optuna-dashboard.

Scores are the truth; a study is made of them anew whenever it is needed and can be thrown away.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial

from lora_lab.files import unwritable
from lora_lab.search.ask import Observation, Proposal
from lora_lab.search.space import Choices, Range, Settings, Space

optuna.logging.set_verbosity(optuna.logging.WARNING)


def tpe(space: Space, seen: Sequence[Observation], count: int, seed: int) -> list[Proposal]:
    """The next round by Optuna's multivariate TPE; its runs know of each other by a constant liar."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # of `group`: the version of optuna is pinned
        sampler = TPESampler(
            multivariate=True, group=True, constant_liar=True, n_startup_trials=max(5, count), seed=seed
        )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    _fill(study, space, seen)
    found = []
    for _ in range(count):
        trial = study.ask()
        found.append(Proposal(_suggested(space, partial(_suggest, trial))))
    return found


def write_journal(path: Path, space: Space, seen: Sequence[Observation], name: str) -> int:
    """Write the study as a journal file, in place of the one before; opens in optuna-dashboard.

    Returns:
        How many runs it holds; those of values outside the space are not in it.

    Raises:
        RunFolderError: The file cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".journal-", dir=path.parent) as folder:
            file = Path(folder) / path.name
            storage = JournalStorage(JournalFileBackend(str(file)))
            study = optuna.create_study(
                study_name=name, storage=storage, direction="maximize", sampler=_NoSampler()
            )
            held = _fill(study, space, seen)
            os.replace(file, path)
    except OSError as error:
        raise unwritable(path, error) from error
    return held


class _NoSampler(BaseSampler):
    """Nothing is asked of a journal's study while it is written."""

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, BaseDistribution]:
        """Nothing."""
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        """Nothing."""
        return {}

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """Never asked."""
        raise NotImplementedError


def _fill(study: optuna.Study, space: Space, seen: Sequence[Observation]) -> int:
    held = 0
    for item in seen:
        parts = dict(space.ranges(item.settings))
        params = {key: item.settings[key] for key in parts if item.settings.get(key) is not None}
        own = {key: _distribution(parts[key]) for key in params}
        if not params or not all(_inside(parts[key], value) for key, value in params.items()):
            continue
        params = {key: _typed(own[key], value) for key, value in params.items()}
        attributes = {"run": item.run} if item.run else {}
        study.add_trial(
            create_trial(value=item.score, params=params, distributions=own, user_attrs=attributes)
        )
        held += 1
    return held


def _suggested(space: Space, value_of: Callable[[str, Choices | Range], Any]) -> Settings:
    found: Settings = {}
    for part in space.parts:
        found[part.key] = value_of(part.key, part)
        under: Mapping[Any, Space] = part.under if isinstance(part, Choices) else {}
        if found[part.key] in under:
            found |= _suggested(under[found[part.key]], value_of)
    return found


def _suggest(trial: optuna.Trial, key: str, part: Choices | Range) -> Any:
    """A value that the space holds: numbers are drawn between the ends, then the nearest value is taken."""
    distribution = _distribution(part)
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(key, distribution.choices)
    drawn: float
    if isinstance(distribution, IntDistribution):
        drawn = trial.suggest_int(
            key, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    else:
        assert isinstance(distribution, FloatDistribution)
        drawn = trial.suggest_float(
            key, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    return min(part.grid(), key=lambda value: abs(value - drawn))


def _distribution(part: Choices | Range) -> BaseDistribution:
    if isinstance(part, Range):
        if part.whole:
            return IntDistribution(int(part.low), int(part.high), log=part.log, step=int(part.step or 1))
        return FloatDistribution(part.low, part.high, log=part.log, step=part.step)
    if not part.numeric or len(part.values) < 2:
        return CategoricalDistribution(list(part.values))
    low, high = float(part.values[0]), float(part.values[-1])
    return FloatDistribution(low, high, log=part.by_factors)


def _inside(part: Choices | Range, value: Any) -> bool:
    if isinstance(part, Choices) and not part.numeric:
        return value in part.values
    ends = part.grid()
    return isinstance(value, (int, float)) and ends[0] <= value <= ends[-1]


def _typed(distribution: BaseDistribution, value: Any) -> Any:
    return float(value) if isinstance(distribution, FloatDistribution) else value
