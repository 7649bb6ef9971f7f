"""Breadth first: how far a pack is trained before it is set aside for the others.

Where a pack stands follows from its runs' updates alone, so that nothing of it has to be kept: after a kill
the same command takes up the packs that are behind first.
"""

from __future__ import annotations

from collections.abc import Iterable

from lora_lab.run.save_schedule import SaveSchedule


def round_end(schedule: SaveSchedule, number: int, rounds: int) -> int:
    """The update that a run's round ends with: its first checkpoint at or behind `number / rounds`.

    Args:
        number: Of the round, from 1.
    """
    share = -(-schedule.total_updates * number // rounds)
    return next(update for update in schedule.updates() if update >= share)


def next_round(runs: Iterable[tuple[SaveSchedule, int]], rounds: int) -> int:
    """The first round, from 1, that some of a pack's runs have not done; `rounds` where it is the last one.

    Args:
        runs: Of each run, when it saves, and its updates so far.
    """
    found = list(runs)
    for number in range(1, rounds):
        if any(update < round_end(schedule, number, rounds) for schedule, update in found):
            return number
    return rounds
