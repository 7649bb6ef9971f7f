"""Telling the launcher what happens: JSON lines in a file that it names, or on standard output."""

import json
import sys
import time
from pathlib import Path
from typing import IO, Any

from lora_lab.files import finite
from lora_lab.run.machine import peak_memory

STEP_INTERVAL_SECONDS = 0.2
"""A run reports its steps no oftener than this."""


class Events:
    """Writes events where they are wanted; steps are thinned out. A launcher that is gone is no error.

    Args:
        file: Where they go, `-` for standard output; None where nobody wants them.
    """

    def __init__(self, file: str | Path | None) -> None:
        self._out: IO[str] | None = None
        if file is not None:
            # A file that cannot be written is found out here, before any work.
            self._out = sys.stdout if str(file) == "-" else open(file, "a", encoding="utf-8")  # noqa: SIM115
        self._last_step: dict[str, float] = {}

    def send(self, event: str, **values: Any) -> None:
        """Write one event."""
        if self._out is None:
            return
        try:
            self._out.write(json.dumps(finite({"event": event, **values})) + "\n")
            self._out.flush()
        except (OSError, ValueError):
            # Nobody reads any more. The runs must not fail for it: they are saved and stopped in good order.
            self._out = None

    def step(self, run: str, step: int, total: int, loss: float) -> None:
        """Report a step with the most memory held so far, unless the run reported one a moment ago."""
        at = time.monotonic()
        if step < total and at - self._last_step.get(run, 0.0) < STEP_INTERVAL_SECONDS:
            return
        self._last_step[run] = at
        self.send("step", run=run, step=step, total=total, loss=loss, memory=peak_memory())
