"""One child process that works on a pack: its command, its events, its log lines and how it ended."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

from lora_lab.engines.pack import Event, Pack
from lora_lab.engines.slots import Slot
from lora_lab.errors import RunFolderError
from lora_lab.system import ask_to_end, end_group, own_group

WORKER_COMMAND = (sys.executable, "-m", "lora_lab.run")
TAIL_LINES = 3
REFUSED = 2
"""Exit code of a worker that says, as its last line, why it cannot work."""

CHUNK = 1 << 16


class Worker:
    """A running worker; `read` is called whenever one of its pipes has something to read."""

    def __init__(self, pack: Pack, slot: Slot, command: Sequence[str] = WORKER_COMMAND) -> None:
        self.pack = pack
        self.slot = slot
        self.left_out: set[str] = set()
        """Runs that the worker did not touch, since another process held them."""
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.started = time.monotonic()
        self._partial: dict[str, bytes] = {"stdout": b"", "stderr": b""}
        try:
            # A session of its own: Ctrl-C in the terminal reaches only us, and we ask the workers to save.
            self.process = subprocess.Popen(
                [
                    *command,
                    "--events",
                    "--parent",
                    str(os.getpid()),
                    *(str(run.path.absolute()) for run in pack.runs),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **slot.environment(pack.device)},
                **own_group(),
            )
        except OSError as error:
            raise RunFolderError(f"cannot start a worker ({' '.join(command)}): {error.strerror}") from error
        for stream in self.streams.values():
            os.set_blocking(stream.fileno(), False)

    @property
    def streams(self) -> dict[str, IO[bytes]]:
        """The pipes by name: 'stdout' carries events, 'stderr' what is meant for the log."""
        assert self.process.stdout and self.process.stderr
        return {"stdout": self.process.stdout, "stderr": self.process.stderr}

    def read(self, name: str) -> list[Event] | None:
        """Read what a pipe holds now: the events in it, or None when the pipe has ended."""
        try:
            data = os.read(self.streams[name].fileno(), CHUNK)
        except BlockingIOError:
            return []
        except (OSError, ValueError):
            data = b""
        if not data:
            return None
        *lines, self._partial[name] = (self._partial[name] + data).split(b"\n")
        return self._take(name, lines)

    def drain(self) -> list[Event]:
        """Read what is left after the process has ended, torn last lines as well."""
        events: list[Event] = []
        for name, stream in self.streams.items():
            data = self._partial[name]
            with suppress(OSError, ValueError):
                while chunk := os.read(stream.fileno(), CHUNK):
                    data += chunk
            self._partial[name] = b""
            events += self._take(name, data.split(b"\n"))
        return events

    def _take(self, name: str, lines: list[bytes]) -> list[Event]:
        if name == "stderr":
            self._log([line.decode("utf-8", "replace") for line in lines])
            return []
        return [event for line in lines if (event := self._event(line))]

    def _event(self, line: bytes) -> Event | None:
        values: Any = None
        if not line.strip():
            return None
        with suppress(ValueError):
            values = json.loads(line)
        if not isinstance(values, dict) or "event" not in values:
            # A library that prints to stdout must not be lost, nor taken for an event.
            self._log([line.decode("utf-8", "replace")])
            return None
        event = Event(str(values.pop("event")), self.pack.names, str(values.pop("run", "")), values)
        if event.kind == "left_out":
            self.left_out.add(event.run)
        return event

    def _log(self, lines: list[str]) -> None:
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

    def register(self, selector: selectors.BaseSelector) -> None:
        """Have both pipes watched, with (worker, name) as the data."""
        for name, stream in self.streams.items():
            selector.register(stream, selectors.EVENT_READ, (self, name))

    def stop(self) -> None:
        """Ask the worker to save and end; only itself, not the processes that it still needs for that."""
        ask_to_end(self.process)

    def kill(self) -> None:
        """End the worker and everything it started, at once."""
        end_group(self.process)

    def close(self) -> int:
        """Reap the process, end what it left behind, and return its exit code (negative: the signal)."""
        code = self.process.wait()
        self.kill()
        for stream in self.streams.values():
            stream.close()
        return code

    def ending(self, code: int) -> str:
        """In words: how the worker ended, with the last lines that it printed."""
        last = " | ".join(self.tail)
        if code == REFUSED and last:
            return last
        if code < 0:
            name = next((item.name for item in signal.Signals if item == -code), f"signal {-code}")
            text = f"the worker was killed by {name}"
            if name == "SIGKILL":
                text += " (by hand, or by the system for want of memory)"
        else:
            text = f"the worker ended with exit code {code}"
        return f"{text}: {last}" if last else text
