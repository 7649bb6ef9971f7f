"""Packs as Slurm jobs, with submitit's local executor in place of a cluster."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from lora_lab.config import EngineConfig
from lora_lab.engines import Pack, Slurm, Supervisor
from lora_lab.engines.desk import Desk
from lora_lab.errors import ConfigError
from lora_lab.store import RunFolder, read_record
from tests.engines.bench import COMMAND, Bench, statuses


def test_without_submitit_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ConfigError, match=r"pip install 'lora-lab\[slurm\]', or set engine=local"):
        Slurm(EngineConfig()).width("cpu")


submitit = pytest.importorskip("submitit", reason="submitit is not installed: pip install 'lora-lab[slurm]'")


def test_without_slurm_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="start on a login node"):
        Slurm(EngineConfig()).width("cpu")


class Executor:
    """Takes what a real executor would be told."""

    told: dict[str, Any] = {}

    def __init__(self, folder: Path, **options: Any) -> None:
        self.told = {"folder": folder, **options}
        Executor.told = self.told

    def update_parameters(self, **values: Any) -> None:
        self.told |= values

    def submit(self, work: Any) -> Any:
        self.told["work"] = work
        return None


@pytest.mark.parametrize(("device", "gpus"), [("auto", 1), ("cpu", 0)])
def test_settings_become_parameters_of_the_job(
    device: str, gpus: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(submitit, "AutoExecutor", Executor)
    config = EngineConfig(name="slurm", threads=6, hours=1.5, slurm={"partition": "gpu", "mem": "32GB"})
    run = RunFolder(tmp_path / "a")
    run.path.mkdir()
    desk = Desk(Pack((run,), device), COMMAND)
    Slurm(config).start(desk.pack, desk, 0)
    told = Executor.told
    assert (told["timeout_min"], told["cpus_per_task"], told["gpus_per_node"]) == (90, 6, gpus)
    assert (told["slurm_partition"], told["slurm_mem"], told["cluster"]) == ("gpu", "32GB", "slurm")
    assert told["work"].environment == {"OMP_NUM_THREADS": "6", "MKL_NUM_THREADS": "6"}
    assert told["work"].command[-1] == str(run.path) and "{parent}" in told["work"].command


def test_a_parameter_that_slurm_does_not_know_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(submitit.SlurmExecutor, "affinity", classmethod(lambda cls: 2))
    run = RunFolder(tmp_path / "a")
    run.path.mkdir()
    desk = Desk(Pack((run,)), COMMAND)
    with pytest.raises(ConfigError, match=r"engine.slurm: .*partitoin"):
        Slurm(EngineConfig(slurm={"partitoin": "gpu"})).start(desk.pack, desk, 0)


class Jobs(Slurm):
    """Jobs of this machine, which can be pre-empted."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(EngineConfig(workers=2, threads=1), "local", **parameters)
        self.started: list[Any] = []

    def start(self, pack: Pack, desk: Desk, place: int) -> Any:
        self.started.append(super().start(pack, desk, place))
        return self.started[-1]


def go(
    bench: Bench, jobs: Jobs, *packs: list[RunFolder], then: Callable[[Any], None] = lambda _: None
) -> None:
    bench.engine = Supervisor(jobs, COMMAND)
    bench.go(*packs, then=then)


def task_of(job: Any) -> list[int]:
    """The processes of a job, below its controller."""
    return [child.pid for child in psutil.Process(job._process.pid).children()]


@pytest.mark.slow  # each job is two starts of Python and its own idea of when to look
class TestOnThisMachine:
    def test_packs_become_jobs(self, bench: Bench) -> None:
        runs = [bench.run(name) for name in "abc"]
        go(bench, Jobs(timeout_min=5), runs[:2], runs[2:])
        assert statuses(*runs) == ["done"] * 3
        assert sorted(bench.started) == ["a b", "c"]
        assert {event.run for event in bench.kinds("step")} == {"a", "b", "c"}
        assert not (bench.root / ".packs").exists()

    def test_a_pre_empted_job_saves_is_queued_again_and_goes_on(self, bench: Bench) -> None:
        run = bench.run("a", steps=12, seconds=0.4)
        jobs = Jobs(timeout_min=5)
        sent: list[int] = []

        # Slurm tells the task itself; submitit's stand-in would tell its controller.
        def pre_empt(event: Any) -> None:
            if event.kind == "step" and event.values["step"] == 2 and not sent:
                for pid in task_of(jobs.started[0]._job):
                    sent.append(pid)
                    os.kill(pid, signal.SIGUSR2)

        go(bench, jobs, [run], then=pre_empt)
        assert sent and statuses(run) == ["done"]
        assert len(jobs.started) == 1, "the same job went on; nobody submitted another"
        assert bench.started == ["a", "a"] and len(read_record(run).resumed_at_steps) == 1

    def test_a_job_at_its_time_limit_goes_on(self, bench: Bench) -> None:
        run = bench.run("a", steps=60, seconds=0.6)
        # The stand-in says so 30 seconds before the limit of a minute.
        go(bench, Jobs(timeout_min=1), [run])
        assert statuses(run) == ["done"]
        assert read_record(run).resumed_at_steps, "it was told to save in time"

    def test_a_job_that_is_killed_is_submitted_again(self, bench: Bench) -> None:
        run = bench.run("a", steps=8, seconds=0.4)
        jobs = Jobs(timeout_min=5)
        killed: list[int] = []

        def kill(event: Any) -> None:
            if event.kind == "step" and event.values["step"] == 2 and not killed:
                killed.append(1)
                for process in psutil.Process(jobs.started[0]._job._process.pid).children(recursive=True):
                    process.kill()

        go(bench, jobs, [run], then=kill)
        assert statuses(run) == ["done"]
        assert len(jobs.started) == 2 and [event for event in bench.kinds("retry")]

    def test_ctrl_c_saves_and_the_same_call_goes_on(self, bench: Bench) -> None:
        run = bench.run("a", steps=30, seconds=0.2)

        def press(event: Any) -> None:
            if event.kind == "step" and event.values["step"] == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            go(bench, Jobs(timeout_min=5), [run], then=press)
        assert statuses(run) == ["cancelled"]
        go(bench, Jobs(timeout_min=5), [run])
        assert statuses(run) == ["done"] and read_record(run).resumed_at_steps
