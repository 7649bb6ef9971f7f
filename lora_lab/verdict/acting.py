"""Which runs of a sweep are one experiment, and which change nothing of what all of them share."""

from __future__ import annotations

from collections.abc import Iterable

from lora_lab.config import settings
from lora_lab.store.acting import SEED
from lora_lab.store.reading import Run, Sweep

__all__ = ["SEED", "changes_of", "same_experiments"]

OF_NO_WEIGHT = ("engine", "preview", "metric")
"""Groups of settings that change no weight; so do those that say so."""


def same_experiments(sweep: Sweep) -> dict[str, str]:
    """Runs that are one experiment with another run, by name: same fingerprint, or same settings and seed."""
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    # A run that was trained stands for those that only name it.
    for run in sorted(sweep.runs.values(), key=lambda run: bool(run.same_as)):
        origin = run.same_as or first.setdefault(_experiment(run), run.name)
        if origin != run.name:
            found[run.name] = found.get(origin, origin)
    return found


def _experiment(run: Run) -> str:
    own = run.acting
    if run.record.experiment:
        return run.record.experiment
    if not own.settings:
        return f"unknown {run.name}"
    return repr((sorted(own.settings.items()), own.seed))


def changes_of(runs: Iterable[Run]) -> dict[str, tuple[str, ...]]:
    """The settings that each run changes of what all runs were composed from, by its name.

    It does not matter which command started which run: three commands of one run each and one sweep file give
    the same. Where a version kept less of some run, it is what each changed of the base it was planned with.
    """
    known = list(runs)
    composed = {run.name: {text for text in run.record.composed if _acts(_key(text))} for run in known}
    if all(run.record.composed for run in known):
        shared = set.intersection(*composed.values()) if composed else set()
        return {name: _keys(sorted(texts - shared)) for name, texts in composed.items()}
    return {run.name: _keys(run.record.overrides) for run in known}


def _keys(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for key in map(_key, texts) if key != SEED))


def _key(text: str) -> str:
    return text.lstrip("+~").partition("=")[0]


def _acts(key: str) -> bool:
    """Whether a setting, or a choice of a group of them, may change a weight."""
    if key == SEED or key.split(".")[0] in OF_NO_WEIGHT:
        return False
    setting = settings().get(key)
    return setting.trains if setting else True
