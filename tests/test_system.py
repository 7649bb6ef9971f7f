"""Signals, groups and processes, here and on a system that lacks what POSIX has."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import lora_lab
from lora_lab import system

ROOT = Path(lora_lab.__file__).parent.parent

SAYS_HANDLER = """
import signal, sys
from lora_lab.system import end_as_ctrl_c
signal.signal(signal.SIGHUP, getattr(signal, sys.argv[1]))  # as a shell or nohup hands it over
end_as_ctrl_c()
print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, signal.getsignal(signal.SIGTERM).__name__)
"""


@pytest.mark.parametrize(("before", "ignored"), [("SIG_IGN", "True"), ("SIG_DFL", "False")])
def test_a_hangup_that_nohup_ignores_stays_ignored(before: str, ignored: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAYS_HANDLER, before], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == [ignored, "default_int_handler"]


SLEEPS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def sleeper() -> tuple[subprocess.Popen[bytes], int]:
    """A process in its own group, and its child's number."""
    process = subprocess.Popen([sys.executable, "-c", SLEEPS], stdout=subprocess.PIPE, **system.own_group())
    assert process.stdout
    return process, int(process.stdout.readline())


def gone(pid: int) -> bool:
    """Ended, or waiting for its parent to notice."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_a_group_ends_whole_and_a_process_that_ended_is_not_there() -> None:
    process, child = sleeper()
    assert system.is_there(process.pid) and system.is_there(child)
    assert os.getpgid(child) == process.pid != os.getpgid(0)
    system.end_group(process)
    assert process.wait(10) == -signal.SIGKILL
    assert not system.is_there(process.pid)
    for _ in range(100):
        if gone(child):
            break
        subprocess.run(["sleep", "0.02"], check=True)
    assert gone(child)
    system.end_group(process)  # and once more is no error


def test_a_polite_end_is_a_request_that_a_process_may_answer() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(7)); print(flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}; time.sleep(60)"], stdout=subprocess.PIPE, **system.own_group()
    )
    assert process.stdout and process.stdout.readline()
    system.end_politely(process.pid)
    assert process.wait(10) == 7
    system.end_politely(process.pid)  # gone by now


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the standard library lacks on Windows is missing, and what it has there is there."""
    for name in ("SIGHUP", "SIGKILL"):
        monkeypatch.delattr(signal, name)
    for name in ("killpg", "sched_getaffinity", "getpgid"):
        monkeypatch.delattr(os, name)
    monkeypatch.setattr(signal, "CTRL_BREAK_EVENT", signal.SIGUSR1, raising=False)
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)


@pytest.mark.usefixtures("windows")
def test_without_posix_a_worker_is_ended_by_taskkill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert system.own_group() == {"creationflags": 0x200}
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    commands: list[list[str]] = []
    monkeypatch.undo()  # Popen itself ends a process by SIGKILL here
    monkeypatch.delattr(os, "killpg")
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    system.end_group(process)
    assert commands == [["taskkill", "/F", "/T", "/PID", str(process.pid)]]
    assert process.wait(10) != 0
    system.end_group(process)
    assert len(commands) == 1, "a number that may be another's by now is not killed"


@pytest.mark.usefixtures("windows")
def test_without_posix_a_polite_end_is_ctrl_break(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *given: sent.append(given))
    system.end_politely(1234)
    assert sent == [(1234, signal.SIGUSR1)]


@pytest.mark.usefixtures("windows")
def test_without_posix_the_handlers_are_those_that_there_are() -> None:
    kept = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    }
    try:
        system.end_as_ctrl_c()
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
        assert signal.getsignal(signal.SIGUSR1) is signal.default_int_handler
        asked: list[int] = []
        system.take_requests(lambda number, _: asked.append(number))
        signal.raise_signal(signal.SIGUSR1)
        assert asked == [signal.SIGUSR1]
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@pytest.mark.usefixtures("windows")
def test_without_posix_a_parent_that_is_gone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = os.getppid()  # Windows says so for ever, whether it is there or not
    monkeypatch.setattr(system, "_is_there_on_windows", lambda pid: pid != parent)
    assert not system.is_child_of(parent)
    monkeypatch.setattr(system, "_is_there_on_windows", lambda pid: True)
    assert system.is_child_of(parent) and not system.is_child_of(parent + 1)


def test_what_waits_to_be_reaped_is_not_there() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked how
    assert not system.is_there(process.pid)
    process.wait()


def test_memory_and_machine_are_known() -> None:
    assert system.peak_memory() > 1 << 20
    other = subprocess.run(
        [sys.executable, "-c", "from lora_lab.system import machine; print(machine())"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert other.stdout.strip() == system.machine() != ""


WITHOUT_POSIX = """
import importlib, os, signal, sys
from pathlib import Path
sys.modules["torch"] = None
names = []
def found(name):
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True
root = Path(sys.argv[1])
for file in sorted((root / "lora_lab").rglob("*.py")):
    names.append(".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"))
# As on this system first, with all that others' packages import; then ours again, as on Windows.
able = {name for name in names if found(name)}
parents = lambda name: [name.rsplit(".", at)[0] for at in range(name.count(".") + 1)]
names = [name for name in names if able.issuperset(parents(name))]
for name in [name for name in sys.modules if name.split(".")[0] == "lora_lab"]:
    del sys.modules[name]
for name in ("resource", "fcntl", "pwd", "grp", "termios", "pty", "tty"):
    sys.modules[name] = None
for module, missing in ((os, ("killpg", "fork", "getuid", "setsid", "sched_getaffinity", "getpgid")),
                        (signal, ("SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD"))):
    for name in missing:
        delattr(module, name)
sys.platform = "win32"
for name in names:
    importlib.import_module(name)
print(len(names), "lora_lab.engines.supervisor" in names, "lora_lab.store.locks" in names)
"""


def test_the_half_without_torch_imports_without_posix() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_POSIX, str(ROOT)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    count, *there = done.stdout.split()
    assert int(count) > 150 and there == ["True", "True"]


POSIX_ONLY = {"fcntl", "resource", "pwd", "grp", "termios", "pty", "selectors"}
ONLY_THERE = {"killpg", "setsid", "fork", "getuid", "geteuid", "set_blocking", "sched_getaffinity", "SIGKILL"}


def test_what_windows_lacks_is_asked_for_in_one_module_only() -> None:
    wrong = []
    for file in sorted((ROOT / "lora_lab").rglob("*.py")):
        if file.name == "system.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wrong += [f"{file}: {name}" for name in names if name in POSIX_ONLY]
            if isinstance(node, ast.Attribute) and node.attr in ONLY_THERE:
                wrong.append(f"{file}:{node.lineno} {node.attr}")
    assert wrong == []


@pytest.mark.usefixtures("windows")
def test_without_posix_a_process_is_asked_for_and_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("os.kill ends a process on Windows"))
    assert system.is_there(os.getpid())
