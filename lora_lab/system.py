"""What Windows does in another way than POSIX: signals, groups, whether a process is there, its memory."""

import os
import platform
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

POLITE = ("SIGTERM", "SIGHUP", "SIGBREAK")
"""A polite kill, a closed terminal, and Ctrl-Break, where the system has them."""

CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")

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
    """Have a worker's handler called for Ctrl-C, a polite kill, and what Slurm sends before a job's limit."""
    for name in ("SIGINT", "SIGTERM", "SIGBREAK", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), handler)


def own_group() -> dict[str, Any]:
    """Arguments of Popen for a child that Ctrl-C in the terminal does not reach, and that leads a group."""
    if hasattr(os, "killpg"):
        return {"start_new_session": True}
    return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}


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


def end_politely(pid: int) -> None:
    """Ask a process that leads a group of its own to save and end, as Ctrl-C in its terminal would.

    One that is gone by then is left alone.
    """
    with suppress(OSError):
        os.kill(pid, getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))


@contextmanager
def keeping_signals() -> Iterator[None]:
    """Put back what a library in the block sets for signals; only in the main thread does it set any."""
    numbers = [getattr(signal, name) for name in ("SIGINT", *POLITE) if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler and handler is not None:
                signal.signal(number, handler)


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Ignore Ctrl-C for the moment in which records are put straight; only in the main thread."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def signal_name(number: int) -> str:
    """The name of a signal: SIGKILL for 9."""
    return next((item.name for item in signal.Signals if item == number), f"signal {number}")


@cache
def machine() -> str:
    """A name of this machine that no other has, and, where containers share one, no other container."""
    if sys.platform == "linux":
        with suppress(OSError):
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return f"{platform.node()} {uuid.getnode():x}"


def is_child_of(parent: int) -> bool:
    """Whether the process that started this one is still there; Windows keeps its number when it is gone."""
    return os.getppid() == parent and (hasattr(os, "killpg") or is_there(parent))


def is_there(pid: int) -> bool:
    """Whether a process of this machine runs; one of another user's counts, one that only waits to be
    reaped does not."""
    if not hasattr(os, "killpg"):
        return _is_there_on_windows(pid)
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()[0] != b"Z"
    return True


def cores() -> int:
    """CPU cores this process may use, by affinity and by a container's limit."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = CGROUP_LIMIT.read_text().split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    return count


def peak_memory() -> int:
    """Most bytes of memory that this process has held; 0 where that cannot be found out."""
    if sys.platform == "win32":
        try:
            import psutil
        except ImportError:
            return 0
        return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


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
