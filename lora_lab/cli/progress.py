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
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from lora_lab.cli.show import coloured
from lora_lab.engines import Event, Report
from lora_lab.sweep import Plan

LINE_SECONDS = 10.0
NAME_WIDTH = 28


@contextmanager
def watching(plan: Plan, *, quiet: bool = False) -> Iterator[Report]:
    """Give the function that a launch reports to; what it shows ends with the block."""
    console = Console(stderr=True, highlight=False)
    if quiet or not any(row.to_do for row in plan.rows):
        yield lambda event: None
    elif console.is_terminal:
        with _progress(console) as progress:
            yield Bars(plan, progress).report
    else:
        yield Lines(plan, lambda text: print(text, file=sys.stderr, flush=True)).report


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        SpeedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("[dim]{task.fields[phase]}"),
        console=console,
    )


class SpeedColumn(ProgressColumn):
    """Updates per second, or seconds per update where they are slow."""

    def render(self, task: Task) -> Text:
        """The speed of one bar."""
        speed = task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f} it/s" if speed >= 1 else f"{1 / speed:.1f} s/it", style="dim")


class Bars:
    """One bar per run that is being worked on, and one for the sweep."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self._progress = progress
        self._totals = {row.name: row.total_steps for row in plan.rows}
        self._steps: dict[str, int] = {}
        self._bars: dict[str, TaskID] = {}
        self._ended: set[str] = set()
        self._names = [row.name for row in plan.rows if row.to_do]
        self._all = progress.add_task(
            self._title(), total=sum(self._totals[name] for name in self._names), loss="", phase=""
        )

    def _title(self) -> str:
        return f"[bold]sweep[/] {len(self._ended)}/{len(self._names)} runs"

    def report(self, event: Event) -> None:
        """Show an event."""
        handler: Callable[[Event], None] | None = getattr(self, f"_on_{event.kind}", None)
        if handler:
            handler(event)

    def _on_start(self, event: Event) -> None:
        for name in event.pack:
            if name not in self._bars:
                self._bars[name] = self._progress.add_task(
                    escape(name[:NAME_WIDTH]), total=self._totals.get(name), loss="", phase="starting"
                )

    def _on_phase(self, event: Event) -> None:
        for name in event.pack:
            if name in self._bars:
                self._progress.update(self._bars[name], phase=str(event.values.get("phase", "")))

    def _on_step(self, event: Event) -> None:
        step, loss = int(event.values.get("step", 0)), event.values.get("loss")
        self._steps[event.run] = step
        if event.run in self._bars:
            shown = f"loss {loss:.4f}" if isinstance(loss, float) else ""
            self._progress.update(self._bars[event.run], completed=step, loss=shown, phase="train")
        self._progress.update(self._all, completed=sum(self._steps.values()))

    def _on_preview(self, event: Event) -> None:
        text = f"preview {event.values.get('done')}/{event.values.get('total')}"
        for name in event.pack:
            if name in self._bars:
                self._progress.update(self._bars[name], phase=text)

    def _on_end(self, event: Event) -> None:
        self._drop(event.run)
        status, reason = str(event.values.get("status", "")), str(event.values.get("reason") or "")
        if status in ("done", "diverged", "failed"):
            self._ended.add(event.run)
            self._steps[event.run] = self._totals.get(event.run, 0)
            self._progress.update(self._all, completed=sum(self._steps.values()), description=self._title())
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
    """A line when something changes, and every few seconds in between; for logs and pipes."""

    def __init__(self, plan: Plan, write: Callable[[str], None]) -> None:
        self._write = write
        self._to_do = sum(row.to_do for row in plan.rows)
        self._ended = 0
        self._latest: dict[str, Event] = {}
        self._last = time.monotonic()

    def report(self, event: Event) -> None:
        """Write an event down, if it is worth a line."""
        if event.kind == "start":
            self._write(f"start: {', '.join(event.pack)}")
        elif event.kind == "step":
            self._latest[event.run] = event
            self._steps()
        elif event.kind == "end":
            self._end(event)
        elif event.kind == "retry":
            self._write(_retry_text(event))
        elif event.kind == "held":
            self._write(_held_text(event))
        elif event.kind == "stopping":
            self._write("stopping: the runs save where they are")

    def _steps(self) -> None:
        if time.monotonic() - self._last < LINE_SECONDS:
            return
        self._last = time.monotonic()
        parts = [
            f"{name} {event.values.get('step')}/{event.values.get('total')}"
            for name, event in self._latest.items()
        ]
        self._write("steps: " + ", ".join(parts))

    def _end(self, event: Event) -> None:
        self._latest.pop(event.run, None)
        status, reason = event.values.get("status"), event.values.get("reason")
        self._ended += status in ("done", "diverged", "failed")
        self._write(f"{event.run} {status}{f': {reason}' if reason else ''} ({self._ended}/{self._to_do})")


def _held_text(event: Event) -> str:
    return f"waiting for another process to let go of {', '.join(event.pack)}"


def _retry_text(event: Event) -> str:
    runs = ", ".join(event.pack)
    return f"the worker of {runs} was lost; trying again in smaller packs ({event.values.get('reason', '')})"
