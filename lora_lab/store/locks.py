"""Whether a worker is busy with a run, and the lock that says so, on every system."""

import os
import sys

from lora_lab.store.layout import RunFolder

if sys.platform == "win32":
    import msvcrt

    def try_lock(handle: int) -> bool:
        """Lock an open file for this process; False where another one holds it."""
        try:
            os.lseek(handle, 0, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def try_lock(handle: int) -> bool:
        """Lock an open file for this process; False where another one holds it.

        A file system without locks, as some network shares, holds nobody up.
        """
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True


def is_locked(run: RunFolder) -> bool:
    """Whether some process is working on the run now."""
    try:
        handle = os.open(run.lock_file, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not try_lock(handle)
    finally:
        os.close(handle)
