"""Commands given for a page, the process that works on the queue, and the sweep files that are offered."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from lora_lab.config import SWEEPS_DIR
from lora_lab.errors import RunFolderError
from lora_lab.review.launch import commands
from lora_lab.review.launch.commands import Starter, ask, sweep_files
from lora_lab.run.lock import FolderLock
from lora_lab.store.queue import Entry, Queue

SLEEPER = (
    "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(3));"
    "print('up', flush=True); time.sleep(60)"
)


def test_a_command_answers_with_what_it_prints_and_how_it_ended() -> None:
    done = ask(["--version"])
    assert (done.code, done.error) == (0, "") and done.text.strip()
    done = ask(["plan", "no-such-sweep"])
    assert done.code == 2 and "no-such-sweep" in done.error and "Traceback" not in done.error


def test_one_that_takes_too_long_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "LONGEST_SECONDS", 0.001)
    assert ask(["plan", "demo"]).error.endswith("give `lora-lab plan demo` in a terminal")


def waited(starter: Starter) -> None:
    deadline = time.monotonic() + 60
    while starter.works():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_process_at_a_time_works_on_the_queue_and_is_asked_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_program", lambda: [sys.executable, "-c", SLEEPER])
    starter = Starter(Queue(tmp_path))
    assert not starter.works() and not starter.interrupt() and starter.log() == ""
    starter.start()
    first = starter._process
    starter.start()
    assert starter._process is first and starter.works()
    while starter.log() != "up":
        time.sleep(0.02)
    assert starter.interrupt()
    waited(starter)
    assert first is not None and first.returncode == 3


TWICE = """
import signal, time
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
print('up', flush=True)
while not asked: time.sleep(.01)
end = time.monotonic() + .4
while time.monotonic() < end: time.sleep(.01)
exit(len(asked))
"""


def test_a_button_that_is_pressed_again_ends_nobody_who_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_program", lambda: [sys.executable, "-c", TWICE])
    starter = Starter(Queue(tmp_path))
    starter.start()
    first = starter._process
    while starter.log() != "up":
        time.sleep(0.02)
    assert not starter.ends()
    assert starter.interrupt() and starter.interrupt() and starter.ends()
    time.sleep(0.1)
    assert starter.interrupt()
    waited(starter)
    assert first is not None and first.returncode == 1, "it was asked once"
    assert not starter.ends()
    starter.start()
    assert starter.works() and not starter.ends()
    assert starter.interrupt()
    waited(starter)


def test_a_log_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file, where a folder is needed")
    with pytest.raises(RunFolderError, match=r"cannot write .*start\.log: "):
        Starter(Queue(tmp_path / "results")).start()


def test_whoever_works_on_an_entry_is_asked_to_end_by_another_gallery(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    with queue.edit() as entries:
        entries.append(Entry(0, "a", "/a.yaml", "/", state="running"))
    code = (
        "import sys, pathlib; from lora_lab.run.lock import FolderLock;"
        f"assert FolderLock(pathlib.Path(sys.argv[1])).acquire(); {SLEEPER}"
    )
    lock = str(queue.lock_of(queue.entries()[0]))
    with subprocess.Popen([sys.executable, "-c", code, lock], stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline() == b"up\n"
        assert queue.entries()[0].state == "running"
        assert Starter(queue).interrupt()
        assert holder.wait(60) == 3
    assert FolderLock(Path(lock)).acquire()


def test_the_log_is_shown_by_its_end(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.log_file.parent.mkdir()
    queue.log_file.write_bytes(b"\xff\n" + b"".join(b"line %d\n" % number for number in range(50)))
    shown = Starter(queue).log().splitlines()
    assert shown[-1] == "line 49" and len(shown) == commands.LAST_LINES


def test_sweep_files_here_come_before_those_that_are_shipped(tmp_path: Path) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "mine.yaml").write_text("question: a\ngrid:\n  train.seed: [1, 2]\n")
    (tmp_path / "other.yaml").write_text("services:\n  web: 1\n")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "sweeps" / "demo.yaml").write_text("base: []\n")
    found = sweep_files(tmp_path, SWEEPS_DIR)
    assert found[:2] == ["mine.yaml", "sweeps/demo.yaml"]
    assert "article25" in found and "demo" not in found and not {"other.yaml", "binary.yaml"} & set(found)
