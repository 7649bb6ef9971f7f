"""One worker per run folder, also across processes that share a disk."""

import os
import time
from pathlib import Path

from lora_lab.errors import RunFolderError
from lora_lab.store.locks import try_lock

TRIES, PAUSE_SECONDS = 10, 0.05
"""Who only asks whether a run is busy holds its lock for a moment; that must not turn a worker away."""


class FolderLock:
    """Holds a run folder's lock file; the system lets go of it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False where another process holds it.

        Raises:
            RunFolderError: The lock file cannot be written.
        """
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise RunFolderError(
                f"cannot write {self._path}: {error.strerror or error}; set results=OTHER_FOLDER"
            ) from error
        for attempt in range(TRIES):
            if try_lock(handle):
                self._file = handle
                return True
            if attempt + 1 < TRIES:
                time.sleep(PAUSE_SECONDS)
        os.close(handle)
        return False

    def release(self) -> None:
        """Let go of the lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
