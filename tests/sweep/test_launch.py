"""Launching a plan, with a fake worker in place of training."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

import lora_lab
from lora_lab import config
from lora_lab.effective import Comparisons, Resolved
from lora_lab.engines import Event, Local, Supervisor
from lora_lab.errors import ConfigError
from lora_lab.store import RunRecord, SweepFolder, read_record, write_record
from lora_lab.store import table as results
from lora_lab.store.locks import is_locked
from lora_lab.store.reading import read_sweep_folder
from lora_lab.sweep import Plan, PlannedRun, RowSpec, SweepFile, read_sweep
from lora_lab.sweep.launch import launch, prepare

FAKE = Path(__file__).parent.parent / "engines" / "fake_worker.py"
BASE = ("base_model=demo", "dataset=demo", "network.network_alpha=1")


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "started"))
    monkeypatch.setenv("PYTHONPATH", str(Path(lora_lab.__file__).parent.parent))


def row(name: str, alpha: float, **values: Any) -> PlannedRun:
    made = config.compose([*BASE, f"network.network_alpha={alpha}"], checked=False)
    made.name = name
    usual: dict[str, Any] = {
        "overrides": (*BASE, f"network.network_alpha={alpha}"),
        "config": made,
        "resolved": Resolved(acting={"network.network_alpha": alpha}, key={}),
        "fingerprint": f"print-{alpha}",
        "preview_fingerprint": "previews",
        "images": 2,
        "updates_per_epoch": 3,
        "total_steps": 3,
        "samples": 4,
        "exposures_per_image": 2.0,
        "checkpoints": ["000001"],
        "changes": {} if alpha == 1 else {"network.network_alpha": (1, alpha)},
    }
    return PlannedRun(name, **{**usual, **values})


def plan_of(folder: Path, rows: list[PlannedRun], packs: list[list[str]]) -> Plan:
    base = config.compose(BASE, checked=False)
    base.engine.workers = 1
    comparisons = Comparisons((), (), ())
    return Plan("demo", SweepFolder(folder), "what?", rows, packs, comparisons, [], "cpu", base)


def sweep_of(rows: list[PlannedRun]) -> SweepFile:
    specs = tuple(RowSpec(item.name, tuple(item.overrides[len(BASE) :])) for item in rows)
    return SweepFile("demo", Path("demo.yaml"), "what?", BASE, specs)


def go(plan: Plan, then: Callable[[Event], None] = lambda _: None) -> Any:
    engine = Supervisor(Local(plan.base.engine), (sys.executable, str(FAKE)))
    return launch(plan, sweep_of(plan.rows), then, engine=engine)


def usual(folder: Path) -> Plan:
    rows = [row("a", 1), row("b", 16), row("c", 1, status="same", same_as="a", reason="the same settings")]
    return plan_of(folder, rows, [["b", "a"]])


def test_a_plan_becomes_folders_results_and_a_table(tmp_path: Path) -> None:
    plan = usual(tmp_path / "demo")
    outcome = go(plan)
    assert outcome.statuses == {"a": "done", "b": "done", "c": "done"}
    assert not outcome.interrupted and outcome.started == ["b", "a"]
    record = read_record(plan.folder.run("b"))
    assert record.fingerprint == "print-16" and record.overrides == ["network.network_alpha=16"]
    assert (record.total_steps, record.updates_per_epoch, record.images) == (3, 3, 2)
    assert read_record(plan.folder.run("c")).same_as == "a"
    assert config.load(plan.folder.run("b").config_file, checked=False).network.network_alpha == 16
    assert outcome.table == tmp_path / "demo" / "table.csv"
    table = results.rows(plan.folder)
    assert [item["run"] for item in table] == ["a", "b", "c"]
    assert table[2]["file"] == table[0]["file"]


def test_the_folder_alone_is_enough_to_go_on(tmp_path: Path) -> None:
    plan = usual(tmp_path / "demo")
    plan.rows.append(row("a-r3", 1))
    plan.rows[-1].config.train.seed = 25
    sweep = replace(
        sweep_of(plan.rows), rows=(RowSpec("a", ()), RowSpec("a-r3", (), 3), RowSpec("b", ("x=1",)))
    )
    prepare(plan, sweep, ["network.network_dim=8"])
    read = read_sweep(plan.folder.sweep_file)
    assert read.question == "what?"
    assert read.base == (*BASE, "network.network_dim=8")
    assert [item.name for item in read.rows] == ["a", "a-r3", "b"]
    assert read.rows[0].overrides == ()
    assert read.rows[1].overrides == ("train.seed=25",)
    assert read.rows[2].overrides == ("x=1", "network.network_dim=8"), "the command line wins"


def interrupt(event: Event) -> None:
    if event.kind == "step" and event.values["step"] == 2:
        raise KeyboardInterrupt


def slowly(plan: Plan) -> None:
    """Have the fake worker take so long over a step that a request in between is seen."""
    for name in "ab":
        plan.folder.run(name).path.mkdir(parents=True)
        (plan.folder.run(name).path / "fake.json").write_text('{"steps": 3, "seconds": 0.5}')


@pytest.mark.slow  # a sweep trained twice, by workers
def test_interrupted_and_launched_again_gives_the_same_table(tmp_path: Path) -> None:
    go(usual(tmp_path / "whole"))
    plan = usual(tmp_path / "broken")
    slowly(plan)
    outcome = go(plan, interrupt)
    assert outcome.interrupted and outcome.statuses["b"] == "cancelled"
    assert outcome.table.is_file()
    again = usual(tmp_path / "broken")
    outcome = go(again)
    assert set(outcome.statuses.values()) == {"done"}
    assert read_record(again.folder.run("b")).resumed_at_steps, "it went on, it did not start anew"
    tables = [
        results.to_csv(results.rows(SweepFolder(tmp_path / name), timings=False))
        for name in ("whole", "broken")
    ]
    assert tables[0] == tables[1]


@pytest.mark.slow  # a sweep trained twice, by workers
@pytest.mark.parametrize("worker_dies_too", [False, True])
def test_killed_and_launched_again_gives_the_same_table(tmp_path: Path, worker_dies_too: bool) -> None:
    go(usual(tmp_path / "whole"))
    plan = usual(tmp_path / "broken")
    slowly(plan)
    launcher = os.fork()
    if launcher == 0:
        go(plan)
        os._exit(0)
    run = plan.folder.run("b")
    until(lambda: read_record(run).step >= 1)
    if worker_dies_too:
        for worker in psutil.Process(launcher).children():
            worker.kill()
    os.kill(launcher, signal.SIGKILL)
    os.waitpid(launcher, 0)
    until(lambda: not is_locked(run))
    assert read_record(run).status in ("running", "cancelled")
    assert set(go(usual(tmp_path / "broken")).statuses.values()) == {"done"}
    assert read_record(run).resumed_at_steps
    tables = [
        results.to_csv(results.rows(SweepFolder(tmp_path / name), timings=False))
        for name in ("whole", "broken")
    ]
    assert tables[0] == tables[1]


def until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def test_finished_runs_are_left_alone(tmp_path: Path) -> None:
    go(usual(tmp_path / "demo"))
    before = (tmp_path / "demo" / "a" / "run.json").read_bytes()
    plan = usual(tmp_path / "demo")
    for item in plan.rows[:2]:
        item.status = "done"
    plan.packs = []
    outcome = go(plan)
    assert outcome.started == [] and set(outcome.statuses.values()) == {"done"}
    assert (tmp_path / "demo" / "a" / "run.json").read_bytes() == before
    assert len((tmp_path / "started").read_text().splitlines()) == 1


def test_another_experiment_of_the_same_name_starts_anew(tmp_path: Path) -> None:
    plan = usual(tmp_path / "demo")
    run = plan.folder.run("b")
    run.path.mkdir(parents=True)
    write_record(run, RunRecord(status="cancelled", fingerprint="other", step=2))
    run.steps_file.write_text("{}\n")
    prepare(plan, sweep_of(plan.rows))
    assert read_record(run).step == 0
    assert not run.steps_file.exists()


def test_a_folder_in_the_way_moves_aside(tmp_path: Path) -> None:
    plan = usual(tmp_path / "demo")
    run = plan.folder.run("b")
    (run.path / "checkpoints").mkdir(parents=True)
    (run.path / "checkpoints" / "precious.safetensors").touch()
    plan.row("b").aside = True
    prepare(plan, sweep_of(plan.rows))
    assert (tmp_path / "demo" / ".old" / "b-1" / "checkpoints" / "precious.safetensors").is_file()


def test_a_conflict_stops_everything_before_it_starts(tmp_path: Path) -> None:
    plan = usual(tmp_path / "demo")
    plan.row("b").status, plan.row("b").reason = "conflict", "holds a run with other settings"
    with pytest.raises(ConfigError, match="row 'b': holds a run with other settings"):
        go(plan)
    assert not (tmp_path / "demo").exists()


def test_commands_that_grow_a_sweep_keep_earlier_rows(tmp_path: Path) -> None:
    for name, alpha in (("one", 1), ("two", 2)):
        plan = plan_of(tmp_path / "train", [row(name, alpha)], [[name]])
        prepare(plan, SweepFile("train", None, "", (), (RowSpec(name, (f"network.network_alpha={alpha}",)),)))
    assert [item.name for item in read_sweep(tmp_path / "train" / "sweep.yaml").rows] == ["one", "two"]


def test_a_start_removes_what_a_kill_left_of_files_half_written(tmp_path: Path) -> None:
    plan = usual(tmp_path / "demo")
    plan.row("a").config.cache = str(tmp_path / "cache")
    prepare(plan, sweep_of(plan.rows))
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = [
        plan.folder.path / f".plan.json.{ended.pid}-abcdefgh.json",
        plan.folder.run("a").path / f".config.yaml.{ended.pid}-abcdefgh.yaml",
        plan.folder.anchors / "pictures-1" / f".0.png.{ended.pid}-abcdefgh.png",
        tmp_path / "cache" / "latents" / "ab" / f".x.st.{ended.pid}-abcdefgh.st",
    ]
    for file in left:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("half")
    assert read_sweep_folder(plan.folder.path).training_images == []
    go(plan)
    assert [file for file in left if file.exists()] == []


def test_in_rounds_packs_that_are_behind_come_first(tmp_path: Path) -> None:
    resolved = Resolved(
        {}, {}, total_steps=40, updates_per_epoch=10, train=config.TrainConfig(save_every_n_epochs=1)
    )
    rows = [row(name, number + 1.0, resolved=resolved, total_steps=40) for number, name in enumerate("abc")]
    plan = plan_of(tmp_path / "sweep", rows, [["a"], ["b"], ["c"]])
    for name, step in (("a", 30), ("b", 10)):
        plan.folder.run(name).state(step).mkdir(parents=True)

    class Looks:
        seen: list[str] = []

        def run(self, packs: Any, report: Any) -> None:
            self.seen = [name for pack in packs for name in pack.names]

    for rounds, order in ((1, "abc"), (4, "cba"), (2, "bca")):
        plan.base.engine.rounds = rounds
        launch(plan, sweep_of(rows), lambda _: None, engine=(engine := Looks()))
        assert "".join(engine.seen) == order
