"""What Windows does in another way than POSIX: signals, process groups, and whether a process is there."""

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

POLITE = ("SIGTERM", "SIGHUP", "SIGBREAK")
"""A polite kill, a closed terminal, and Ctrl-Break, where the system has them."""

STILL_ACTIVE, QUERY = 259, 0x1000
"""Windows: the exit code of a process that runs, and the right to ask for it."""


def end_as_ctrl_c() -> None:
    """Have a closed terminal and a polite kill raise KeyboardInterrupt, as Ctrl-C does.

    What the user had ignored stays ignored: `nohup` starts a command with SIGHUP ignored, so that it survives
    its terminal.
    """
    for number in filter(None, (getattr(signal, name, None) for name in POLITE)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def take_requests(handler: Callable[[int, FrameType | None], None]) -> None:
    """Have a worker's handler called for SIGINT and for what `ask_to_end` sends."""
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), handler)


def own_group() -> dict[str, Any]:
    """Arguments of Popen for a child that Ctrl-C in the terminal does not reach, and that leads a group."""
    if hasattr(os, "killpg"):
        return {"start_new_session": True}
    return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}


def ask_to_end(process: subprocess.Popen[bytes]) -> None:
    """Ask a child started with `own_group` to save and end: SIGTERM, on Windows Ctrl-Break."""
    asked = signal.SIGTERM if hasattr(os, "killpg") else getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM)
    with suppress(OSError):
        process.send_signal(asked)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a child started with `own_group` at once, and what it started; on Windows what `taskkill` finds."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        return
    if process.poll() is None:
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                ["taskkill", "/F", "/T", "/PID", str(process.pid)],
                capture_output=True,
                timeout=20,
                check=True,
            )
        with suppress(OSError):
            process.kill()


def is_there(pid: int) -> bool:
    """Whether a process of this machine runs; one of another user's counts, too."""
    if not hasattr(os, "killpg"):
        return _is_there_on_windows(pid)
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _is_there_on_windows(pid: int) -> bool:
    """By its exit code: `os.kill` would end it. Where the system cannot be asked, it may be there."""
    import ctypes

    kernel = getattr(getattr(ctypes, "windll", None), "kernel32", None)
    if kernel is None:
        return True
    handle = kernel.OpenProcess(QUERY, False, pid)
    if not handle:
        return False
    code = ctypes.c_ulong()
    known = kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return not known or code.value == STILL_ACTIVE
