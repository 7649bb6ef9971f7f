"""Stopping in time: a signal or the launcher's death is noticed between two steps, never inside one."""

import os
import signal
from types import FrameType

from lora_lab.system import take_requests


class Interrupt:
    """Asked between steps whether to stop; `reason` is empty while there is none."""

    def __init__(self, parent: int | None) -> None:
        self._parent = parent
        self._signal = ""

    def listen(self) -> None:
        """Take what asks for the end; a second one ends the process at once."""
        take_requests(self._take)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self._signal:
            os._exit(128 + number)
        self._signal = signal.Signals(number).name

    @property
    def orphaned(self) -> bool:
        """Whether the launcher is gone."""
        return self._parent is not None and os.getppid() != self._parent

    @property
    def reason(self) -> str:
        """Why to stop, or ''."""
        if self._signal:
            return f"stopped by {self._signal}"
        if self.orphaned:
            return "the launcher is gone"
        return ""
