"""Commands of `lora-lab` that the pages give, each to a process of its own.

What a page shows is what the command prints. Planning reads many files and settings, and training is to
outlive the gallery: neither belongs into the process that answers a browser.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from time import monotonic

from lora_lab.errors import RunFolderError
from lora_lab.store.locks import newest
from lora_lab.store.queue import Queue
from lora_lab.system import end_politely, is_there, machine, own_group

LONGEST_SECONDS = 300.0
"""How long a page waits for a command; planning 5,000 rows takes some 20 s."""
ASKED_SECONDS = 300.0
"""Whoever was asked to save and end has by then done so, or ended without: see `engines.supervisor`."""
COLUMNS = 112
"""Characters of a line of what a command prints for a page."""
LAST_LINES = 12
"""Lines of the queue's log that a page shows."""


@dataclass(frozen=True)
class Answer:
    """How a command ended: its exit code, what it printed, and what it said of errors."""

    code: int
    text: str
    error: str


def ask(words: Sequence[str]) -> Answer:
    """Give a command to `lora-lab`, in the gallery's own folder and with nobody to answer its questions."""
    try:
        done = subprocess.run(
            [*_program(), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=_environment(),
            timeout=LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        asked = f"lora-lab {' '.join(words)}"
        return Answer(1, "", f"no answer within {LONGEST_SECONDS:.0f} s: give `{asked}` in a terminal")
    return Answer(done.returncode, done.stdout, done.stderr.strip())


def _program() -> list[str]:
    return [sys.executable, "-m", "lora_lab"]


def _environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": str(COLUMNS), "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}


@dataclass
class Starter:
    """Starts `lora-lab queue start` for a gallery, one at a time. Kept in `app.state.starter`.

    The process leads a session of its own: neither the gallery's end nor its terminal's ends it.
    """

    queue: Queue
    _process: subprocess.Popen[bytes] | None = None
    _asked: dict[int, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def works(self) -> bool:
        """Whether the process that was started here is still there; it plans before it begins an entry."""
        return self._process is not None and self._process.poll() is None

    def ends(self) -> bool:
        """Whether a process was asked to save and end, and is still there."""
        return any(is_there(process) for process in self._asked_lately() if not self._is_over(process))

    def _is_over(self, process: int) -> bool:
        """Whether it is the child that was started here, and has ended; that one is there until it is waited
        for."""
        return self._process is not None and self._process.pid == process and not self.works()

    def _asked_lately(self) -> set[int]:
        return {process for process, when in self._asked.items() if monotonic() - when < ASKED_SECONDS}

    def start(self) -> None:
        """Start it, unless it is there; what it says goes to the queue's log.

        Raises:
            RunFolderError: The log cannot be written.
        """
        with self._lock:
            if not self.works():
                try:
                    self._process = self._begun()
                except OSError as error:
                    raise RunFolderError(
                        f"cannot write {self.queue.log_file}: {error.strerror or error}"
                    ) from error

    def _begun(self) -> subprocess.Popen[bytes]:
        words = ["queue", "start", "--results", str(self.queue.results.absolute())]
        self.queue.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.queue.log_file.open("ab") as log:
            return subprocess.Popen(
                [*_program(), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                **own_group(),
            )

    def interrupt(self) -> bool:
        """Have those of this machine that work on the queue save and end, as Ctrl-C does; False where there
        are none.

        Each is asked once: a second Ctrl-C ends it before it has saved, and buttons are pressed twice.
        """
        found = {self._process.pid} if self._process and self.works() else set()
        for entry in self.queue.entries():
            claim = newest(self.queue.lock_of(entry)) if entry.state == "running" else None
            where, process = claim.holder if claim else ("", 0)
            if where == machine() and is_there(process):
                found.add(process)
        for process in found - self._asked_lately():
            self._asked[process] = monotonic()
            end_politely(process)
        return bool(found)

    def log(self) -> str:
        """The last lines that a `queue start` without a terminal has said."""
        try:
            text = self.queue.log_file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-LAST_LINES:])


def sweep_files(here: Path, shipped: Path) -> list[str]:
    """What can be planned by name: the sweep files here and in `sweeps/`, then those that are shipped."""
    own = sorted([*here.glob("*.yaml"), *(here / "sweeps").glob("*.yaml")])
    found = [file.relative_to(here).as_posix() for file in own if _is_sweep(file)]
    names = {Path(name).stem for name in found}
    return [*found, *(file.stem for file in sorted(shipped.glob("*.yaml")) if file.stem not in names)]


def _is_sweep(file: Path) -> bool:
    """Whether a YAML file looks like a sweep's: it has one of the keys that only those have."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return any(line.startswith(("base:", "patterns:", "grid:", "zip:", "search:")) for line in lines)
