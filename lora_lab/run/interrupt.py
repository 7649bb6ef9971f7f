"""Stopping in time: a signal or the launcher's death is noticed between two steps, never inside one."""

import os
import signal
from types import FrameType


class Interrupt:
    """Asked between steps whether to stop; `reason` is empty while there is none."""

    def __init__(self, parent: int | None) -> None:
        self._parent = parent
        self._signal = ""

    def listen(self) -> None:
        """Take SIGINT and SIGTERM; a second one ends the process at once."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._take)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self._signal:
            os._exit(128 + number)
        self._signal = signal.Signals(number).name

    @property
    def reason(self) -> str:
        """Why to stop, or ''."""
        if self._signal:
            return f"stopped by {self._signal}"
        if self._parent is not None and os.getppid() != self._parent:
            return "the launcher is gone"
        return ""
