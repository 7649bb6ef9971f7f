"""Which process works on a run: numbered claims in its folder, on any disk that machines share.

A claim is a file `.lock-7`, made so that only one process can make it; who made the highest number holds the
run. Its holder beats: it rewrites the file every few seconds. A claim is free when its holder has let go of
it, when that was a process of this machine that is gone, or when somebody has watched it for a minute and saw
no beat. Nobody compares clocks, so that none that jumps, or differs from machine to machine, does harm. A
holder that was held up so long that another took over finds the higher number, and writes no more.
"""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_lab.store.layout import RunFolder
from lora_lab.system import is_there, machine

STALE_SECONDS = 60.0
"""How long a claim of another machine must be watched without a beat before it counts as left behind."""

LOOK_SECONDS = 5.0
"""The most that one look counts: two looks with a machine asleep in between are no minute of watching."""


@dataclass(frozen=True)
class Claim:
    """A claim as it lies on the disk; `text` is b'' while its holder is just writing it."""

    path: Path
    number: int
    text: bytes

    @property
    def released(self) -> bool:
        """Whether its holder has let go of it."""
        return self._values().get("released") is True

    @property
    def holder(self) -> tuple[str, int]:
        """The machine and the process that made it; ('', 0) where it does not say."""
        values = self._values()
        pid = values.get("pid")
        return str(values.get("machine", "")), pid if isinstance(pid, int) else 0

    def _values(self) -> dict[str, Any]:
        with suppress(ValueError):
            values = json.loads(self.text)
            if isinstance(values, dict):
                return values
        return {}


@dataclass
class _Watched:
    claim: Claim
    seconds: float
    looked: float


_watched: dict[Path, _Watched] = {}
"""What this process has seen of claims, by lock."""


def newest(lock: Path) -> Claim | None:
    """The claim that counts; None where nobody has claimed the run yet, or its folder cannot be read."""
    numbers = _numbers(lock)
    if not numbers:
        return None
    path = _path(lock, numbers[-1])
    text = b""
    with suppress(OSError):
        text = path.read_bytes()
    return Claim(path, numbers[-1], text)


def is_locked(run: RunFolder) -> bool:
    """Whether some process is working on the run now; see `is_held`."""
    return is_held(run.lock_file)


def is_held(lock: Path) -> bool:
    """Whether some process holds a lock now.

    Whoever asks again and again about a claim that is left behind gets to know so, and frees it for all.
    """
    claim = newest(lock)
    if claim is None or claim.released or _holder_is_gone(claim):
        _watched.pop(lock, None)
        return False
    if not _seen_without_beat(lock, claim):
        return True
    if (taken := take(lock, claim)) is not None:
        with suppress(OSError):
            release(taken)
    return False


def is_free(claim: Claim | None) -> bool:
    """Whether a claim can be taken at once, without watching it."""
    return claim is None or claim.released or _holder_is_gone(claim)


def take(lock: Path, after: Claim | None) -> Path | None:
    """Make the next claim; None where another process was first.

    Args:
        lock: `RunFolder.lock_file`.
        after: The newest claim, which was found to be free.

    Raises:
        OSError: The folder cannot be written to.
    """
    number = after.number + 1 if after else 1
    path = _path(lock, number)
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return None
    with os.fdopen(handle, "wb") as file:
        file.write(beat_text(0))
    # A folder listed from an old copy of it may have lacked a claim: in doubt, nobody has the run.
    if [other for other in _numbers(lock) if other >= number] != [number]:
        path.unlink(missing_ok=True)
        return None
    for other in _numbers(lock):
        if other < number:
            with suppress(OSError):
                _path(lock, other).unlink()
    return path


def beat_text(beats: int) -> bytes:
    """The content of a claim of this process; of one length, whatever the number of beats."""
    values = {"machine": machine(), "pid": os.getpid(), "beats": f"{beats:012d}"}
    return json.dumps(values).encode() + b"\n"


def release(path: Path) -> None:
    """Let go of a claim of one's own; its number stays, so that no later one is lower.

    Raises:
        OSError: It cannot be written.
    """
    with open(path, "r+b") as file:
        file.write(b'{"released": true}\n')
        file.truncate()


def _path(lock: Path, number: int) -> Path:
    return lock.with_name(f"{lock.name}-{number}")


def _numbers(lock: Path) -> list[int]:
    try:
        names = os.listdir(lock.parent)
    except OSError:
        return []
    found = (re.fullmatch(rf"{re.escape(lock.name)}-([0-9]+)", name) for name in names)
    return sorted(int(item[1]) for item in found if item)


def _holder_is_gone(claim: Claim) -> bool:
    """Whether it was a process of this machine, which has ended."""
    where, pid = claim.holder
    return where == machine() and pid > 0 and not is_there(pid)


def _seen_without_beat(lock: Path, claim: Claim) -> bool:
    """Whether this process has looked at the claim, unchanged, for `STALE_SECONDS`."""
    now = time.monotonic()
    seen = _watched.get(lock)
    if seen is None or seen.claim != claim:
        _watched[lock] = _Watched(claim, 0.0, now)
        return False
    seen.seconds += min(max(now - seen.looked, 0.0), LOOK_SECONDS)
    seen.looked = now
    return seen.seconds >= STALE_SECONDS
