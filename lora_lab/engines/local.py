"""Packs as child processes of this machine: one worker per GPU, or per two CPU cores."""

import os
import subprocess

from lora_lab.config import EngineConfig
from lora_lab.engines.backend import Ending
from lora_lab.engines.desk import Desk
from lora_lab.engines.pack import Pack
from lora_lab.engines.slots import Slot, slots
from lora_lab.errors import RunFolderError
from lora_lab.system import end_group, own_group


class Local:
    """Starts workers on this machine."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._slots: list[Slot] = []

    def width(self, device: str) -> int:
        """One worker per share of the machine."""
        self._slots = slots(self._config, device)
        return len(self._slots)

    def start(self, pack: Pack, desk: Desk, place: int) -> "LocalWork":
        """Start a worker on its share."""
        return LocalWork(desk, self._slots[place].environment(pack.device))

    def facts(self, place: int) -> dict[str, object]:
        """The GPU and the threads of a share."""
        return {"gpu": self._slots[place].gpu, "threads": self._slots[place].threads}

    def close(self) -> None:
        """Nothing is kept open."""


class LocalWork:
    """A child process."""

    def __init__(self, desk: Desk, environment: dict[str, str]) -> None:
        command = desk.command(str(os.getpid()))
        try:
            with open(desk.orders.output_file, "ab") as output:
                # A session of its own: Ctrl-C in the terminal reaches only us, who ask the workers to save.
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", **environment},
                    **own_group(),
                )
        except OSError as error:
            raise RunFolderError(f"cannot start a worker ({command[0]}): {error.strerror}") from error

    def poll(self) -> Ending | None:
        """See `Work`."""
        code = self.process.poll()
        if code is None:
            return None
        end_group(self.process)
        return Ending(code)

    def stop(self) -> None:
        """It looks for the request between two steps."""

    def kill(self) -> None:
        """End the worker and everything it started."""
        end_group(self.process)
        self.process.wait()
