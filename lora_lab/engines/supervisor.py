"""The loop above all engines: starts packs where there is room, reads what happens, deals with lost workers.

A crash, an exit or a kill of a worker ends its pack, never the sweep: runs that it left unfinished are tried
again in half packs, down to single runs.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lora_lab.engines.backend import Backend, Ending, Work
from lora_lab.engines.desk import WORKER_COMMAND, Desk, clear_left_behind
from lora_lab.engines.pack import Event, Pack, Report
from lora_lab.engines.policy import settle
from lora_lab.store import ENDED, RunFolder, now, read_or_failed, write_record
from lora_lab.store.locks import is_locked
from lora_lab.system import deaf_to_ctrl_c

POLL_SECONDS = 0.1
SAVE_SECONDS = 120.0
HELD_SECONDS = 120.0
"""How long a run of another process is waited for: a worker whose launcher was killed saves, and ends."""

HELD = "another process is working on it"
INTERRUPTED = "interrupted; the same command goes on from here"


@dataclass
class _Working:
    """A worker and the desk that it writes to."""

    desk: Desk
    work: Work

    @property
    def pack(self) -> Pack:
        return self.desk.pack


class Supervisor:
    """Executes packs through a backend; see `Engine`."""

    def __init__(self, backend: Backend, command: Sequence[str] = WORKER_COMMAND, *, rounds: int = 1) -> None:
        self.backend = backend
        self._rounds = rounds
        self._command = tuple(command)
        self._waiting: deque[Pack] = deque()
        self._working: dict[int, _Working] = {}
        self._largest: int | None = None
        self._held_since: dict[RunFolder, float] = {}

    def run(self, packs: Sequence[Pack], report: Report) -> None:
        """Execute the packs; see `Engine`."""
        if not packs:
            return
        self._waiting = deque(packs)
        for sweep in {run.path.absolute().parent for pack in packs for run in pack.runs}:
            clear_left_behind(sweep)
        width = self.backend.width(packs[0].device)
        try:
            while self._waiting or self._working:
                self._fill(width, report)
                time.sleep(POLL_SECONDS)
                self._listen(report)
                self._collect(report)
        except KeyboardInterrupt:
            self._interrupt(report)
            raise
        finally:
            self._end_all()
            self.backend.close()

    def _end_all(self) -> None:
        for at_work in self._working.values():
            at_work.work.kill()
            at_work.desk.clear()
        self._working.clear()

    def _fill(self, width: int, report: Report) -> None:
        """Start waiting packs in the places that are free."""
        for place in range(width):
            if place in self._working or not self._waiting:
                continue
            pack = self._next(report)
            if pack is None:
                return
            desk = Desk(pack, self._command, self._rounds_of(width))
            self._working[place] = _Working(desk, self.backend.start(pack, desk, place))
            report(Event("start", pack.names, values=self.backend.facts(place)))

    def _rounds_of(self, width: int) -> int:
        """The rounds of the pack that starts now: where all packs have a place, none is set aside."""
        return self._rounds if len(self._waiting) + len(self._working) >= width else 1

    def _next(self, report: Report) -> Pack | None:
        """The next pack that nobody else holds, cut down to a size that fits into memory.

        A pack with runs of another process waits behind the others, whole: its runs are to stay in step.
        """
        for _ in range(len(self._waiting)):
            pack = self._waiting.popleft()
            held = [run for run in pack.runs if is_locked(run)]
            if held and self._worth_waiting(held, pack, report):
                self._waiting.append(pack)
                continue
            runs = [run for run in pack.runs if run not in held and not self._has_ended(run, report)]
            if self._largest and len(runs) > self._largest:
                self._waiting.appendleft(replace(pack, runs=tuple(runs[self._largest :])))
                runs = runs[: self._largest]
            if runs:
                return replace(pack, runs=tuple(runs))
        return None

    def _worth_waiting(self, held: Sequence[RunFolder], pack: Pack, report: Report) -> bool:
        """Whether the runs that another process holds may yet become free; says so when it begins or ends."""
        now_ = time.monotonic()
        new = [run for run in held if run not in self._held_since]
        self._held_since |= dict.fromkeys(new, now_)
        if new:
            report(Event("held", tuple(run.name for run in new)))
        if any(now_ - self._held_since[run] < HELD_SECONDS for run in held):
            return True
        for run in held:
            report(Event("end", pack.names, run.name, {"status": "running", "reason": HELD}))
        return False

    def _has_ended(self, run: RunFolder, report: Report) -> bool:
        """Whether a run that waited here has been finished meanwhile, by another process that held it."""
        record = read_or_failed(run)
        if record.status not in ENDED:
            return False
        report(Event("end", (run.name,), run.name, {"status": record.status, "reason": record.reason}))
        return True

    def _listen(self, report: Report) -> None:
        for at_work in self._working.values():
            for event in at_work.desk.news():
                report(event)

    def _collect(self, report: Report) -> None:
        """Deal with the workers that have ended."""
        for place, at_work in list(self._working.items()):
            ending = at_work.work.poll()
            if ending is None:
                continue
            for event in at_work.desk.news(last=True):
                report(event)
            del self._working[place]
            self._settle(at_work, ending, report)
            at_work.desk.clear()
            report(Event("exit", at_work.pack.names, values={"code": ending.code}))

    def _settle(self, at_work: _Working, ending: Ending, report: Report) -> None:
        """Give every run of an ended worker its final status, or another try."""
        pack, desk = at_work.pack, at_work.desk
        records = {run: read_or_failed(run) for run in pack.runs}
        unfinished = tuple(run for run in pack.runs if records[run].status not in ENDED)
        if unfinished and {run.name for run in unfinished} <= desk.set_aside:
            self._waiting.append(replace(pack, runs=unfinished))
            return
        elsewhere = [run for run in pack.runs if run.name in desk.left_out or is_locked(run)]
        found = settle(pack, records, ending, elsewhere, desk.tail)
        if found.short:
            self._largest = max(1, (len(pack.runs) + 1) // 2)
        for run in found.short:
            _mark(run, "planned", "")
        if found.words:
            desk.log([f"[lora-lab] {found.words}"])
        if found.waiting:
            self._waiting.append(found.waiting)
            if ending.lost:
                words = ending.words or "its worker was taken away"
                report(Event("retry", found.waiting.names, values={"reason": words, "packs": 1}))
        if found.again:
            self._waiting.extendleft(reversed(found.again))
            names = tuple(name for item in found.again for name in item.names)
            report(Event("retry", names, values={"reason": found.reason, "packs": len(found.again)}))
        for run in found.failed:
            _mark(run, "failed", found.words)
            report(Event("end", pack.names, run.name, {"status": "failed", "reason": found.words}))

    def _interrupt(self, report: Report) -> None:
        """Have the workers save and stop; a second Ctrl-C, or no answer in time, ends them at once."""
        at_work = list(self._working.values())
        for item in at_work:
            item.desk.orders.ask_to_stop()
            item.work.stop()
        report(Event("stopping", tuple(name for item in at_work for name in item.pack.names)))
        deadline = time.monotonic() + SAVE_SECONDS
        try:
            while any(item.work.poll() is None for item in at_work) and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                self._listen(report)
        except KeyboardInterrupt:
            report(Event("killing", ()))
        with deaf_to_ctrl_c():
            for item in at_work:
                item.work.kill()
                for event in item.desk.news(last=True):
                    report(event)
            self._end_all()
            for run in (run for item in at_work for run in item.pack.runs):
                if read_or_failed(run).status not in (*ENDED, "cancelled") and not is_locked(run):
                    _mark(run, "cancelled", INTERRUPTED)


def _mark(run: RunFolder, status: str, reason: str) -> None:
    record = read_or_failed(run)
    record.status, record.reason = status, reason
    record.finished_at = now() if status in ENDED else ""
    write_record(run, record)
