"""What an engine has of its own: how a worker is started, and how one learns that it has ended.

All else (retries, marks, events, resuming, Ctrl-C) stands once, in `supervisor`.
"""

from dataclasses import dataclass
from typing import Protocol

from lora_lab.engines.desk import Desk
from lora_lab.engines.pack import Pack


@dataclass(frozen=True)
class Ending:
    """How a worker ended.

    Attributes:
        code: Its exit code, negative for the signal that killed it; None where it is not known.
        lost: It was taken away through no fault of its runs: they go on as they are.
        words: What the engine knows of it, such as 'the node was lost'; '' where `code` says it all.
    """

    code: int | None
    lost: bool = False
    words: str = ""


class Work(Protocol):
    """A worker that was started on a pack, or waits to be."""

    def poll(self) -> Ending | None:
        """How it ended; None while it works or waits. Once it has ended, nothing that it started is left."""
        ...

    def stop(self) -> None:
        """It was asked, by `Desk.ask_to_stop`, to save and end: whatever makes that come sooner."""
        ...

    def kill(self) -> None:
        """End it, and all that it started, at once; no error where it has ended."""
        ...


class Backend(Protocol):
    """Starts workers somewhere. They and the launcher share the disk with the results, and nothing else."""

    def width(self, device: str) -> int:
        """How many packs may be at work, or be waiting for a machine, at a time.

        Raises:
            ConfigError: The engine cannot be used; the message says what to do.
        """
        ...

    def start(self, pack: Pack, desk: Desk, place: int) -> Work:
        """Have a worker started that does `desk.command`.

        Args:
            desk: Where the worker writes, and reads requests.
            place: A number below `width` that no other worker has at this time.

        Raises:
            RunFolderError: It cannot be started.
        """
        ...

    def facts(self, place: int) -> dict[str, object]:
        """What is to be said of a place when a worker starts there, such as its GPU."""
        ...

    def close(self) -> None:
        """No more workers will be started."""
        ...
