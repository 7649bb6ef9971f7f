"""The queue of sweeps in a folder of results: a file that one process at a time changes.

It lies in `.queue`, which no sweep can be called: `queue.json`, and the claims of those who change it or work
on an entry (`store.locks`). Nothing else needs it; without it, there is no queue.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from lora_lab.errors import RunFolderError
from lora_lab.files import remove_leftovers, write_json
from lora_lab.store.locks import STALE_SECONDS, is_free, is_held, newest, release, take
from lora_lab.store.typed import built

STATES = ("waiting", "running", "interrupted", "done", "failed")
ENDED = ("done", "failed")
KEPT = 20
"""Entries that have ended and are still listed."""
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 30.0
"""How much longer than a claim that was left behind another's change of the queue may take."""


@dataclass
class Entry:
    """A sweep in the queue: what `lora-lab sweep` is to be told, and what became of it.

    Attributes:
        number: Its own for good; no other entry gets it.
        name: The sweep's name.
        sweep: Its file, or its folder of results; absolute.
        home: The folder that relative paths in its settings are seen from.
        digest: Of the file's content as it was added; '' for a folder, whose file every start writes anew.
        state: One of `STATES`.
        paused: It is passed over until that is taken back.
        reason: How it ended, or why it did not begin.
        began_at, ended_at: ISO 8601 in UTC; '' where that has not happened.
    """

    number: int
    name: str
    sweep: str
    home: str
    digest: str = ""
    overrides: list[str] = field(default_factory=list)
    only: list[str] = field(default_factory=list)
    config_dir: list[str] = field(default_factory=list)
    notify: list[str] = field(default_factory=list)
    retry: bool = False
    redo: bool = False
    state: str = "waiting"
    paused: bool = False
    reason: str = ""
    added_at: str = ""
    began_at: str = ""
    ended_at: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDED

    @property
    def waits(self) -> bool:
        """Whether nobody works on it, and somebody will; a paused one waits, too."""
        return self.state in ("waiting", "interrupted")

    @property
    def status(self) -> str:
        """Its state in a word: one that waits may be paused."""
        return "paused" if self.paused and self.waits else self.state

    @property
    def words(self) -> list[str]:
        """Its settings and options, as in a command."""
        options = [f"--only {row}" for row in self.only]
        options += ["--retry"] * self.retry + ["--redo"] * self.redo
        return [*self.overrides, *options]

    @property
    def history(self) -> str:
        """When it ended or began, by this machine's clock, and why it ended or did not begin."""
        moment = self.ended_at or (self.began_at if not self.waits else "")
        when = f"{datetime.fromisoformat(moment).astimezone():%d %b %H:%M}" if moment else ""
        return ": ".join(filter(None, (f"since {when}" if self.state == "running" else when, self.reason)))

    def asks_for(self) -> tuple[object, ...]:
        """What makes two entries one request."""
        settings = (self.overrides, self.only, self.config_dir, self.retry, self.redo)
        return (self.sweep, self.home, *settings)


@dataclass
class _Content:
    next: int = 1
    entries: list[Entry] = field(default_factory=list)


class Queue:
    """The queue of a folder of results."""

    def __init__(self, results: Path) -> None:
        self.results = results
        # Whoever works on an entry does so from the entry's own folder.
        self._folder = results.absolute() / ".queue"

    @property
    def file(self) -> Path:
        """The entries in their order."""
        return self._folder / "queue.json"

    @property
    def log_file(self) -> Path:
        """What a `lora-lab queue start` without a terminal has said."""
        return self._folder / "start.log"

    def lock_of(self, entry: Entry) -> Path:
        """Held by the process that works on an entry."""
        return self._folder / f"{entry.number}.lock"

    def details_of(self, entry: Entry) -> Path:
        """Where a fault of the program is described that ended an entry."""
        return self._folder / f"{entry.number}-error.txt"

    def entries(self) -> list[Entry]:
        """All entries: those that ended, those at work, those that wait, each in their order.

        Raises:
            RunFolderError: The file is damaged.
        """
        return self._read().entries

    @contextmanager
    def edit(self) -> Iterator[list[Entry]]:
        """The entries, to be changed while no other process can; written when the block ends without error.

        A new entry gets its number then, if that is 0.

        Raises:
            RunFolderError: The file is damaged or cannot be written, or another process does not let go.
        """
        with self._alone():
            content = self._read()
            yield content.entries
            for entry in content.entries:
                if not entry.number:
                    entry.number, content.next = content.next, content.next + 1
            content.entries = _kept(_in_order(content.entries))
            write_json(self.file, asdict(content))
            self._forget_all_but(content.entries)

    def _read(self) -> _Content:
        try:
            content: _Content = built(_Content, json.loads(self.file.read_text(encoding="utf-8")))
            if odd := [entry.state for entry in content.entries if entry.state not in STATES]:
                raise ValueError(f"state must be one of {', '.join(STATES)}, got {odd[0]!r}")
        except FileNotFoundError:
            return _Content()
        except (OSError, ValueError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise RunFolderError(
                f"{self.file} is damaged ({reason}): delete it to begin an empty queue; results are kept"
            ) from error
        for entry in content.entries:
            if entry.state == "running" and not is_held(self.lock_of(entry)):
                entry.state = "interrupted"
        content.entries = _in_order(content.entries)
        return content

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock, claim = self._folder / "change.lock", None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            deadline = time.monotonic() + STALE_SECONDS + PATIENCE_SECONDS
            while claim is None:
                found = newest(lock)
                # Asking frees one that was left behind, for the next round.
                if is_free(found) or not is_held(lock):
                    claim = take(lock, found) if is_free(found) else None
                elif time.monotonic() > deadline:
                    raise RunFolderError(
                        f"{found and found.path} is held by another process: try again later"
                    )
                if claim is None:
                    time.sleep(POLL_SECONDS)
        except OSError as error:
            raise RunFolderError(f"cannot write {self._folder}: {error.strerror or error}") from error
        try:
            yield
        finally:
            with suppress(OSError):
                release(claim)

    def _forget_all_but(self, entries: list[Entry]) -> None:
        """Remove the claims and descriptions of entries that are gone, and what a kill left half written."""
        known = {str(entry.number) for entry in entries}
        for kind in ("*.lock-*", "*-error.txt"):
            for file in self._folder.glob(kind):
                number = file.name.partition("-")[0].removesuffix(".lock")
                if number.isdecimal() and number not in known:
                    file.unlink(missing_ok=True)
        remove_leftovers(self._folder)


def _in_order(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: (not entry.ended, entry.waits))


def _kept(entries: list[Entry]) -> list[Entry]:
    old = [entry for entry in entries if entry.ended][:-KEPT]
    return [entry for entry in entries if entry not in old]
