"""Whether a worker is busy with a run; the worker's own side is in `run`."""

import fcntl

from lora_lab.store.layout import RunFolder


def is_locked(run: RunFolder) -> bool:
    """Whether some process is working on the run now."""
    try:
        with open(run.lock_file, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
