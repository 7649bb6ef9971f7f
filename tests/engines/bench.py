"""Run folders for the fake worker, and an engine that starts it."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lora_lab.config import EngineConfig
from lora_lab.engines import Event, Local, Pack, Supervisor
from lora_lab.run.lock import FolderLock
from lora_lab.store import RunFolder, RunRecord, read_record, write_record

FAKE = Path(__file__).parent / "fake_worker.py"
COMMAND = (sys.executable, str(FAKE))


class Bench:
    """Run folders for the fake worker, and an engine that starts it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events: list[Event] = []
        self.engine = Supervisor(Local(EngineConfig(workers=1)), (sys.executable, str(FAKE)))

    def run(self, name: str, **plan: Any) -> RunFolder:
        folder = RunFolder(self.root / name)
        folder.path.mkdir()
        (folder.path / "fake.json").write_text(json.dumps({"steps": 3, **plan}))
        write_record(folder, RunRecord())
        return folder

    def go(self, *packs: list[RunFolder], then: Callable[[Event], None] = lambda _: None) -> None:
        def report(event: Event) -> None:
            self.events.append(event)
            then(event)

        self.engine.run([Pack(tuple(runs)) for runs in packs], report)

    def kinds(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]

    @property
    def started(self) -> list[str]:
        return (self.root / "started").read_text().splitlines()


@contextmanager
def held(run: RunFolder) -> Iterator[FolderLock]:
    """Another worker has the run."""
    lock = FolderLock(run.lock_file)
    assert lock.acquire()
    yield lock
    lock.release()


def statuses(*runs: RunFolder) -> list[str]:
    return [read_record(run).status for run in runs]
