"""What runs and waits, and ending it by hand."""

import json
import shlex
from pathlib import Path

import pytest

from lora_lab.__main__ import main
from lora_lab.run.lock import FolderLock
from lora_lab.store import RunRecord, SweepFolder, read_record, write_record


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two sweeps: one under way, one that ended."""
    for sweep, runs in {
        "faces": {
            "busy": RunRecord(status="running", step=40, total_steps=100, device="cuda:0 (A card)"),
            "next": RunRecord(total_steps=100),
            "broken-off": RunRecord(
                status="cancelled", step=30, total_steps=100, reason="stopped by SIGTERM"
            ),
            "over": RunRecord(status="done", step=100, total_steps=100),
            "twin": RunRecord(status="running", same_as="busy"),
        },
        "old": {"over": RunRecord(status="done")},
    }.items():
        for name, record in runs.items():
            folder = SweepFolder(tmp_path / sweep).run(name)
            folder.path.mkdir(parents=True)
            write_record(folder, record)
    return tmp_path


@pytest.fixture
def busy(results: Path) -> FolderLock:
    lock = FolderLock(SweepFolder(results / "faces").run("busy").lock_file)
    assert lock.acquire()
    return lock


def test_what_runs_and_waits_in_all_sweeps(
    results: Path, busy: FolderLock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--results", str(results)]) == 0
    text = capsys.readouterr().out
    assert "faces: 1 running, 2 waiting" in text and "old" not in text and "over" not in text
    assert "step 40 of 100  cuda:0 (A card)" in text
    assert "broken-off  waiting (after step 30: stopped by SIGTERM)" in text
    assert "nobody works on it" not in text
    busy.release()
    assert main(["status", "--results", str(results)]) == 0
    assert "nobody works on it: lora-lab sweep" in capsys.readouterr().out
    (results / "faces").rename(results / "two faces")
    assert main(["status", "--results", str(results)]) == 0
    words = capsys.readouterr().out.split("nobody works on it: ")[1].split(" goes on")[0]
    assert shlex.split(words) == ["lora-lab", "sweep", str(results / "two faces")]


def test_the_same_for_programs(results: Path, busy: FolderLock, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--results", str(results), "--json"]) == 0
    rows = {row["run"]: row for row in json.loads(capsys.readouterr().out)}
    assert {name: row["state"] for name, row in rows.items()} == {
        "busy": "running", "next": "waiting", "broken-off": "waiting",
    }  # fmt: skip
    assert rows["busy"]["pid"] > 0 and rows["busy"]["total_steps"] == 100
    busy.release()


def test_nothing_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--results", str(tmp_path)]) == 0
    assert "nothing runs" in capsys.readouterr().out
    assert main(["status", "--results", str(tmp_path / "none")]) == 2
    assert "--results FOLDER" in capsys.readouterr().err


def test_a_run_is_stopped_and_goes_on_after_all(
    results: Path, busy: FolderLock, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = SweepFolder(results / "faces")
    assert main(["stop", str(sweep.path), "busy", "next", "broken-off", "over"]) == 0
    text = capsys.readouterr().out.splitlines()
    assert text == [
        "busy: ends at its next checkpoint",
        "next: stopped by hand before it began",
        "broken-off: stopped by hand at step 30",
        "over: has ended already: done",
    ]
    assert sweep.run("busy").stop_request.exists()
    assert read_record(sweep.run("busy")).status == "running", "its record is its worker's to write"
    assert read_record(sweep.run("broken-off")).status == "stopped"
    assert main(["status", "--results", str(results)]) == 0
    assert "busy  running, ends at its next checkpoint" in capsys.readouterr().out
    assert main(["stop", str(sweep.path), "busy", "broken-off", "over", "--undo"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "busy: goes on",
        "broken-off: goes on with the next `lora-lab sweep`",
        "over: was not stopped: done",
    ]
    assert not sweep.run("busy").stop_request.exists()
    assert read_record(sweep.run("broken-off")).status == "cancelled"
    busy.release()


def test_a_run_that_is_not_there_is_named(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stop", str(results / "faces"), "next", "nobody"]) == 2
    assert "nobody; known: broken-off, busy, next, over, twin" in capsys.readouterr().err
    assert read_record(SweepFolder(results / "faces").run("next")).status == "planned"
