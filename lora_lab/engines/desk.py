"""The files by which a launcher and one worker talk, wherever the worker runs: `.packs/<id>/` in the sweep.

The worker appends events and what it prints; the launcher reads what is new, and leaves a request to stop.
A disk that both share is all they need.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_lab.engines.pack import Event, Pack
from lora_lab.files import unwritable
from lora_lab.store import RunFolder
from lora_lab.store.locks import is_locked
from lora_lab.system import is_there, machine

DESKS = ".packs"
OF = "of.json"
WORKER_COMMAND = (sys.executable, "-m", "lora_lab.run")
TAIL_LINES = 3
CHUNK = 1 << 20
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Orders:
    """The files of a desk, as the machine of the worker sees them, too."""

    path: Path

    @property
    def events_file(self) -> Path:
        """Where the worker says what happens."""
        return self.path / "events.jsonl"

    @property
    def output_file(self) -> Path:
        """Where it prints: for the logs of its runs."""
        return self.path / "output.txt"

    @property
    def stop_file(self) -> Path:
        """Its presence asks the worker to save and end."""
        return self.path / "stop"

    @property
    def kill_file(self) -> Path:
        """Its presence has whoever started the worker end it at once."""
        return self.path / "kill"

    def ask_to_stop(self) -> None:
        """Ask the worker to save and end."""
        with suppress(OSError):
            self.stop_file.touch()

    def kill(self) -> None:
        """Have the worker ended at once, where nobody can reach it from here."""
        with suppress(OSError):
            self.kill_file.touch()


def _make(path: Path) -> None:
    """Make a folder; another launcher that ends may take the empty folder above away in between."""
    for left in (2, 1, 0):
        try:
            path.mkdir(parents=True)
            return
        except FileNotFoundError:
            if not left:
                raise


class Desk:
    """The folder of one worker, as the launcher sees it.

    Attributes:
        orders: Its files.
        tail: The last lines that the worker printed.
        left_out: Runs that it did not touch, since another process held them.
        set_aside: Runs that it has trained for a round, and let go of.
    """

    def __init__(self, pack: Pack, command: Sequence[str] = WORKER_COMMAND, rounds: int = 1) -> None:
        self.pack = pack
        self.set_aside: set[str] = set()
        self._rounds = rounds
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.left_out: set[str] = set()
        self._worker = tuple(command)
        self._read = {"events": 0, "output": 0}
        self._partial = {"events": b"", "output": b""}
        sweep = pack.runs[0].path.absolute().parent
        self.orders = Orders(sweep / DESKS / uuid.uuid4().hex[:12])
        path = self.orders.path
        of = {
            "machine": machine(),
            "pid": os.getpid(),
            "runs": [str(run.path.absolute()) for run in pack.runs],
        }
        try:
            _make(path)
            (path / OF).write_text(json.dumps(of), encoding="utf-8")
            for file in (self.orders.events_file, self.orders.output_file):
                file.touch()
        except OSError as error:
            raise unwritable(path, error) from error

    def command(self, parent: str) -> list[str]:
        """What starts the worker, which ends without the process of this number."""
        files = ["--events", str(self.orders.events_file), "--stop", str(self.orders.stop_file)]
        runs = [str(run.path.absolute()) for run in self.pack.runs]
        rounds = ["--rounds", str(self._rounds)] if self._rounds > 1 else []
        return [*self._worker, *files, *rounds, "--parent", parent, *runs]

    @property
    def begun(self) -> bool:
        """Whether a worker has begun to write."""
        with suppress(OSError):
            return any(file.stat().st_size for file in (self.orders.events_file, self.orders.output_file))
        return False

    def wait_for(self, ended: Callable[[], bool], seconds: float) -> None:
        """Wait until something has ended, at most so long."""
        deadline = time.monotonic() + seconds
        while not ended() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def news(self, *, last: bool = False) -> list[Event]:
        """The events since the last call; what was printed goes to the logs.

        Args:
            last: The worker has ended: a torn last line counts, too.
        """
        self._take_output(last)
        return [
            event
            for line in self._lines("events", self.orders.events_file, last)
            if (event := self._event(line))
        ]

    def _lines(self, name: str, file: Path, last: bool) -> list[bytes]:
        data = self._partial[name]
        with suppress(OSError), open(file, "rb") as stream:
            stream.seek(self._read[name])
            while chunk := stream.read(CHUNK):
                self._read[name] += len(chunk)
                data += chunk
        *lines, self._partial[name] = data.split(b"\n")
        if last and self._partial[name]:
            lines.append(self._partial[name])
            self._partial[name] = b""
        return lines

    def _event(self, line: bytes) -> Event | None:
        values: Any = None
        with suppress(ValueError):
            values = json.loads(line)
        if not isinstance(values, dict) or "event" not in values:
            return None
        event = Event(str(values.pop("event")), self.pack.names, str(values.pop("run", "")), values)
        if event.kind == "left_out":
            self.left_out.add(event.run)
        if event.kind == "aside":
            self.set_aside.add(event.run)
        return event

    def _take_output(self, last: bool) -> None:
        lines = [
            line.decode("utf-8", "replace") for line in self._lines("output", self.orders.output_file, last)
        ]
        # A progress bar rewrites its line with \r: only its last state is worth keeping.
        kept = [line.rstrip("\r\n").rsplit("\r", 1)[-1].rstrip() for line in lines]
        kept = [line for line in kept if line]
        self.tail.extend(kept)
        self.log(kept)

    def log(self, lines: Sequence[str]) -> None:
        """Append lines to the log of every run of the pack; a full disk does not end the work."""
        text = "".join(f"{line}\n" for line in lines)
        for run in self.pack.runs if text else ():
            with suppress(OSError), open(run.log_file, "a", encoding="utf-8") as file:
                file.write(text)

    def clear(self) -> None:
        """Remove the folder, and that of all desks where it was the last."""
        shutil.rmtree(self.orders.path, ignore_errors=True)
        with suppress(OSError):
            self.orders.path.parent.rmdir()


def clear_left_behind(sweep: Path) -> None:
    """Remove the desks of launchers of this machine that are gone, once nobody works on their runs."""
    for path in (sweep / DESKS).glob("*"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            of = json.loads((path / OF).read_text(encoding="utf-8"))
            gone = of["machine"] == machine() and not is_there(int(of["pid"]))
            if gone and not any(is_locked(RunFolder(Path(run))) for run in of["runs"]):
                shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        (sweep / DESKS).rmdir()
