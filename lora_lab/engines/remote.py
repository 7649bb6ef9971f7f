"""A worker on another machine: what a Ray task or a Slurm job does there; the machines share the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lora_lab.engines.desk import Desk, Orders
from lora_lab.system import is_there

POLL_SECONDS = 0.2
SAVE_SECONDS = 600.0
"""How long a worker may take to save when its job is pre-empted; the system's own limit is mostly shorter."""


@dataclass
class DeskJob:
    """Does the work of a desk, and follows its orders. It can be pickled; `submitit` finds `checkpoint`.

    Attributes:
        orders: Where the desk's requests lie.
        command: The worker's command, `{parent}` for the number of the process that it belongs to.
        environment: Variables of the worker's own.
    """

    orders: Orders
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @staticmethod
    def of(desk: Desk, environment: dict[str, str]) -> DeskJob:
        """The work of a desk, its worker ending with whoever started it."""
        return DeskJob(desk.orders, desk.command("{parent}"), environment)

    def __call__(self) -> int:
        """Have the worker work; returns its exit code."""
        command = [str(os.getpid()) if word == "{parent}" else word for word in self.command]
        # No session of its own: what ends this job on its machine is to reach the worker, too.
        with open(self.orders.output_file, "ab") as output:
            process = self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.environment},
            )
        with suppress(ValueError):  # not in the main thread: nobody sends signals here
            signal.signal(signal.SIGTERM, lambda *_: self.orders.ask_to_stop())
        try:
            while (code := process.poll()) is None:
                time.sleep(POLL_SECONDS)
                if self.orders.kill_file.exists():
                    process.kill()
            return code
        finally:
            process.kill()

    def checkpoint(self) -> Any:
        """The job is pre-empted, or at its time limit: the worker saves, and the job is queued again.

        Called by submitit in a signal handler, in the midst of `__call__`: the process is not to be waited
        for by its own methods, which that may have entered.
        """
        from submitit.helpers import DelayedSubmission

        self.orders.ask_to_stop()
        deadline = time.monotonic() + SAVE_SECONDS
        while self._process and is_there(self._process.pid) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        self.orders.stop_file.unlink(missing_ok=True)
        return DelayedSubmission(DeskJob(self.orders, self.command, self.environment))
