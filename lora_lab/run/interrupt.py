"""Stopping in time: a signal, a request, the launcher's death are noticed between steps, never inside one."""

import os
import time
from pathlib import Path
from types import FrameType

from lora_lab.system import is_child_of, signal_name, take_requests

LOOK_SECONDS = 0.2
"""How often the file of the request is looked for."""


class Interrupt:
    """Asked between steps whether to stop; `reason` is empty while there is none.

    `request` is a file that a launcher on whichever machine makes to have the worker save and end.
    """

    def __init__(self, parent: int | None, request: Path | None = None) -> None:
        self._parent = parent
        self._request = request
        self._requested = False
        self._looked = -LOOK_SECONDS
        self._signal = ""

    def listen(self) -> None:
        """Take what asks for the end; the same one again ends the process at once."""
        take_requests(self._take)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self._signal == signal_name(number):
            os._exit(128 + number)
        self._signal = signal_name(number)

    @property
    def orphaned(self) -> bool:
        """Whether the launcher is gone."""
        return self._parent is not None and not is_child_of(self._parent)

    @property
    def reason(self) -> str:
        """Why to stop, or ''."""
        if self._signal:
            return f"stopped by {self._signal}"
        if self._is_requested():
            return "stopped by its launcher"
        if self.orphaned:
            return "the launcher is gone"
        return ""

    def _is_requested(self) -> bool:
        now = time.monotonic()
        if self._request and not self._requested and now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._requested = self._request.exists()
        return self._requested
