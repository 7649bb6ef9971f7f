"""`lora-lab verdict`: what the scores of a sweep support."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from lora_lab.cli.as_json import print_json
from lora_lab.cli.look import sweep_folder
from lora_lab.errors import ConfigError, RunFolderError
from lora_lab.verdict.evidence import SCORE, Evidence
from lora_lab.verdict.gather import evidence
from lora_lab.verdict.judge import judge
from lora_lab.verdict.score_table import read_score_table, with_score_table
from lora_lab.verdict.taken import take
from lora_lab.words import check_language


def verdict(given: argparse.Namespace) -> int:
    """Print what the scores support, setting by setting."""
    check_language(given.language)
    found = gather(given)
    if not found.scored:
        raise RunFolderError(nothing_to_judge(found))
    choices = {
        "noise_floor": given.noise_floor,
        "relevant": given.relevant,
        "with_importance": given.importance,
    }
    if given.sweep and not given.scores:
        made = take(sweep_folder(Path(given.sweep), given.results), found, **choices)
    else:
        made = judge(found, **choices)
    if given.json:
        print_json(plain(made))
    else:
        from lora_lab.cli.verdict_view import show_verdict

        show_verdict(made, given.language)
    return 0


def gather(given: argparse.Namespace) -> Evidence:
    """The evidence that the words on the command line ask for.

    Raises:
        ConfigError: They name neither a sweep nor a table, or contradict each other.
        RunFolderError: There are no such results.
        DataError: The table cannot be used.
    """
    raters = given.rater or None
    if given.metric and (given.rater or given.scores):
        raise ConfigError("--metric judges by an automatic number: leave out --rater and --scores")
    if not given.sweep:
        if not given.scores:
            raise ConfigError("say which sweep, such as results/demo, or give a table: --scores FILE.csv")
        return read_score_table(Path(given.scores), raters=raters, score=given.checkpoint)
    folder = sweep_folder(Path(given.sweep), given.results)
    if given.scores:
        return with_score_table(evidence(folder, score=given.checkpoint), Path(given.scores), raters)
    return evidence(folder, raters=raters, score=given.checkpoint, metric=given.metric)


def nothing_to_judge(found: Evidence) -> str:
    """Why there is no verdict, and the way out; what cannot be read comes first."""
    return "\n".join([*found.gaps, _not_judged(found)])


def _not_judged(found: Evidence) -> str:
    if any(item.human is not None for run in found.runs for item in run.checkpoints):
        missing = dict.fromkeys(run.missing for run in found.own if run.missing)
        return (
            f"no run of {found.name} has a score at its {found.rule} checkpoint ({'; '.join(missing)}): "
            f"go on with `lora-lab review {found.name}`, or say --checkpoint best"
        )
    metrics = [name for name in found.metrics if name not in ("brightness", "contrast")]
    by = f"; or judge by an automatic metric: --metric NAME ({', '.join(metrics)})" if metrics else ""
    what = "has a score" if found.criterion == SCORE else f"can be judged by {found.criterion}"
    return f"no run of {found.name} {what} yet: `lora-lab review {found.name}` shows previews to score{by}"


def plain(value: Any) -> Any:
    """A verdict as plain values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (frozenset, set)):
        return sorted(map(str, value))
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
