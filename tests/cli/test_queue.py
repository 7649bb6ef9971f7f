"""`lora-lab queue`: sweeps one after another, whatever becomes of each, and whoever changes the list."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

import lora_lab
from lora_lab.__main__ import main
from lora_lab.cli import queue_start
from lora_lab.engines import Pack, Report
from lora_lab.store import SweepFolder, read_record, write_record
from lora_lab.store.queue import Queue
from lora_lab.sweep import Plan, launch
from tests.sweep.trained import AtOnce

ROOT = Path(lora_lab.__file__).parent.parent
SHORT = ["base_model=demo", "dataset=demo", "optimizer=adamw", "train.max_train_steps=2", "preview=off"]

Then = Callable[[], None]


class Watched(AtOnce):
    """Ends runs at once, and then does what was put up for a sweep."""

    def __init__(self) -> None:
        super().__init__()
        self.sweeps: list[str] = []
        self.then: dict[str, Then] = {}

    def run(self, packs: Sequence[Pack], report: Report) -> None:
        super().run(packs, report)
        for name in {run.path.parent.name for pack in packs for run in pack.runs}:
            self.sweeps.append(name)
            self.then.pop(name, lambda: None)()


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """What trains, in an empty folder to work in."""
    made = Watched()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "make_engine", lambda _: made)
    return made


def write(name: str, **values: Any) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"base": SHORT, **values}, allow_unicode=True), encoding="utf-8")
    return name


def queue(*words: str) -> int:
    return main(["queue", *words])


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert queue(*words, "--json") == code
    return json.loads(capsys.readouterr().out)


def states() -> dict[str, str]:
    return {entry.name: entry.state for entry in Queue(Path("results")).entries()}


def reason(name: str) -> str:
    return next(entry.reason for entry in Queue(Path("results")).entries() if entry.name == name)


def test_one_sweep_after_another_each_with_its_settings(
    engine: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write("a b 猫/みこ 1.yaml", patterns={"x": [], "y": ["network.network_dim=2"]})
    added = told(capsys, "add", file, "train.max_train_steps=3", "--only", "y")
    assert (added["number"], added["name"], added["state"]) == (1, "みこ 1", "waiting")
    assert added["sweep"] == str(Path(file).absolute())
    assert not (Path("results") / "みこ 1").exists(), "adding starts nothing"
    assert queue("add", write("b.yaml"), "sweep=other") == 0
    assert "other is entry 2 of the queue in results: 1 run to do" in capsys.readouterr().out
    ended = told(capsys, "start", "--quiet")
    assert engine.sweeps == ["みこ 1", "other"] and engine.ran == ["y", "base"]
    assert read_record(SweepFolder(Path("results/みこ 1")).run("y")).total_steps == 3
    assert [one["outcome"]["runs"][0]["status"] for one in ended["entries"]] == ["done", "done"]
    assert (ended["interrupted"], ended["left"]) == (False, [])
    assert [(one["name"], one["state"], one["reason"]) for one in told(capsys, "list")] == [
        ("みこ 1", "done", "1 done"), ("other", "done", "1 done"),
    ]  # fmt: skip
    assert queue("list") == 0
    assert "train.max_train_steps=3 --only y" in capsys.readouterr().out
    assert [one["number"] for one in told(capsys, "remove", "--ended")] == [1, 2]
    assert told(capsys, "list") == [] and Path("results/みこ 1/y").is_dir()


def test_an_empty_queue(engine: Watched, capsys: pytest.CaptureFixture[str]) -> None:
    assert queue("start") == 0 and "nothing to start: it is empty" in capsys.readouterr().err
    assert queue("list") == 0 and "the queue in results is empty" in capsys.readouterr().out
    assert queue("pause") == 0 and "nothing to change" in capsys.readouterr().out
    assert queue("remove") == 2 and "`--ended` removes" in capsys.readouterr().err
    assert (
        queue("move", "demo", "1") == 2
        and "no entry 'demo' in the queue; it is empty" in capsys.readouterr().err
    )


def test_what_a_plan_would_refuse_is_refused_at_once(
    engine: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write("a.yaml")
    for words, message in (
        (("nothing.yaml",), "nothing.yaml"),
        ((file, "optimizer=nothing"), "optimizer"),
        ((file, "--only", "nobody"), "only: unknown row 'nobody'"),
    ):
        assert queue("add", *words) == 2
        assert message in capsys.readouterr().err
    assert queue("add", file) == 0 and queue("start", "--quiet") == 0
    assert queue("add", file, "train.max_train_steps=3") == 2, "of the folder's runs, too"
    assert "--redo" in capsys.readouterr().err
    assert states() == {"a": "done"}
    assert queue("add", file, "train.max_train_steps=3", "--redo") == 0
    assert queue("start", "--quiet") == 0 and engine.ran == ["base", "base"]


def test_what_costs_more_than_its_budget_is_refused(
    engine: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Plan, "over_budget", ["budget.hours=1: the plan is expected to take 9 hours"])
    assert queue("add", write("a.yaml"), "budget.hours=1") == 2
    assert "budget.hours=1: the plan is expected to take 9 hours" in capsys.readouterr().err
    assert states() == {}


def test_a_sweep_that_fails_is_listed_and_the_next_goes_on(
    engine: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        run = SweepFolder(Path("results/a")).run("base")
        record = read_record(run)
        record.status, record.reason = "failed", "out of memory"
        write_record(run, record)

    def break_down() -> None:
        raise ZeroDivisionError("by zero")

    engine.then = {"a": fail, "b": break_down}
    for name in "abc":
        assert queue("add", write(f"{name}.yaml")) == 0
    assert queue("start", "--quiet") == 1
    assert states() == {"a": "failed", "b": "failed", "c": "done"}
    assert reason("a") == "1 failed (base)"
    assert "unexpected ZeroDivisionError: by zero" in reason("b")
    assert "break_down" in Path("results/.queue/2-error.txt").read_text()
    assert "queue: ended: 1 done, 2 failed" in capsys.readouterr().err


def test_a_file_that_changed_or_went_is_named_in_its_turn(
    engine: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("changed", "gone", "demo", "wrong"):
        assert queue("add", write(f"{name}.yaml")) == 0
    write("changed.yaml", patterns={"x": [], "y": ["network.network_dim=2"]})
    Path("gone.yaml").unlink()
    Path("demo.yaml").unlink()
    write("wrong.yaml", patterns={"x": ["optimizer=nothing"]})
    assert queue("start", "--quiet") == 1
    assert states() == {"changed": "done", "gone": "failed", "demo": "failed", "wrong": "failed"}
    assert engine.ran == ["x", "y"], "as the file is now; and not the shipped sweep of that name"
    assert "changed.yaml has changed since it was added" in reason("changed")
    assert reason("gone") == f"{Path('gone.yaml').absolute()} is gone: put it back, and add the sweep again"
    assert "nothing" in reason("wrong")


def test_the_list_is_changed_while_it_runs(engine: Watched) -> None:
    for name in "abcd":
        assert queue("add", write(f"{name}.yaml")) == 0

    def change() -> None:
        assert states()["a"] == "running"
        assert queue("remove", "a") == 2, "it runs"
        assert queue("pause", "b") == 0 and queue("remove", "c") == 0
        assert queue("add", write("e.yaml")) == 0 and queue("move", "e", "1") == 0

    engine.then = {"a": change}
    assert queue("start", "--quiet") == 0
    assert engine.sweeps == ["a", "e", "d"]
    assert queue("pause", "b", "--undo") == 0 and queue("start", "--quiet") == 0
    assert engine.sweeps == ["a", "e", "d", "b"]


def test_a_second_start_meanwhile_takes_what_is_left(engine: Watched) -> None:
    for name in "ab":
        assert queue("add", write(f"{name}.yaml")) == 0
    engine.then = {"a": lambda: queue_start_alone()}

    def queue_start_alone() -> None:
        # In this process the claim is its own and does not beat in between: nothing is to be watched.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(queue_start.queued, "watch_claims", lambda _: None)
            assert queue("start", "--quiet") == 0

    assert queue("start", "--quiet") == 0
    assert engine.sweeps == ["a", "b"] and set(states().values()) == {"done"}


def test_ctrl_c_ends_it_and_the_same_command_goes_on(
    engine: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    for name in "ab":
        assert queue("add", write(f"{name}.yaml")) == 0
    engine.then = {"a": interrupt}
    assert queue("start", "--quiet") == 130
    assert (
        capsys.readouterr().err.splitlines()[-1]
        == "queue: interrupted: `lora-lab queue start` goes on from here"
    )
    assert states() == {"a": "interrupted", "b": "waiting"}
    assert queue("move", "b", "1") == 0 and queue("move", "a", "1") == 0
    assert queue("start", "--quiet") == 0
    assert states() == {"a": "done", "b": "done"}


KILLED = """
import sys, time
from lora_lab.__main__ import main
from lora_lab.sweep import Plan, launch
class Stuck:
    def run(self, packs, report):
        print("trains", flush=True)
        time.sleep(600)
launch.make_engine = lambda _: Stuck()
main(["queue", "start", "--quiet"])
"""


def test_after_a_kill_the_same_command_goes_on_with_the_interrupted_one(
    engine: Watched, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        assert queue("add", write(f"{name}.yaml")) == 0
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", KILLED], cwd=tmp_path, env=env, stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"trains\n"
    assert states() == {"a": "running", "b": "waiting"}
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    assert "queue: 1 running, 1 waiting" in shown and "1 a  running" in shown and "2 b  waiting" in shown
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert states() == {"a": "interrupted", "b": "waiting"}
    assert queue("start", "--quiet") == 0
    assert engine.sweeps == ["a", "b"] and set(states().values()) == {"done"}


def test_relative_places_are_those_of_where_it_was_added(
    engine: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(home)
    assert queue("add", write("sub/a.yaml"), "results=there") == 0
    assert queue("add", write("b.yaml")) == 0
    assert queue("start", "--quiet") == 0
    monkeypatch.chdir(elsewhere)
    write("a.yaml")
    assert queue("add", "a.yaml", "--results", "../home/results") == 0
    monkeypatch.chdir(home)
    assert queue("start", "--quiet") == 0 and Path.cwd() == home
    assert {str(path.parent.parent.relative_to(tmp_path)) for path in tmp_path.rglob("run.json")} == {
        "home/there/a", "home/results/b", "elsewhere/results/a",
    }  # fmt: skip


def test_the_time_of_day_that_comes_next() -> None:
    evening = datetime(2026, 11, 26, 22, 30, 5)
    assert queue_start._moment("23:00", evening) == datetime(2026, 11, 26, 23, 0)
    assert queue_start._moment("6:05", evening) == datetime(2026, 11, 27, 6, 5)
    assert queue_start._moment("22:30", evening) == datetime(2026, 11, 27, 22, 30)


@pytest.mark.parametrize("text", ["24:00", "23", "23:60", "eleven", "-1:00", "23:00:00"])
def test_what_is_no_time_of_day(text: str, engine: Watched, capsys: pytest.CaptureFixture[str]) -> None:
    assert queue("start", f"--at={text}") == 2
    assert capsys.readouterr().err == (f"lora-lab: --at must be a time of day such as 23:00, got {text!r}\n")


def test_it_waits_for_the_hour_and_ctrl_c_ends_the_wait_with_a_line(
    engine: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert queue("add", write("a.yaml")) == 0
    capsys.readouterr()

    def ctrl_c(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(queue_start.time, "sleep", ctrl_c)
    soon = datetime.fromtimestamp(time.time() + 7200)
    assert queue("start", "--at", f"{soon:%H:%M}") == 130
    first, last = capsys.readouterr().err.splitlines()
    assert f"waits until {soon:%A %H:%M}, " in first and "Ctrl-C ends it" in first
    assert last == "queue: nothing was started; all entries wait as before"
    assert states() == {"a": "waiting"} and engine.ran == []

    at = [time.time()]
    monkeypatch.setattr(queue_start.time, "time", lambda: at[0])
    monkeypatch.setattr(queue_start.time, "sleep", lambda seconds: at.__setitem__(0, at[0] + seconds))
    assert queue_start._wait_until(soon)
    assert soon.timestamp() <= at[0] < soon.timestamp() + 1
