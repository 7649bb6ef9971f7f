"""What is done to the queue of sweeps: adding, moving, pausing, removing, and working on an entry."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

from lora_lab.errors import ConfigError
from lora_lab.run.lock import FolderLock
from lora_lab.store import now
from lora_lab.store.locks import Claim, is_held, newest
from lora_lab.store.queue import Entry, Queue
from lora_lab.sweep.places import absolute
from lora_lab.sweep.run_names import same_folder

POLL_SECONDS = 0.5


def add(queue: Queue, entry: Entry) -> Entry:
    """Put an entry behind all others; returns it with its number.

    Raises:
        ConfigError: The same sweep with the same settings waits or runs already.
    """
    with queue.edit() as entries:
        twin = next((one for one in entries if not one.ended and one.asks_for() == entry.asks_for()), None)
        if twin:
            raise ConfigError(
                f"{entry.sweep} is entry {twin.number} of the queue already ({twin.status}); other "
                f"settings or rows make another entry, `lora-lab queue move {twin.number} 1` has it done next"
            )
        entry.added_at = now()
        entries.append(entry)
    return entry


def found(entries: Sequence[Entry], words: Sequence[str], *, waiting: bool) -> list[Entry]:
    """The entries that words mean: numbers, names of sweeps, or sweep files.

    A word of digits is a number. Of a name, the entries that have not ended come first.

    Args:
        waiting: Only those that wait will do.

    Raises:
        ConfigError: One line for each word that means no entry, several, or one that does not wait.
    """
    wrong: list[str] = []
    chosen = [one for word in words if (one := _find(entries, word, wrong, waiting))]
    if wrong:
        raise ConfigError("\n".join(wrong))
    return list({one.number: one for one in chosen}.values())


def _find(entries: Sequence[Entry], word: str, wrong: list[str], waiting: bool) -> Entry | None:
    if word.isdecimal():
        fitting = [one for one in entries if one.number == int(word)]
    else:
        named = [one for one in entries if same_folder(one.name) == same_folder(word)]
        named = named or [one for one in entries if one.sweep == absolute(word)]
        fitting = [one for one in named if not one.ended] or named
    if not fitting:
        known = ", ".join(f"{one.number} ({one.name})" for one in entries)
        wrong.append(f"no entry {word!r} in the queue; " + (f"known: {known}" if known else "it is empty"))
    elif len(fitting) > 1:
        numbers = ", ".join(str(one.number) for one in fitting)
        wrong.append(f"{word!r} means entries {numbers}: give a number")
    elif fitting[0].state == "running":
        number, name = fitting[0].number, fitting[0].name
        wrong.append(
            f"entry {number} ({name}) is running: Ctrl-C in its `lora-lab queue start` interrupts it, "
            "`lora-lab stop` ends single runs of it"
        )
    elif waiting and not fitting[0].waits:
        wrong.append(f"entry {fitting[0].number} ({fitting[0].name}) has ended: {fitting[0].state}")
    else:
        return fitting[0]
    return None


def move(queue: Queue, word: str, place: int) -> Entry:
    """Have an entry begin as the `place`-th of those that wait, from 1; behind all where there are fewer.

    Raises:
        ConfigError: It does not wait, or there is no such place.
    """
    if place < 1:
        raise ConfigError(f"PLACE must be at least 1, which is the next one to begin; got {place}")
    with queue.edit() as entries:
        (entry,) = found(entries, [word], waiting=True)
        waiting = [one for one in entries if one.waits and one is not entry]
        waiting.insert(place - 1, entry)
        entries[:] = [one for one in entries if not one.waits] + waiting
    return entry


def remove(queue: Queue, words: Sequence[str], *, ended: bool = False) -> list[Entry]:
    """Take entries out of the queue; what they have trained stays.

    Args:
        ended: Also all that have ended.

    Raises:
        ConfigError: One of them runs, or is not there; nothing was removed.
    """
    with queue.edit() as entries:
        chosen = found(entries, words, waiting=False)
        chosen += [one for one in entries if ended and one.ended and one not in chosen]
        entries[:] = [one for one in entries if one not in chosen]
    return chosen


def pause(queue: Queue, words: Sequence[str], *, undo: bool = False) -> list[Entry]:
    """Have entries passed over, or no longer; without words all that wait. Returns those that changed.

    Raises:
        ConfigError: One of them does not wait; nothing was paused.
    """
    with queue.edit() as entries:
        chosen = found(entries, words, waiting=True) if words else [one for one in entries if one.waits]
        changed = [one for one in chosen if one.paused == undo]
        for one in changed:
            one.paused = not undo
    return changed


class Turn:
    """An entry that this process works on; nobody else can until it is concluded, or this process is gone."""

    def __init__(self, queue: Queue, entry: Entry, lock: FolderLock) -> None:
        self.entry = entry
        self._queue = queue
        self._lock = lock

    def conclude(self, state: str, reason: str = "") -> Entry:
        """Say how it ended, and let go of it; returns the entry.

        Where another process has taken it over, since this one was asleep for long, that one says it.

        Raises:
            RunFolderError: The queue cannot be written.
        """
        with self._queue.edit() as entries:
            own = next((one for one in entries if one.number == self.entry.number), self.entry)
            if not self._lock.lost():
                own.state, own.reason = state, reason
                own.ended_at = now() if own.ended else ""
            self._lock.release()
        return own


def take_next(queue: Queue) -> Turn | None:
    """Begin the first entry that waits, is not paused, and that no other process has; None for none.

    Raises:
        RunFolderError: The queue cannot be read or written.
    """
    if not any(one.waits and not one.paused for one in queue.entries()):
        return None
    with queue.edit() as entries:
        for entry in entries:
            lock = FolderLock(queue.lock_of(entry))
            if entry.waits and not entry.paused and lock.acquire():
                entry.state, entry.reason = "running", ""
                entry.began_at, entry.ended_at = entry.began_at or now(), ""
                return Turn(queue, entry, lock)
    return None


def watch_claims(queue: Queue) -> None:
    """Wait until it is known which entries that look at work are: each of them beats, or was left behind.

    After a power cut a claim looks like one of another machine; a minute of watching tells (`store.locks`).

    Raises:
        RunFolderError: The queue cannot be read.
    """
    unsure: dict[Path, Claim | None] = {}
    for entry in queue.entries():
        if entry.state == "running":
            unsure[queue.lock_of(entry)] = newest(queue.lock_of(entry))
    while unsure := {lock: seen for lock, seen in unsure.items() if is_held(lock) and newest(lock) == seen}:
        time.sleep(POLL_SECONDS)


def digest_of(file: Path) -> str:
    """What tells a file from what it was.

    Raises:
        OSError: It cannot be read.
    """
    return hashlib.sha256(file.read_bytes()).hexdigest()
