"""The queue's file: one process changes it at a time, nothing of it is lost, and a kill leaves it whole."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import lora_lab
from lora_lab.errors import RunFolderError
from lora_lab.run.lock import FolderLock
from lora_lab.store import SweepFolder, locks, queue
from lora_lab.store.queue import KEPT, Entry, Queue

ROOT = Path(lora_lab.__file__).parent.parent


def entry(name: str, **values: object) -> Entry:
    return Entry(0, name, f"/sweeps/{name}.yaml", "/", **values)  # type: ignore[arg-type]


def names(found: Queue) -> list[str]:
    return [one.name for one in found.entries()]


def put(found: Queue, *entries: Entry) -> None:
    with found.edit() as there:
        there += entries


def test_without_a_file_it_is_empty_and_looking_writes_nothing(tmp_path: Path) -> None:
    assert Queue(tmp_path).entries() == []
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_is_read_by_the_next_process_and_by_people(tmp_path: Path) -> None:
    made = entry("みこ 1", overrides=["dataset.trigger_word='猫 a'"], paused=True)
    put(Queue(tmp_path), replace(made))
    assert Queue(tmp_path).entries() == [replace(made, number=1)]
    assert "みこ 1" in Queue(tmp_path).file.read_text(encoding="utf-8")
    assert not SweepFolder(Queue(tmp_path).file.parent).is_sweep()


def test_a_number_is_never_given_again(tmp_path: Path) -> None:
    found = Queue(tmp_path)
    put(found, entry("a"), entry("b"))
    with found.edit() as there:
        there.clear()
    put(found, entry("c"))
    assert [one.number for one in found.entries()] == [3]


def test_an_error_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    found = Queue(tmp_path)
    put(found, entry("a"))
    with pytest.raises(ValueError, match="stop"), found.edit() as there:
        there.clear()
        raise ValueError("stop")
    assert names(found) == ["a"]


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from lora_lab.store.queue import Entry, Queue\n"
        "for number in range(5):\n"
        "    with Queue(Path(sys.argv[1])).edit() as there:\n"
        "        there.append(Entry(0, f'{sys.argv[2]}-{number}', '/x', '/'))\n"
    )

    def add_five(name: str) -> int:
        return subprocess.run([sys.executable, "-c", code, str(tmp_path), name], cwd=ROOT).returncode

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(add_five, "xyz")) == [0, 0, 0]
    found = Queue(tmp_path)
    assert sorted(names(found)) == sorted(f"{who}-{number}" for who in "xyz" for number in range(5))
    assert sorted(one.number for one in found.entries()) == list(range(1, 16))


def test_one_that_is_said_to_run_and_that_nobody_works_on_was_interrupted(tmp_path: Path) -> None:
    found = Queue(tmp_path)
    put(found, entry("waits"), entry("at-work", state="running"), entry("over", state="done"))
    at_work = next(one for one in found.entries() if one.name == "at-work")
    assert at_work.state == "interrupted" and at_work.waits
    lock = FolderLock(found.lock_of(at_work))
    assert lock.acquire()
    assert [(one.name, one.state) for one in found.entries()] == [
        ("over", "done"), ("at-work", "running"), ("waits", "waiting"),
    ]  # fmt: skip
    lock.release()


def test_old_entries_and_what_belongs_to_them_go(tmp_path: Path) -> None:
    found = Queue(tmp_path)
    put(found, entry("oldest", state="failed"))
    (oldest,) = found.entries()
    lock = FolderLock(found.lock_of(oldest))
    assert lock.acquire()
    lock.release()
    found.details_of(oldest).write_text("Traceback")
    put(found, entry("waits"), *(entry(f"e{number}", state="done") for number in range(KEPT)))
    assert names(found) == [*(f"e{number}" for number in range(KEPT)), "waits"]
    left = {file.name.partition("-")[0] for file in found.file.parent.iterdir()}
    assert left == {"queue.json", "change.lock"}


def test_a_damaged_file_is_named_and_left_alone(tmp_path: Path) -> None:
    found = Queue(tmp_path)
    put(found, entry("a"))
    whole = json.loads(found.file.read_text())
    for text in (
        "{",
        "[]",
        json.dumps({**whole, "next": "x"}),
        found.file.read_text().replace("waiting", "?"),
    ):
        found.file.write_text(text)
        with pytest.raises(RunFolderError, match=r"queue\.json is damaged .* delete it"):
            put(found, entry("b"))
        assert found.file.read_text() == text


def test_somebody_who_died_while_changing_it_is_no_obstacle(tmp_path: Path) -> None:
    found = Queue(tmp_path)
    put(found, entry("a"))
    lock = found.file.with_name("change.lock")
    claim = locks.newest(lock)
    assert claim is not None and claim.released
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    taken = locks.take(lock, claim)
    assert taken is not None
    taken.write_bytes(locks.beat_text(0).replace(str(locks.os.getpid()).encode(), str(gone.pid).encode()))
    put(found, entry("b"))
    assert names(found) == ["a", "b"]


def test_one_that_does_not_let_go_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Queue(tmp_path)
    put(found, entry("a"))
    lock = found.file.with_name("change.lock")
    assert locks.take(lock, locks.newest(lock)) is not None
    monkeypatch.setattr(queue, "PATIENCE_SECONDS", -queue.STALE_SECONDS)
    with pytest.raises(RunFolderError, match=r"change\.lock-[0-9]+ is held by another process"):
        put(found, entry("b"))
