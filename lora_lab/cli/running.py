"""Commands about runs under way: status, stop."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from shlex import quote

from rich.console import Console
from rich.markup import escape

from lora_lab.cli.as_json import print_json
from lora_lab.cli.look import sweep_folder
from lora_lab.cli.show import coloured, console
from lora_lab.errors import ConfigError
from lora_lab.store import SweepFolder
from lora_lab.store import underway as of_runs
from lora_lab.store.queue import Entry, Queue
from lora_lab.store.underway import how_far, underway


def status(given: argparse.Namespace) -> int:
    """What runs and waits now, in all sweeps."""
    rows = [row for sweep in _sweeps(Path(given.results or "results")) for row in underway(sweep)]
    if given.json:
        print_json([asdict(row) for row in rows])
        return 0
    out = console()
    queue = Queue(Path(given.results or "results"))
    queued = [entry for entry in queue.entries() if not entry.ended]
    if not rows and not queued:
        out.print("nothing runs, and nothing waits")
    for sweep in dict.fromkeys(row.sweep for row in rows):
        own = [row for row in rows if row.sweep == sweep]
        at_work = [row for row in own if row.state != "waiting"]
        waiting = [row for row in own if row.state == "waiting"]
        out.print(f"[bold]{escape(sweep)}[/]: {len(at_work)} running, {len(waiting)} waiting")
        out.print(f"  {how_far(SweepFolder(_place(given, sweep))).words}")
        for row in at_work:
            ends = ", ends at its next checkpoint" if row.state == "stopping" else ""
            at = f"step {row.step} of {row.total_steps}"
            out.print(f"  {escape(row.run)}  {coloured('running')}{ends}  {at}  {escape(row.where)}")
        for row in waiting:
            after = f" (after step {row.step}: {row.reason})" if row.reason else ""
            out.print(f"  {escape(row.run)}  [dim]waiting[/]{escape(after)}")
        if not at_work:
            out.print(
                f"  nobody works on it: lora-lab sweep {escape(quote(str(_place(given, sweep))))} goes on"
            )
    if queued:
        _show_queue(queued, out)
    return 0


def _show_queue(entries: Sequence[Entry], out: Console) -> None:
    """Say which sweeps wait in the queue, and whether somebody works on it."""
    waiting = [entry for entry in entries if entry.waits]
    out.print(f"[bold]queue[/]: {len(entries) - len(waiting)} running, {len(waiting)} waiting")
    for entry in entries:
        # The runs of one at work stand above.
        out.print(f"  {entry.number} {escape(entry.name)}  {coloured(entry.status)}")
    if len(waiting) == len(entries):
        out.print("  nobody works on it: `lora-lab queue start` does")


def _place(given: argparse.Namespace, sweep: str) -> Path:
    return Path(given.results or "results") / sweep


def _sweeps(results: Path) -> list[SweepFolder]:
    """The sweeps in a folder of results.

    Raises:
        ConfigError: There is no such folder.
    """
    if not results.is_dir():
        raise ConfigError(f"{results}: no such folder; say where results lie with --results FOLDER")
    folders = (SweepFolder(path) for path in sorted(results.iterdir()) if path.is_dir())
    return [folder for folder in folders if folder.is_sweep()]


def stop(given: argparse.Namespace) -> int:
    """End runs at their next checkpoint, or have them go on after all.

    Raises:
        ConfigError: A run is not there; nothing was asked of any.
    """
    sweep = sweep_folder(Path(given.sweep), given.results)
    runs = [sweep.run(name) for name in given.runs]
    missing = [run.name for run in runs if not run.is_there()]
    if missing:
        known = ", ".join(run.name for run in sweep.runs())
        raise ConfigError(f"no such run in {sweep.path}: {', '.join(missing)}; known: {known}")
    said = {run.name: of_runs.go_on(run) if given.undo else of_runs.stop(run) for run in runs}
    if given.json:
        print_json([{"run": name, "said": text} for name, text in said.items()])
    else:
        print("\n".join(f"{name}: {text}" for name, text in said.items()))
    return 0
