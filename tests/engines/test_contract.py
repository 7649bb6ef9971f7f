"""What every engine promises, whichever it is: one class that all of them go through."""

import shutil
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from lora_lab.config import EngineConfig
from lora_lab.engines import BACKENDS, Event, Local, Ray, Slurm, Supervisor
from lora_lab.store import ENDED, RunFolder, RunRecord, read_record, write_record
from tests.engines.bench import COMMAND, Bench, held, statuses
from tests.engines.test_ray import FakeRay

pytestmark = pytest.mark.slow  # every test starts workers


class ThreadedRay(FakeRay):
    """A cluster of one process, whose tasks are threads of it."""

    def __init__(self) -> None:
        super().__init__({"CPU": 2.0})
        self.pool = ThreadPoolExecutor(2)

    def remote(self, function: Callable[..., Any]) -> Any:
        class Options:
            def __init__(self, pool: ThreadPoolExecutor) -> None:
                self.pool = pool

            def options(self, **_: Any) -> Any:
                return self

            def remote(self, *given: Any) -> Future[Any]:
                return self.pool.submit(function, *given)

        return Options(self.pool)

    def wait(self, tasks: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        done = [task for task in tasks if task.done()]
        return done, [task for task in tasks if task not in done]

    def get(self, task: Any) -> Any:
        return task.result()


def local() -> Supervisor:
    return Supervisor(Local(EngineConfig(workers=1)), COMMAND)


def ray() -> Supervisor:
    sys.modules["ray"] = ThreadedRay()  # type: ignore[assignment]
    return Supervisor(Ray(EngineConfig(workers=1)), COMMAND)


def slurm() -> Supervisor:
    pytest.importorskip("submitit", reason="submitit is not installed: pip install 'lora-lab[slurm]'")
    return Supervisor(Slurm(EngineConfig(workers=1, threads=1), "local", timeout_min=10), COMMAND)


ENGINES = [local, ray, pytest.param(slurm, marks=pytest.mark.slow)]  # a job is two more starts of Python


@pytest.fixture(params=ENGINES, ids=lambda make: make.__name__)
def make(
    request: pytest.FixtureRequest, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Supervisor]:
    monkeypatch.setitem(sys.modules, "ray", sys.modules.get("ray"))
    bench.engine = request.param()
    made: Callable[[], Supervisor] = request.param
    return made


def times_trained(bench: Bench) -> Counter[str]:
    return Counter(name for line in bench.started for name in line.split())


@pytest.mark.usefixtures("make")
class TestContract:
    def test_every_run_ends_and_says_how(self, bench: Bench) -> None:
        good, bad, odd = (
            bench.run("good"),
            bench.run("bad", at=2, then="exit"),
            bench.run("odd", at=1, then="diverge"),
        )
        bench.go([good, bad], [odd])
        assert statuses(good, bad, odd) == ["done", "failed", "diverged"]
        assert "the library gave up" in read_record(bad).reason
        assert {event.run for event in bench.kinds("end")} == {"good", "bad", "odd"}
        assert not (bench.root / ".packs").exists(), "nothing is left behind"

    def test_what_has_ended_never_runs_again(self, bench: Bench) -> None:
        runs = [bench.run(name) for name in (*ENDED, "fresh")]
        for run, status in zip(runs, ENDED, strict=False):
            write_record(run, RunRecord(status=status, step=3, reason="as it was"))
        before = [run.run_file.read_bytes() for run in runs[:-1]]
        bench.go(runs)
        assert times_trained(bench) == {"fresh": 1}
        assert [run.run_file.read_bytes() for run in runs[:-1]] == before

    def test_what_was_begun_goes_on_also_where_the_folder_has_moved(
        self, bench: Bench, tmp_path: Path
    ) -> None:
        run = bench.run("a", steps=6)
        write_record(run, RunRecord(status="cancelled", step=4))
        moved = RunFolder(tmp_path / "elsewhere" / "a")
        moved.path.parent.mkdir()
        shutil.move(run.path, moved.path)
        bench.go([moved])
        assert read_record(moved).status == "done" and read_record(moved).resumed_at_steps == [4]

    def test_two_launchers_train_no_run_twice(
        self, bench: Bench, make: Callable[[], Supervisor], tmp_path: Path
    ) -> None:
        runs = [bench.run(name, steps=4, seconds=0.1) for name in "abcd"]
        other = Bench(bench.root)
        other.engine = make()
        packs = [runs[:2], runs[2:]]
        second = Thread(target=other.go, args=packs)
        second.start()
        bench.go(*packs)
        second.join()
        assert statuses(*runs) == ["done"] * 4
        assert times_trained(bench) == dict.fromkeys("abcd", 1)

    def test_a_run_of_another_process_is_waited_for(self, bench: Bench) -> None:
        mine, other = bench.run("mine"), bench.run("other")
        with held(other) as lock:

            def let_go(event: Event) -> None:
                if event.kind == "exit":
                    lock.release()

            bench.go([other], [mine], then=let_go)
        assert statuses(mine, other) == ["done"] * 2
        assert bench.kinds("held")[0].pack == ("other",)

    def test_ctrl_c_saves_and_the_same_call_goes_on(
        self, bench: Bench, make: Callable[[], Supervisor]
    ) -> None:
        run = bench.run("a", steps=6, seconds=0.5)

        def press(event: Event) -> None:
            if event.kind == "step" and event.values["step"] == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            bench.go([run], then=press)
        assert statuses(run) == ["cancelled"]
        bench.engine = make()
        bench.go([run])
        assert statuses(run) == ["done"] and read_record(run).resumed_at_steps

    def test_a_worker_that_is_killed_costs_nobody_else(self, bench: Bench) -> None:
        bad, good = bench.run("bad", at=2, then="kill"), bench.run("good")
        bench.go([bad, good])
        assert statuses(bad, good) == ["failed", "done"]
        assert "killed" in read_record(bad).reason


def test_the_contract_is_of_all_engines() -> None:
    names = {getattr(item, "__name__", "") or item.values[0].__name__ for item in ENGINES}  # type: ignore[union-attr]
    assert names == set(BACKENDS)
