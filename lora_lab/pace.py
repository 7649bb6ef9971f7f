"""How far runs are, how fast they go and when they end, from what workers report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

SOON, LATE = 0.1, 0.02
"""Weights of a new loss in the two running means whose difference is the trend."""

ENOUGH = 30
"""Reports before a trend is named: a single step's loss depends on its timestep far more than on training."""

APART = 0.03
"""Share by which the two means must differ."""


@dataclass
class RunPace:
    """One run as it is reported.

    Attributes:
        total: Its steps.
        step: The step it is at.
        first: The step it was at when it was first heard of: a run that goes on from a saved state did those
            before that another time.
        since: When that was, in seconds of a clock that never jumps.
        at: When it was last heard of.
    """

    total: int
    step: int = 0
    first: int = 0
    since: float = 0.0
    at: float = 0.0
    reports: int = 0
    soon: float = 0.0
    late: float = 0.0

    def hear(self, step: int, loss: float | None, now: float) -> None:
        """Take a report of a step in."""
        if not self.reports:
            self.first, self.since = step, now
        self.step, self.at = step, now
        if loss is not None:
            # At first one over the number of reports: a plain mean, until there is enough to weigh.
            self.soon += (loss - self.soon) * max(SOON, 1 / (self.reports + 1))
            self.late += (loss - self.late) * max(LATE, 1 / (self.reports + 1))
        self.reports += 1

    @property
    def speed(self) -> float | None:
        """Steps per second, of those done since it was first heard of."""
        passed = self.at - self.since
        return (self.step - self.first) / passed if passed > 0 and self.step > self.first else None

    @property
    def seconds_left(self) -> float | None:
        """Until its last step, at that speed."""
        return (self.total - self.step) / self.speed if self.speed else None

    @property
    def loss(self) -> str:
        """The running mean of its loss, with an arrow once a trend can be told."""
        if not self.reports:
            return ""
        if self.reports < ENOUGH or not self.late:
            return f"{self.soon:.4f}"
        change = self.soon / self.late - 1
        return f"{self.soon:.4f} " + ("→" if abs(change) < APART else "↓" if change < 0 else "↑")


@dataclass(frozen=True)
class Progress:
    """How far all runs of a sweep are together, wherever that is known from.

    Attributes:
        total: Steps of all runs.
        done: Steps that need no more work; what has ended counts as whole.
        runs: How many they are, and `ended` of them.
        fresh: Steps that were done in `seconds`, by which the rest is reckoned.
    """

    total: int
    done: int
    runs: int
    ended: int
    fresh: int
    seconds: float

    @property
    def speed(self) -> float | None:
        """Steps per second of all runs together, previews and loading between them included."""
        return self.fresh / self.seconds if self.seconds > 0 and self.fresh else None

    @property
    def seconds_left(self) -> float | None:
        """Until the last step of all, at that speed."""
        return (self.total - self.done) / self.speed if self.speed else None

    @property
    def words(self) -> str:
        """How much is done, and when all is."""
        left = self.seconds_left
        parts = [
            f"{self.done / max(1, self.total):.0%} of {self.total:,} steps",
            f"{self.ended}/{self.runs} runs ended",
            spell_speed(self.speed),
            f"{spell_seconds(left)} left, ends {spell_end(left)}" if left is not None else "",
        ]
        return ", ".join(part for part in parts if part)


class SweepPace:
    """All runs of a launch.

    Args:
        totals: Steps by the name of the run, of those to be trained.
        clock: Seconds that never jump; for tests.
    """

    def __init__(self, totals: Mapping[str, int], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.runs = {name: RunPace(total) for name, total in totals.items()}
        self.ended: set[str] = set()
        self.memory: dict[str, int] = {}

    def step(self, run: str, values: Mapping[str, Any]) -> None:
        """Take the values of a step's event in: step, total, loss, memory (peak bytes of its worker)."""
        loss = values.get("loss")
        pace = self.runs.setdefault(run, RunPace(int(values.get("total") or 0)))
        pace.hear(int(values.get("step", 0)), loss if isinstance(loss, float) else None, self._clock())
        if values.get("memory"):
            self.memory[run] = int(values["memory"])

    def end(self, run: str) -> None:
        """A run has its final status: the rest of its steps will not come."""
        self.ended.add(run)
        self.memory.pop(run, None)

    @property
    def progress(self) -> Progress:
        """How far all of them are, at the speed since the first was heard of."""
        heard = [run for run in self.runs.values() if run.reports]
        return Progress(
            total=sum(run.total for run in self.runs.values()),
            done=sum(run.total if name in self.ended else run.step for name, run in self.runs.items()),
            runs=len(self.runs),
            ended=len(self.ended),
            fresh=sum(run.step - run.first for run in heard),
            seconds=self._clock() - min(run.since for run in heard) if heard else 0.0,
        )


def spell_speed(speed: float | None) -> str:
    """Steps per second, or seconds per step where they are slow."""
    if not speed:
        return ""
    return f"{speed:.1f} steps/s" if speed >= 1 else f"{1 / speed:.1f} s/step"


def spell_seconds(seconds: float | None) -> str:
    """Hours and minutes, or minutes and seconds."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60}:{whole % 60:02} min"


def spell_end(seconds: float | None, now: datetime | None = None) -> str:
    """The clock's time so many seconds from now, with the day where it is another one."""
    if seconds is None:
        return ""
    now = now or datetime.now()
    end = now + timedelta(seconds=seconds)
    return end.strftime("%H:%M") if end.date() == now.date() else end.strftime("%a %H:%M")


def spell_memory(peaks: Mapping[str, int]) -> str:
    """The peak of the largest worker, in GiB."""
    return f"{max(peaks.values()) / 2**30:.1f} GiB" if peaks else ""


def shortened(name: str, width: int) -> str:
    """A name of at most `width` letters: its beginning and its end; names in a sweep often begin alike."""
    if len(name) <= width:
        return name
    head = max(1, (width - 1) // 2)
    tail = width - 1 - head
    return f"{name[:head]}…{name[-tail:] if tail else ''}"
