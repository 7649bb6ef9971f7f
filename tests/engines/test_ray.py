"""Packs as tasks of Ray: what is asked of it; where it is installed, a real cluster that loses a node."""

import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from lora_lab.config import EngineConfig
from lora_lab.engines import Event, Ray, Supervisor
from lora_lab.errors import ConfigError
from lora_lab.store import read_record
from tests.engines.bench import COMMAND, Bench, statuses


class RayError(Exception):
    """As ray.exceptions has them."""


class RayTaskError(RayError):
    cause = "no such file"


class TaskCancelledError(RayError):
    pass


class NodeDiedError(RayError):
    pass


class FakeRay:
    """A cluster of one process: a task is done when its result is asked for, in the thread of the caller."""

    exceptions = SimpleNamespace(
        RayError=RayError, RayTaskError=RayTaskError, TaskCancelledError=TaskCancelledError
    )

    def __init__(self, resources: dict[str, float], lost: int = 0) -> None:
        self.resources, self.lost = resources, lost
        self.asked: list[dict[str, Any]] = []
        self.joined: list[Any] = []

    def is_initialized(self) -> bool:
        return False

    def init(self, **options: Any) -> None:
        self.joined.append(options["address"])

    def shutdown(self) -> None:
        self.joined.append("left")

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def remote(self, function: Callable[..., Any]) -> Any:
        def options(**values: Any) -> Any:
            self.asked.append(values)
            return SimpleNamespace(remote=lambda *given: (function, given))

        return SimpleNamespace(options=options)

    def wait(self, tasks: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return tasks, []

    def get(self, task: Any) -> Any:
        if self.lost:
            self.lost -= 1
            raise NodeDiedError("the node was lost")
        function, given = task
        return function(*given)

    def cancel(self, *_: Any, **__: Any) -> None:
        pass


def use(monkeypatch: pytest.MonkeyPatch, ray: FakeRay) -> FakeRay:
    monkeypatch.setitem(sys.modules, "ray", ray)  # type: ignore[arg-type]
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return ray


def test_without_ray_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'lora-lab\[ray\]', or set engine=local"):
        Ray(EngineConfig()).width("cpu")


FOUR_CARDS = {"CPU": 32.0, "GPU": 4.0}


@pytest.mark.parametrize(
    ("resources", "device", "workers", "width", "gpu", "threads"),
    [
        (FOUR_CARDS, "auto", 0, 4, "1 of Ray's", 8),
        (FOUR_CARDS, "auto", 2, 2, "1 of Ray's", 8),
        (FOUR_CARDS, "cpu", 0, 16, None, 2),
        ({"CPU": 3.0}, "auto", 0, 1, None, 2),
        ({"CPU": 1.0}, "auto", 9, 1, None, 1),
    ],
)
def test_a_pack_gets_a_gpu_or_a_pair_of_cores(
    resources: dict[str, float],
    device: str,
    workers: int,
    width: int,
    gpu: str | None,
    threads: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, FakeRay(resources))
    engine = Ray(EngineConfig(workers=workers))
    assert engine.width(device) == width
    assert engine.facts(0) == {"gpu": gpu, "threads": threads}


def test_it_joins_the_cluster_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = use(monkeypatch, FakeRay({"CPU": 2.0}))
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    engine = Ray(EngineConfig())
    engine.width("cpu")
    engine.close()
    assert ray.joined == ["ray://head:10001", "left"]

    def fails(**_: Any) -> None:
        raise ConnectionError("nobody there")

    monkeypatch.setattr(ray, "init", fails)
    with pytest.raises(ConfigError, match="nobody there; set engine=local"):
        Ray(EngineConfig()).width("cpu")


@pytest.mark.slow
def test_packs_become_tasks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = use(monkeypatch, FakeRay({"CPU": 4.0}))
    bench.engine = Supervisor(Ray(EngineConfig()), COMMAND)
    a, b, c = (bench.run(name) for name in "abc")
    bench.go([a, b], [c])
    assert statuses(a, b, c) == ["done"] * 3 and bench.started == ["a b", "c"]
    assert ray.asked[0] == {"num_cpus": 2.0, "num_gpus": 0.0, "max_retries": 0, "name": "a,b"}
    assert "threads 2" in a.log_file.read_text()


@pytest.mark.slow
def test_a_lost_node_is_no_fault_of_its_runs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeRay({"CPU": 2.0}, lost=3))
    bench.engine = Supervisor(Ray(EngineConfig()), COMMAND)
    a, b = bench.run("a"), bench.run("b")
    bench.go([a, b])
    assert statuses(a, b) == ["done"] * 2
    assert bench.started == ["a b"], "whole, and not in halves"
    assert len(bench.kinds("retry")) == 3


def test_a_node_that_is_always_lost_ends_the_tries(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeRay({"CPU": 2.0}, lost=99))
    bench.engine = Supervisor(Ray(EngineConfig()), COMMAND)
    run = bench.run("a")
    bench.go([run])
    assert statuses(run) == ["failed"] and "its node was lost" in read_record(run).reason


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, list[Any]]]:
    """A real Ray: a head without cores, and two nodes with two each."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'lora-lab[ray]'")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")
    found = Cluster()
    try:
        found.add_node(num_cpus=0)
        nodes = [found.add_node(num_cpus=2) for _ in range(2)]
        ray.init(address=found.address, log_to_driver=False)
    except Exception as error:
        found.shutdown()
        pytest.skip(f"Ray does not start on this machine: {error}")
    yield found, nodes
    ray.shutdown()
    found.shutdown()


@pytest.mark.slow  # a cluster takes half a minute to start
def test_a_real_cluster_loses_a_node_in_mid_run(bench: Bench, cluster: tuple[Any, list[Any]]) -> None:
    found, nodes = cluster
    bench.engine = Supervisor(Ray(EngineConfig()), COMMAND)
    runs = [bench.run(name, steps=20, seconds=0.5) for name in "ab"]
    lost: list[Event] = []

    def lose(event: Event) -> None:
        if event.kind == "step" and event.values["step"] == 4 and not lost:
            lost.append(event)
            found.remove_node(nodes[0], allow_graceful=False)

    bench.go([runs[0]], [runs[1]], then=lose)
    assert statuses(*runs) == ["done"] * 2 and lost
    assert any(read_record(run).resumed_at_steps for run in runs), "it went on where it was"
    assert bench.kinds("retry")
