"""Runs packs as child processes of this machine: one worker per GPU, or per two CPU cores.

A crash, an exit or a kill of a worker ends its pack, never the sweep: runs that it left unfinished are tried
again in half packs, down to single runs.
"""

import selectors
import signal
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from lora_lab.config import EngineConfig
from lora_lab.engines.pack import Event, Pack, Report
from lora_lab.engines.slots import Slot, slots
from lora_lab.engines.worker import REFUSED, WORKER_COMMAND, Worker
from lora_lab.store import FINISHED, RunFolder, RunRecord, now, read_or_failed, write_record
from lora_lab.store.locks import is_locked

POLL_SECONDS = 0.2
SAVE_SECONDS = 120.0
HELD_SECONDS = 120.0
"""How long a run of another process is waited for: a worker whose launcher was killed saves, and ends."""

HELD = "another process is working on it"
OUT_OF_MEMORY = "out of memory"
INTERRUPTED = "interrupted; the same command goes on from here"


class LocalEngine:
    """Starts workers on this machine, reads their events, and deals with those that are lost."""

    def __init__(self, config: EngineConfig, command: Sequence[str] = WORKER_COMMAND) -> None:
        self._config = config
        self._command = tuple(command)
        self._waiting: deque[Pack] = deque()
        self._working: dict[int, Worker] = {}
        self._largest: int | None = None
        self._held_since: dict[RunFolder, float] = {}
        self._selector = selectors.DefaultSelector()

    def run(self, packs: Sequence[Pack], report: Report) -> None:
        """Execute the packs; see `Engine`."""
        if not packs:
            return
        self._waiting = deque(packs)
        shares = slots(self._config, packs[0].device)
        self._selector = selectors.DefaultSelector()
        try:
            while self._waiting or self._working:
                self._fill(shares, report)
                self._listen(report)
                self._collect(report)
        except KeyboardInterrupt:
            self._interrupt(report)
            raise
        finally:
            for worker in self._working.values():
                worker.kill()
                worker.close()
            self._working.clear()
            self._selector.close()

    def _fill(self, shares: list[Slot], report: Report) -> None:
        """Start waiting packs on the slots that are free."""
        for number, share in enumerate(shares):
            if number in self._working or not self._waiting:
                continue
            pack = self._next(report)
            if pack is None:
                return
            worker = Worker(pack, share, self._command)
            self._working[number] = worker
            worker.register(self._selector)
            report(Event("start", pack.names, values={"gpu": share.gpu, "threads": share.threads}))

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
            runs = [run for run in pack.runs if run not in held and not self._ended_elsewhere(run, report)]
            if self._largest and len(runs) > self._largest:
                rest = runs[self._largest :]
                self._waiting.appendleft(Pack(tuple(rest), pack.device, pack.crashes))
                runs = runs[: self._largest]
            if runs:
                return Pack(tuple(runs), pack.device, pack.crashes)
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

    def _ended_elsewhere(self, run: RunFolder, report: Report) -> bool:
        """Whether a run that was waited for has been finished by the process that held it."""
        record = read_or_failed(run) if run in self._held_since else None
        if record is None or record.status not in FINISHED:
            return False
        report(Event("end", (run.name,), run.name, {"status": record.status, "reason": record.reason}))
        return True

    def _listen(self, report: Report) -> None:
        """Wait a moment for output, and report the events in it."""
        if not self._working:
            time.sleep(POLL_SECONDS)  # all that is left is held by another process
        for key, _ in self._selector.select(POLL_SECONDS) if self._working else ():
            worker, name = key.data
            events = worker.read(name)
            if events is None:
                self._selector.unregister(key.fileobj)
            for event in events or ():
                report(event)

    def _collect(self, report: Report) -> None:
        """Deal with the workers that have ended, whoever may still hold their pipes open."""
        for number, worker in list(self._working.items()):
            if worker.process.poll() is None:
                continue
            for event in worker.drain():
                report(event)
            for stream in worker.streams.values():
                with suppress(KeyError, ValueError):
                    self._selector.unregister(stream)
            code = worker.close()
            del self._working[number]
            self._settle(worker, code, report)
            report(Event("exit", worker.pack.names, values={"code": code}))

    def _settle(self, worker: Worker, code: int, report: Report) -> None:
        """Give every run of an ended worker its final status, or another try."""
        pack = worker.pack
        records = {run: read_or_failed(run) for run in pack.runs}
        short = [run for run, record in records.items() if _ran_out(record)]
        if short and len(pack.runs) > 1:
            self._largest = max(1, (len(pack.runs) + 1) // 2)
            for run in short:
                _mark(run, "planned", "")
            self._again(Pack(tuple(short), pack.device, pack.crashes), "out of memory", report)
        unfinished = [run for run, record in records.items() if record.status not in FINISHED]
        elsewhere = [run for run in unfinished if run.name in worker.left_out or is_locked(run)]
        if elsewhere:
            # Another process was first, perhaps for a moment only: they are waited for as any that are held.
            self._waiting.append(Pack(tuple(elsewhere), pack.device, pack.crashes))
        left = [run for run in unfinished if run not in elsewhere and records[run].status != "cancelled"]
        if not left:
            return
        words = worker.ending(code)
        worker.log([f"[lora-lab] {words}"])
        crashes = pack.crashes + 1
        # All had begun and the worker refused with a message: what they share (the base model) is at fault.
        common = code == REFUSED and all(records[run].status == "running" for run in pack.runs)
        # Alone and killed from outside for the first time: that may have been a mishap. It resumes once more.
        if not common and (len(pack.runs) > 1 or (code < 0 and crashes == 1)):
            self._again(Pack(tuple(left), pack.device, crashes), words, report)
            return
        for run in left:
            _mark(run, "failed", words)
            report(Event("end", pack.names, run.name, {"status": "failed", "reason": words}))

    def _again(self, pack: Pack, reason: str, report: Report) -> None:
        """Queue the runs of a lost pack in halves, in front."""
        middle = (len(pack.runs) + 1) // 2
        halves = [half for half in (pack.runs[:middle], pack.runs[middle:]) if half]
        self._waiting.extendleft(Pack(half, pack.device, pack.crashes) for half in reversed(halves))
        report(Event("retry", pack.names, values={"reason": reason, "packs": len(halves)}))

    def _interrupt(self, report: Report) -> None:
        """Have the workers save and stop; a second Ctrl-C, or no answer in time, ends them at once."""
        for worker in self._working.values():
            worker.stop()
        report(Event("stopping", tuple(name for w in self._working.values() for name in w.pack.names)))
        deadline = time.monotonic() + SAVE_SECONDS
        runs = [run for worker in self._working.values() for run in worker.pack.runs]
        try:
            while any(worker.process.poll() is None for worker in self._working.values()):
                if time.monotonic() > deadline:
                    break
                self._listen(report)
        except KeyboardInterrupt:
            report(Event("killing", ()))
        with _deaf():
            for worker in self._working.values():
                worker.kill()
                for event in worker.drain():
                    report(event)
                worker.close()
            self._working.clear()
            for run in runs:
                if read_or_failed(run).status not in (*FINISHED, "cancelled") and not is_locked(run):
                    _mark(run, "cancelled", INTERRUPTED)


class _deaf:
    """Ignores Ctrl-C for the moment in which records are put straight."""

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)


def _ran_out(record: RunRecord) -> bool:
    return record.status == "failed" and record.reason.lower().startswith(OUT_OF_MEMORY)


def _mark(run: RunFolder, status: str, reason: str) -> None:
    record = read_or_failed(run)
    record.status, record.reason = status, reason
    record.finished_at = now() if status in FINISHED else ""
    write_record(run, record)
