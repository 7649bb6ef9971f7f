"""What goes into an engine and what comes out of it, whichever engine it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lora_lab.store import RunFolder


@dataclass(frozen=True)
class Pack:
    """Runs that train together in one worker.

    What these runs have already met ends the retries: `crashes` counts workers that broke, `losses` those
    that were taken away through no fault of theirs (a lost node, pre-emption, a time limit).
    """

    runs: tuple[RunFolder, ...]
    device: str = "auto"
    crashes: int = 0
    losses: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the runs."""
        return tuple(run.name for run in self.runs)


@dataclass(frozen=True)
class Event:
    """Something that happened in a worker, or to it.

    `kind` is 'start' (a worker was started on the pack), 'phase', 'step', 'preview', 'checkpoint' or 'end'
    (as the worker said), 'aside' (the run has done a round and waits for the next), 'held' (another process
    has the runs), 'retry' (the pack was lost, its runs go on, in 1 or more packs), 'stopping' and 'killing'
    (Ctrl-C, once and twice) or 'exit' (the worker is gone).
    """

    kind: str
    pack: tuple[str, ...]
    run: str = ""
    values: dict[str, Any] = field(default_factory=dict)


Report = Callable[[Event], None]
"""Called by an engine, in the thread that called `Engine.run`, for every event."""


class Engine(Protocol):
    """Executes packs.

    `run` returns when no run is left that could still be tried. Every run then has a final status in its
    `run.json`, whatever happened to its worker, or is being worked on by another process. On
    KeyboardInterrupt the workers are asked to save and stop, then it is raised again.
    """

    def run(self, packs: Sequence[Pack], report: Report) -> None:
        """Execute the packs, in their order as far as workers are free."""
        ...
