"""Evidence from a few words: runs with settings, seeds and scores."""

from collections.abc import Mapping, Sequence
from typing import Any

from lora_lab.verdict.evidence import CheckpointEvidence, Evidence, RunEvidence, grouped, judged

Row = tuple[str, Mapping[str, Any], int, float | None]
"""Name, settings, seed and score of a run."""


def run(
    name: str, settings: Mapping[str, Any], seed: int = 1, score: float | None = None, **more: Any
) -> RunEvidence:
    """One run with one checkpoint."""
    given = {"checkpoints": (CheckpointEvidence("000010", 10, 100, human=score),), "usable": True, **more}
    return RunEvidence(name, settings=dict(settings), seed=seed, **given)


def of(runs: Sequence[RunEvidence], **choices: Any) -> Evidence:
    """Judged evidence of runs."""
    given = {"name": "made", "question": "", "criterion": "score", "rule": "last", **choices}
    return judged(Evidence(runs=grouped(runs), **given))


def evidence(rows: Sequence[Row], **choices: Any) -> Evidence:
    """Judged evidence of rows."""
    return of([run(*row) for row in rows], **choices)
