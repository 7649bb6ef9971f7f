"""Commands about runs under way: status, stop."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.markup import escape

from lora_lab.cli.as_json import print_json
from lora_lab.cli.look import sweep_folder
from lora_lab.cli.show import coloured, console
from lora_lab.errors import ConfigError
from lora_lab.store import ENDED, RunFolder, RunRecord, SweepFolder, read_or_failed, write_record
from lora_lab.store.locks import is_locked, newest

WAITING = ("planned", "running", "cancelled")
"""What a record says of a run that is to be trained, or trained further, and that nobody works on."""


@dataclass(frozen=True)
class Row:
    """A run that runs or waits.

    Attributes:
        state: 'running', 'stopping' (it ends at its next checkpoint) or 'waiting'.
        where: The machine's name for the device it trains on, as its record has it.
        pid: The worker's process; 0 where that is not known.
    """

    sweep: str
    run: str
    state: str
    step: int
    total_steps: int
    epoch: float
    where: str
    pid: int
    reason: str = ""


def status(given: argparse.Namespace) -> int:
    """What runs and waits now, in all sweeps."""
    rows = [row for sweep in _sweeps(Path(given.results or "results")) for row in rows_of(sweep)]
    if given.json:
        print_json([asdict(row) for row in rows])
        return 0
    out = console()
    if not rows:
        out.print("nothing runs, and nothing waits")
    for sweep in dict.fromkeys(row.sweep for row in rows):
        own = [row for row in rows if row.sweep == sweep]
        at_work = [row for row in own if row.state != "waiting"]
        waiting = [row for row in own if row.state == "waiting"]
        out.print(f"[bold]{escape(sweep)}[/]: {len(at_work)} running, {len(waiting)} waiting")
        for row in at_work:
            ends = ", ends at its next checkpoint" if row.state == "stopping" else ""
            at = f"step {row.step} of {row.total_steps}"
            out.print(f"  {escape(row.run)}  {coloured('running')}{ends}  {at}  {escape(row.where)}")
        for row in waiting:
            after = f" (after step {row.step}: {row.reason})" if row.reason else ""
            out.print(f"  {escape(row.run)}  [dim]waiting[/]{escape(after)}")
        if not at_work:
            out.print(f"  nobody works on it: lora-lab sweep {escape(str(_place(given, sweep)))} goes on")
    return 0


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


def rows_of(sweep: SweepFolder) -> list[Row]:
    """The runs of a sweep that run or wait."""
    rows = []
    for run in sweep.runs():
        record = read_or_failed(run)
        held = is_locked(run)
        if record.same_as or not (held or record.status in WAITING):
            continue
        state = ("stopping" if run.stop_request.exists() else "running") if held else "waiting"
        claim = newest(run.lock_file)
        pid = claim.holder[1] if held and claim else 0
        at = (record.step, record.total_steps, record.epoch, record.device if held else "")
        rows.append(Row(sweep.name, run.name, state, *at, pid, "" if held else record.reason))
    return rows


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
    said = {run.name: _go_on(run) if given.undo else _stop(run) for run in runs}
    if given.json:
        print_json([{"run": name, "said": text} for name, text in said.items()])
    else:
        print("\n".join(f"{name}: {text}" for name, text in said.items()))
    return 0


def _stop(run: RunFolder) -> str:
    record = read_or_failed(run)
    if is_locked(run):
        run.stop_request.touch()
        return "ends at its next checkpoint"
    if record.status in ENDED or record.same_as:
        return f"has ended already: {record.status}"
    where = f"by hand at step {record.step}" if record.step else "by hand before it began"
    _mark(run, record, "stopped", where)
    return f"stopped {where}"


def _go_on(run: RunFolder) -> str:
    record = read_or_failed(run)
    asked = run.stop_request.exists()
    run.stop_request.unlink(missing_ok=True)
    if record.status != "stopped":
        return "goes on" if asked else f"was not stopped: {record.status}"
    _mark(run, record, "cancelled", record.reason)
    return "goes on with the next `lora-lab sweep`"


def _mark(run: RunFolder, record: RunRecord, status: str, reason: str) -> None:
    record.status, record.reason = status, reason
    write_record(run, record)
