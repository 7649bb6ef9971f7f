"""Runs that are under way: which run and wait, and ending one by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lora_lab.pace import Progress
from lora_lab.store.layout import RunFolder, SweepFolder
from lora_lab.store.locks import is_locked, newest
from lora_lab.store.record import ENDED, RunRecord, read_or_failed, write_record

WAITING = ("planned", "running", "cancelled")
"""What a record says of a run that is to be trained, or trained further, and that nobody works on."""


@dataclass(frozen=True)
class Underway:
    """A run that runs or waits.

    Attributes:
        state: 'running', 'stopping' (it ends at its next checkpoint) or 'waiting'.
        where: The machine's name for the device it trains on, as its record has it.
        pid: The worker's process; 0 where that is not known.
        memory: Peak bytes of its worker; 0 where that is not known.
        seconds_left: Its share of its worker's time until its last step, at the pace so far; None where there
            is no pace yet. The shares of a worker's runs add up to the worker's time.
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
    memory: int = 0
    seconds_left: float | None = None


def underway(sweep: SweepFolder) -> list[Underway]:
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
        more = ("", record.peak_memory_bytes, _seconds_left(record)) if held else (record.reason, 0, None)
        rows.append(Underway(sweep.name, run.name, state, *at, pid, *more))
    return rows


def _seconds_left(record: RunRecord) -> float | None:
    trained = record.seconds.get("train", 0.0)
    left = max(0, record.total_steps - record.step)
    return left * trained / record.step if record.step and trained else None


def until_all_end(rows: Iterable[Underway]) -> float | None:
    """Seconds until the workers have trained what they hold; None where one of the runs has no pace yet."""
    by_worker: dict[tuple[str, int], float] = {}
    for row in rows:
        if row.state == "waiting":
            continue
        if row.seconds_left is None:
            return None
        worker = (row.where, row.pid)
        by_worker[worker] = by_worker.get(worker, 0.0) + row.seconds_left
    return max(by_worker.values(), default=None)


def how_far(sweep: SweepFolder) -> Progress:
    """How far a sweep is by the records of its runs, at the speed that all of them had: loading, previews and
    metrics included, and as many workers as there are now."""
    records = {run: read_or_failed(run) for run in sweep.runs()}
    own = {run: one for run, one in records.items() if not one.same_as and not one.external}
    claims = (newest(run.lock_file) for run in own if is_locked(run))
    workers = {claim.holder for claim in claims if claim}
    ended = [one for one in own.values() if one.status in ENDED]
    timed = [one for one in own.values() if one.step and one.seconds]
    return Progress(
        total=sum(one.total_steps for one in own.values()),
        done=sum(one.total_steps if one.status in ENDED else one.step for one in own.values()),
        runs=len(own),
        ended=len(ended),
        fresh=sum(one.step for one in timed),
        # A worker's runs share its time: their seconds add up to those of all workers.
        seconds=sum(sum(one.seconds.values()) for one in timed) / len(workers) if workers else 0.0,
    )


def stop(run: RunFolder) -> str:
    """End a run at its next checkpoint, or at once where nobody works on it; returns what was done."""
    record = read_or_failed(run)
    if is_locked(run):
        run.stop_request.touch()
        return "ends at its next checkpoint"
    if record.status in ENDED or record.same_as:
        return f"has ended already: {record.status}"
    where = f"by hand at step {record.step}" if record.step else "by hand before it began"
    _mark(run, record, "stopped", where)
    return f"stopped {where}"


def go_on(run: RunFolder) -> str:
    """Take back that a run is to end; returns what was done."""
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
