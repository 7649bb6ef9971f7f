"""`lora-lab queue start`: the sweeps of the queue one after another, each as `lora-lab sweep` runs it."""

from __future__ import annotations

import argparse
import re
import sys
import time
import traceback
from collections import Counter
from contextlib import chdir
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from lora_lab.cli.as_json import print_json
from lora_lab.cli.ending import INTERRUPTED
from lora_lab.cli.queue import plain, queue_of
from lora_lab.cli.start import do_sweep
from lora_lab.errors import ConfigError, LoraLabError
from lora_lab.files import write_text
from lora_lab.store.queue import Entry, Queue
from lora_lab.sweep import queued
from lora_lab.sweep.queued import Turn

POLL_SECONDS = 10.0
"""How often the clock is looked at: it may be set, and the machine may sleep."""
NAMED = 6
"""Runs that a reason names."""


def start(given: argparse.Namespace) -> int:
    """Run what waits, one after another; 0 all done, 1 one failed, 130 interrupted."""
    queue, when = queue_of(given), _moment(given.at, datetime.now()) if given.at else None
    entries = queue.entries()
    if when and not _wait_until(when):
        return INTERRUPTED
    if any(entry.state == "running" for entry in entries):
        _say("looking whether others work on the queue (a minute at most)")
        queued.watch_claims(queue)
    done: list[dict[str, Any]] = []
    interrupted = False
    while not interrupted and (turn := queued.take_next(queue)):
        told = _work(queue, turn, quiet=given.quiet)
        interrupted = told["state"] == "interrupted"
        done.append(told)
    left = [entry for entry in queue.entries() if not entry.ended]
    if given.json:
        print_json({"interrupted": interrupted, "entries": done, "left": [plain(entry) for entry in left]})
    _say(_ending(done, left, interrupted))
    if interrupted:
        return INTERRUPTED
    return int(any(told["state"] == "failed" for told in done))


def _say(text: str) -> None:
    sys.stderr.write(f"queue: {text}\n")
    sys.stderr.flush()


def _ending(done: list[dict[str, Any]], left: list[Entry], interrupted: bool) -> str:
    if interrupted:
        return "interrupted: `lora-lab queue start` goes on from here"
    ended = Counter(told["state"] for told in done)
    waiting = Counter(entry.status for entry in left)
    parts = [f"{count} {state}" for state, count in (*sorted(ended.items()), *sorted(waiting.items()))]
    if not done:
        return f"nothing to start: {', '.join(parts) or 'it is empty'}"
    return f"ended: {', '.join(parts)}"


def _moment(text: str, now: datetime) -> datetime:
    """The next time that a clock shows `text`.

    Raises:
        ConfigError: It is no time of day.
    """
    match = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", text)
    if match is None:
        raise ConfigError(f"--at must be a time of day such as 23:00, got {text!r}")
    when = now.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
    return when if when > now else when + timedelta(days=1)


def _wait_until(when: datetime) -> bool:
    """Wait for a moment of the wall clock; whether it came, and was not broken off."""
    seconds = when.timestamp() - time.time()
    hours, minutes = divmod(max(1, round(seconds / 60)), 60)
    _say(f"waits until {when:%A %H:%M}, {hours} h {minutes} min from now; Ctrl-C ends it")
    try:
        while (left := when.timestamp() - time.time()) > 0:
            time.sleep(min(left, POLL_SECONDS))
    except KeyboardInterrupt:
        _say("nothing was started; all entries wait as before")
        return False
    return True


def _work(queue: Queue, turn: Turn, *, quiet: bool) -> dict[str, Any]:
    """Run one entry to its end; the entry and how its sweep ended, for programs.

    Only a queue that cannot be written ends `start`: whatever goes wrong in a sweep is the entry's.
    """
    entry, outcome = turn.entry, None
    _say(f"entry {entry.number}: {' '.join([entry.name, *entry.words])}")
    try:
        note = _look_at(entry)
        if note:
            _say(note)
        with chdir(entry.home):
            outcome, code = do_sweep(_as_asked(entry, quiet=quiet))
        state = {0: "done", INTERRUPTED: "interrupted"}.get(code, "failed")
        reason = "; ".join(filter(None, (_in_short(outcome), note)))
    except KeyboardInterrupt:
        state, reason = "interrupted", "before it trained"
    except LoraLabError as error:
        state, reason = "failed", str(error)
    except Exception as error:
        state = "failed"
        write_text(queue.details_of(entry), traceback.format_exc())
        reason = (
            f"unexpected {type(error).__name__}: {error}; a fault in lora-lab, described in "
            f"{queue.details_of(entry)}"
        )
    ended = turn.conclude(state, reason)
    _say(f"entry {entry.number}: {entry.name} {state}" + (f": {reason}" if reason else ""))
    return {**plain(ended), "outcome": outcome}


def _look_at(entry: Entry) -> str:
    """What there is to say of an entry whose turn has come; '' if nothing.

    Raises:
        ConfigError: Its file, or the folder that it was added in, is gone.
    """
    again = "put it back, and add the sweep again"
    if not Path(entry.home).is_dir():
        raise ConfigError(f"{entry.home}, in which it was added, is gone: {again}")
    file = Path(entry.sweep)
    if not file.exists():
        raise ConfigError(f"{file} is gone: {again}")
    try:
        changed = bool(entry.digest) and queued.digest_of(file) != entry.digest
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}: {again}") from error
    return f"{file} has changed since it was added, and was taken as it is now" if changed else ""


def _as_asked(entry: Entry, *, quiet: bool) -> argparse.Namespace:
    """The options of `lora-lab sweep`."""
    return argparse.Namespace(
        sweep=entry.sweep,
        overrides=entry.overrides,
        only=entry.only,
        config_dir=entry.config_dir,
        notify=entry.notify,
        retry=entry.retry,
        redo=entry.redo,
        quiet=quiet,
        json=False,
    )


def _in_short(outcome: dict[str, Any]) -> str:
    """How a sweep ended: counts of statuses and the runs that failed, or where a search stands."""
    if "state" in outcome:
        return f"{outcome['state']}, round {outcome['round']} of {outcome['rounds']}"
    runs = outcome["runs"]
    parts = [f"{count} {status}" for status, count in Counter(run["status"] for run in runs).items()]
    bad = [run["run"] for run in runs if run["status"] in ("failed", "diverged")]
    named = ", ".join(bad[:NAMED]) + (", ..." if len(bad) > NAMED else "")
    return ", ".join(parts) + (f" ({named})" if bad else "")
