"""Claims of runs: one holder at a time, free once it is gone or silent, whatever the clocks say."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import lora_lab
from lora_lab.run import lock as run_lock
from lora_lab.run.lock import FolderLock
from lora_lab.store import RunFolder, locks
from lora_lab.store.locks import is_locked, newest, take

ROOT = Path(lora_lab.__file__).parent.parent


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The watcher's clock, as a list of one number."""
    at = [1000.0]
    monkeypatch.setattr(locks.time, "monotonic", lambda: at[0])
    return at


def claim_of_elsewhere(run: RunFolder, beats: int = 0, number: int = 1) -> Path:
    path = run.lock_file.with_name(f".lock-{number}")
    path.write_text(json.dumps({"machine": "another one", "pid": os.getpid(), "beats": f"{beats:012d}"}))
    return path


def watch(run: RunFolder, clock: list[float], seconds: float, step: float = 1.0) -> bool:
    """Look again and again; whether it is still held at the end."""
    held = is_locked(run)
    for _ in range(int(seconds / step)):
        clock[0] += step
        held = is_locked(run)
    return held


def test_it_is_for_one_and_asking_does_not_take_it(run: RunFolder) -> None:
    assert not is_locked(run), "no file, no lock"
    first, second = FolderLock(run.lock_file), FolderLock(run.lock_file)
    assert first.acquire() and is_locked(run) and not second.acquire()
    first.release()
    assert not is_locked(run) and second.acquire() and is_locked(run)
    second.release()
    assert len(list(run.path.glob(".lock*"))) == 1, "what is over is not kept"


def test_of_many_at_once_one_has_it(run: RunFolder) -> None:
    for _ in range(10):
        before = newest(run.lock_file)
        with ThreadPoolExecutor(8) as pool:
            taken = [path for path in pool.map(take, [run.lock_file] * 8, [before] * 8) if path]
        assert len(taken) == 1
        locks.release(taken[0])


TAKES = """
import sys, time
from pathlib import Path
from lora_lab.run.lock import FolderLock
while not Path(sys.argv[2]).exists(): time.sleep(0.001)
lock = FolderLock(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
sys.stdin.read()
"""


def test_of_many_processes_one_has_it_and_a_killed_one_leaves_it_free(run: RunFolder) -> None:
    begin = run.path / "begin"
    command = [sys.executable, "-c", TAKES, str(run.lock_file), str(begin)]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) for _ in range(3)]
    begin.touch()
    answers = [worker.stdout.readline().strip() for worker in workers if worker.stdout]
    assert sorted(answers) == ["False", "False", "True"] and is_locked(run)
    for worker in workers:
        worker.kill()
        worker.communicate()
    assert not is_locked(run), "its process is gone: nothing needs to be watched"
    mine = FolderLock(run.lock_file)
    assert mine.acquire()
    mine.release()


def test_a_claim_of_elsewhere_is_free_after_a_silent_minute(run: RunFolder, clock: list[float]) -> None:
    claim_of_elsewhere(run)
    assert not FolderLock(run.lock_file).acquire()
    assert watch(run, clock, 55) and not watch(run, clock, 10)
    # What one has watched is free for all: a worker that is started now has seen nothing itself.
    assert FolderLock(run.lock_file).acquire()


def test_a_beat_keeps_it(run: RunFolder, clock: list[float]) -> None:
    for beats in range(10):
        claim_of_elsewhere(run, beats)
        assert watch(run, clock, 50)


def test_clocks_that_jump_do_no_harm(run: RunFolder, clock: list[float]) -> None:
    path = claim_of_elsewhere(run)
    assert is_locked(run)
    for hours in (-5, 5):
        at = time.time() + 3600 * hours
        os.utime(path, (at, at))  # the holder's disk, or ours, has another idea of the time
        assert is_locked(run)
    clock[0] += 9999  # this machine slept, and the holder perhaps with it
    assert is_locked(run) and is_locked(run)
    clock[0] -= 5000
    assert is_locked(run)


def test_a_claim_that_was_not_written_to_its_end_is_watched_too(run: RunFolder, clock: list[float]) -> None:
    run.lock_file.with_name(".lock-3").touch()
    assert watch(run, clock, 50) and not watch(run, clock, 20)
    mine = FolderLock(run.lock_file)
    assert mine.acquire()
    assert [path.name for path in run.path.glob(".lock-*")] == [".lock-5"]
    mine.release()


def test_a_holder_that_was_held_up_finds_that_it_has_lost(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "BEAT_SECONDS", 3600.0)
    slow = FolderLock(run.lock_file)
    assert slow.acquire() and not slow.lost()
    other = take(run.lock_file, newest(run.lock_file))
    assert other and slow.lost() and slow.was_lost
    before = other.read_bytes()
    slow.release()
    assert other.read_bytes() == before and is_locked(run), "what is another's is not let go of"


def test_a_holder_beats(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "BEAT_SECONDS", 0.01)
    lock = FolderLock(run.lock_file)
    assert lock.acquire()
    first = newest(run.lock_file)
    for _ in range(1000):
        if newest(run.lock_file) != first:
            break
        time.sleep(0.01)
    assert newest(run.lock_file) != first
    lock.release()


def test_a_claim_withdraws_where_a_higher_one_turns_up(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A share may list a folder as it was a while ago: 4 and 5 were there, and are gone by now but for 5.
    claim_of_elsewhere(run, number=5)
    assert take(run.lock_file, None) is None
    assert [path.name for path in run.path.glob(".lock-*")] == [".lock-5"]


def test_a_copied_folder_is_no_copied_lock(run: RunFolder, clock: list[float]) -> None:
    # Copied while its worker was at work, on this machine: the process is there, but does not beat here.
    path = claim_of_elsewhere(run)
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "machine": locks.machine()}))
    assert watch(run, clock, 50) and not watch(run, clock, 20)
