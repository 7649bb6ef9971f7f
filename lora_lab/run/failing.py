"""How the failure of one run is kept from the others, and what it ends as."""

from collections.abc import Callable

from lora_lab.errors import DivergedError, RunFolderError
from lora_lab.run.machine import describe_failure


class FailingAlone:
    """Turns an exception of one run into that run's failure."""

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        self._fail = fail

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self._fail(error)
        return True


def ending_of(error: Exception) -> tuple[str, str]:
    """The status and reason of a run that an error ended.

    What keeps a folder from being written is no fault of the run: the same command goes on with it.
    """
    if isinstance(error, DivergedError):
        return "diverged", describe_failure(error)
    return "cancelled" if isinstance(error, RunFolderError) else "failed", describe_failure(error)
