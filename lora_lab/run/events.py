"""Telling the launcher what happens: JSON lines on standard output, when it asked for them."""

import json
import sys
import time
from typing import Any

from lora_lab.files import finite
from lora_lab.run.machine import peak_memory

STEP_INTERVAL_SECONDS = 0.2
"""A run reports its steps no oftener than this."""


class Events:
    """Writes events where they are wanted; steps are thinned out. A launcher that is gone is no error."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._last_step: dict[str, float] = {}

    def send(self, event: str, **values: Any) -> None:
        """Write one event."""
        if not self._wanted:
            return
        try:
            sys.stdout.write(json.dumps(finite({"event": event, **values})) + "\n")
            sys.stdout.flush()
        except (OSError, ValueError):
            # Nobody reads any more. The runs must not fail for it: they are saved and stopped in good order.
            self._wanted = False

    def step(self, run: str, step: int, total: int, loss: float) -> None:
        """Report a step with the most memory held so far, unless the run reported one a moment ago."""
        at = time.monotonic()
        if step < total and at - self._last_step.get(run, 0.0) < STEP_INTERVAL_SECONDS:
            return
        self._last_step[run] = at
        self.send("step", run=run, step=step, total=total, loss=loss, memory=peak_memory())
