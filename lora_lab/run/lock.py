"""One worker per run folder, also across machines that share a disk: the holder's side of `store.locks`."""

import threading
from contextlib import suppress
from pathlib import Path

from lora_lab.files import unwritable
from lora_lab.store.locks import beat_text, is_free, newest, release, take

BEAT_SECONDS = 5.0


class FolderLock:
    """Holds the claim of a run folder, and beats in a thread of its own until it is let go of.

    A process that ends without letting go needs no care: `store.locks` notices it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._claim: Path | None = None
        self._ended = threading.Event()
        self._lost = False

    def acquire(self) -> bool:
        """Take the lock; False where another process holds it.

        Raises:
            RunFolderError: The lock file cannot be written.
        """
        found = newest(self._path)
        if not is_free(found):
            return False
        try:
            self._claim = take(self._path, found)
        except OSError as error:
            raise unwritable(self._path, error) from error
        if self._claim is None:
            return False
        self._ended, self._lost = threading.Event(), False
        threading.Thread(target=self._beat, args=(self._claim, self._ended), daemon=True).start()
        return True

    def _beat(self, claim: Path, ended: threading.Event) -> None:
        beats = 0
        while not ended.wait(BEAT_SECONDS):
            beats += 1
            if self.lost():
                return
            # A disk that is away for a moment is no reason to end; a watcher waits for many beats.
            with suppress(OSError), open(claim, "r+b") as file:
                file.write(beat_text(beats))

    @property
    def was_lost(self) -> bool:
        """Whether it was found, at the last beat or by `lost`, that another process has the run now."""
        return self._lost

    def lost(self) -> bool:
        """Look whether another process has taken the run over: this one was held up for too long."""
        if self._claim is None:
            return self._lost
        found = newest(self._path)
        self._lost = self._lost or found is None or found.path != self._claim
        return self._lost

    def release(self) -> None:
        """Let go of the lock."""
        claim, self._claim = self._claim, None
        self._ended.set()
        if claim is not None and not self._lost:
            with suppress(OSError):
                release(claim)
