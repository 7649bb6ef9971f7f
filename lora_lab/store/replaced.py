"""Scores of images that others have replaced since: they stand beside images that nobody judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from lora_lab.store.reading import Sweep
from lora_lab.store.scores import Place, ScoreLog
from lora_lab.words import Said, said


def replaced_scores(sweep: Sweep, log: ScoreLog) -> Mapping[Place, int]:
    """How many scores of each checkpoint are of an image that is no longer among its previews.

    Checkpoints are called by the run that did the work; a score that does not say what drew its images is
    taken to be of those of now.
    """
    there = {
        (name, item.tag): {shot.drawn for shot in item.previews}
        for name, run in sweep.runs.items()
        for item in run.checkpoints
    }
    twins = sweep.twins
    return Counter(
        (twins.get(item.run, item.run), item.tag)
        for item in log.scores
        if set(item.drawn) - there.get(item.place, set(item.drawn))
    )


def replaced_note(found: Mapping[Place, int], log: ScoreLog) -> list[Said]:
    """It as a sentence; none where no image was replaced."""
    old = sum(found.values())
    return [said("note_replaced", n=old, judged=len(log.scores))] if old else []
