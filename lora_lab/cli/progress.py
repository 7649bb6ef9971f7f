"""Progress of a launch: bars in a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
)
from rich.table import Column

from lora_lab.cli.show import coloured
from lora_lab.engines import Event, Report
from lora_lab.pace import (
    SweepPace,
    shortened,
    spell_end,
    spell_memory,
    spell_seconds,
    spell_speed,
)
from lora_lab.store import ENDED
from lora_lab.sweep import Plan

LINE_SECONDS = 60.0
NAME_WIDTH, LEAST_NAME = 28, 12
ALWAYS = 37
"""Letters of what is always shown: the step, the loss with its trend, the time that is left."""

IF_THERE_IS_ROOM = {"phase": 15, "speed": 14, "bar": 17}
"""What else, with its letters, the most useful first."""


@contextmanager
def watching(plan: Plan, *, quiet: bool = False) -> Iterator[Report]:
    """Give the function that a launch reports to; what it shows ends with the block."""
    console = Console(stderr=True, highlight=False, emoji=False)
    if quiet or not any(row.to_do for row in plan.rows):
        yield lambda event: None
    elif console.is_terminal:
        with _progress(console) as progress:
            yield Bars(plan, progress).report
    else:
        yield Lines(plan, lambda text: print(text, file=sys.stderr, flush=True)).report


def _room(width: int) -> tuple[list[str], int]:
    """What else than numbers has room in so many letters, and the letters of a name."""
    shown: list[str] = []
    used = ALWAYS
    for name, letters in IF_THERE_IS_ROOM.items():
        if used + letters + LEAST_NAME > width:
            break
        shown.append(name)
        used += letters
    return shown, max(LEAST_NAME // 2, min(NAME_WIDTH, width - used - 1))


def _progress(console: Console) -> Progress:
    """The columns that have room: numbers always, and whole."""
    shown, _ = _room(console.width)

    def whole(field: str) -> TextColumn:
        return TextColumn(field, table_column=Column(no_wrap=True))

    columns = [
        whole("{task.description}"),
        *([BarColumn(bar_width=IF_THERE_IS_ROOM["bar"] - 1)] if "bar" in shown else []),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        whole("{task.fields[loss]}"),
        *([whole("[dim]{task.fields[speed]}")] if "speed" in shown else []),
        whole("{task.fields[rest]}"),
        *([whole("[dim]{task.fields[phase]}")] if "phase" in shown else []),
    ]
    return Progress(*columns, console=console)


class Bars:
    """One bar per run that is being worked on, and one for the sweep."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self._progress = progress
        self._pace = SweepPace({row.name: row.total_steps for row in plan.rows if row.to_do})
        self._bars: dict[str, TaskID] = {}
        _, self._width = _room(progress.console.width)
        self._all = self._add(self._title(), self._pace.progress.total, "")

    def _add(self, title: str, total: int | None, phase: str) -> TaskID:
        return self._progress.add_task(title, total=total, loss="", speed="", rest="", phase=phase)

    def _title(self) -> str:
        return f"[bold]{len(self._pace.ended)}/{len(self._pace.runs)} runs[/]"

    def report(self, event: Event) -> None:
        """Show an event."""
        handler: Callable[[Event], None] | None = getattr(self, f"_on_{event.kind}", None)
        if handler:
            handler(event)

    def _on_start(self, event: Event) -> None:
        for name in event.pack:
            if name not in self._bars:
                run = self._pace.runs.get(name)
                title = escape(shortened(name, self._width))
                self._bars[name] = self._add(title, run.total if run else None, "starting")

    def _on_phase(self, event: Event) -> None:
        for name in event.pack:
            if name in self._bars:
                self._progress.update(self._bars[name], phase=str(event.values.get("phase", "")))

    def _on_step(self, event: Event) -> None:
        self._pace.step(event.run, event.values)
        run = self._pace.runs[event.run]
        if event.run in self._bars:
            self._progress.update(
                self._bars[event.run],
                completed=run.step,
                loss=f"loss {run.loss}" if run.loss else "",
                speed=spell_speed(run.speed),
                rest=spell_seconds(run.seconds_left),
                phase="train",
            )
        self._whole()

    def _whole(self) -> None:
        whole = self._pace.progress
        left = whole.seconds_left
        self._progress.update(
            self._all,
            completed=whole.done,
            description=self._title(),
            loss=f"ends {spell_end(left)}" if left is not None else "",
            speed=spell_speed(whole.speed),
            rest=spell_seconds(left),
            phase=spell_memory(self._pace.memory),
        )

    def _on_preview(self, event: Event) -> None:
        text = f"preview {event.values.get('done')}/{event.values.get('total')}"
        for name in event.pack:
            if name in self._bars:
                self._progress.update(self._bars[name], phase=text)

    def _on_end(self, event: Event) -> None:
        self._drop(event.run)
        status, reason = str(event.values.get("status", "")), str(event.values.get("reason") or "")
        if status in ENDED:
            self._pace.end(event.run)
            self._whole()
        self._say(f"{escape(event.run)} {coloured(status)}{escape(f': {reason}' if reason else '')}")

    def _on_retry(self, event: Event) -> None:
        self._say(f"[yellow]{escape(_retry_text(event))}[/]")

    def _on_held(self, event: Event) -> None:
        self._say(f"[yellow]{escape(_held_text(event))}[/]")

    def _on_stopping(self, event: Event) -> None:
        self._say("[yellow]stopping: the runs save where they are; Ctrl-C again ends them at once[/]")

    def _on_exit(self, event: Event) -> None:
        for name in event.pack:
            self._drop(name)

    def _drop(self, name: str) -> None:
        if name in self._bars:
            self._progress.remove_task(self._bars.pop(name))

    def _say(self, text: str) -> None:
        self._progress.console.print(text)


class Lines:
    """A line when something changes, and one a minute in between; for logs and pipes."""

    def __init__(self, plan: Plan, write: Callable[[str], None]) -> None:
        self._write = write
        self._pace = SweepPace({row.name: row.total_steps for row in plan.rows if row.to_do})
        self._last = time.monotonic()

    def report(self, event: Event) -> None:
        """Write an event down, if it is worth a line."""
        if event.kind == "start":
            self._write(f"start: {', '.join(event.pack)}")
        elif event.kind == "step":
            self._pace.step(event.run, event.values)
            self._how_far()
        elif event.kind == "end":
            self._end(event)
        elif event.kind == "retry":
            self._write(_retry_text(event))
        elif event.kind == "held":
            self._write(_held_text(event))
        elif event.kind == "stopping":
            self._write("stopping: the runs save where they are")

    def _how_far(self) -> None:
        if time.monotonic() - self._last < LINE_SECONDS:
            return
        self._last = time.monotonic()
        parts = (self._pace.progress.words, spell_memory(self._pace.memory))
        self._write(", ".join(part for part in parts if part))

    def _end(self, event: Event) -> None:
        status, reason = event.values.get("status"), event.values.get("reason")
        if status in ENDED:
            self._pace.end(event.run)
        counted = f"({len(self._pace.ended)}/{len(self._pace.runs)})"
        self._write(f"{event.run} {status}{f': {reason}' if reason else ''} {counted}")


def _held_text(event: Event) -> str:
    return f"waiting for another process to let go of {', '.join(event.pack)}"


def _retry_text(event: Event) -> str:
    runs = ", ".join(event.pack)
    how = " in smaller packs" if event.values.get("packs") != 1 else ""
    return f"the worker of {runs} was lost; trying again{how} ({event.values.get('reason', '')})"
