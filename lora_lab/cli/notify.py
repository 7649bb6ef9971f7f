"""Telling somebody who is not watching: a command or a webhook, at the end, a failure or a divergence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from threading import Thread
from typing import TYPE_CHECKING

from lora_lab.engines.pack import Event, Report

if TYPE_CHECKING:
    from lora_lab.sweep.launch import Outcome

SECONDS = 30.0
"""How long a command or a webhook may take."""

WORTH_TELLING = ("failed", "diverged")


class Notices:
    """Tells every target of what happens in a sweep; one that fails is named, and ends nothing.

    A command gets the text on standard input and in LORA_LAB_TEXT, and LORA_LAB_SWEEP, LORA_LAB_RUN (empty at
    the end) and LORA_LAB_STATUS. A webhook gets a POST with the same as JSON, the text as `text` and as
    `content`, as chat services call it.
    """

    def __init__(self, sweep: str, targets: Sequence[str]) -> None:
        self._sweep = sweep
        self._targets = tuple(targets)
        self._telling: list[Thread] = []

    def beside(self, report: Report) -> Report:
        """The function that a launch reports to, which tells here what is worth it."""

        def both(event: Event) -> None:
            report(event)
            status = str(event.values.get("status", ""))
            if event.kind == "end" and status in WORTH_TELLING:
                reason = str(event.values.get("reason") or "")
                self._tell(event.run, status, f"{self._sweep}: {event.run} {status}: {reason}".rstrip(": "))

        return both if self._targets else report

    def end(self, outcome: Outcome) -> None:
        """Tell how the sweep ended, and wait until all were told."""
        counts = [f"{len(outcome.of(status))} {status}" for status in sorted(set(outcome.statuses.values()))]
        word = "interrupted" if outcome.interrupted else "ended"
        self._tell("", word, f"{self._sweep} {word}: {', '.join(counts)}")
        for thread in self._telling:
            thread.join(SECONDS)
        self._telling.clear()

    def _tell(self, run: str, status: str, text: str) -> None:
        about = {"sweep": self._sweep, "run": run, "status": status, "text": text}
        for target in self._targets:
            # In a thread of its own: the workers' events do not wait for a slow network.
            self._telling.append(Thread(target=_tell, args=(target, about), daemon=True))
            self._telling[-1].start()


def _tell(target: str, about: dict[str, str]) -> None:
    try:
        if target.startswith(("http://", "https://")):
            body = json.dumps({**about, "content": about["text"]}).encode()
            kind = {"Content-Type": "application/json", "User-Agent": "lora-lab"}
            with urllib.request.urlopen(urllib.request.Request(target, body, kind), timeout=SECONDS):
                return
        environment = {f"LORA_LAB_{key.upper()}": value for key, value in about.items()}
        subprocess.run(
            target,
            shell=True,
            input=about["text"] + "\n",
            encoding="utf-8",
            env={**os.environ, **environment},
            timeout=SECONDS,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"--notify {target}: {error}\n")
