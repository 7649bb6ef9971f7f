"""Workers, GPUs and threads of this machine."""

import os
from pathlib import Path

import pytest

from lora_lab import system
from lora_lab.config import EngineConfig
from lora_lab.engines.slots import Slot, gpus, slots
from lora_lab.system import cores

TWO_CARDS = """\
GPU 0: NVIDIA A100 (UUID: GPU-1111)
  MIG 3g.20gb     Device  0: (UUID: MIG-aaaa)
  MIG 3g.20gb     Device  1: (UUID: MIG-bbbb)
GPU 1: NVIDIA RTX 4090 (UUID: GPU-2222)
"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0,1", ["0", "1"]), ("", []), ("-1", []), ("2,-1,3", ["2"]), ("GPU-8a, GPU-9b", ["GPU-8a", "GPU-9b"])],
)
def test_visible_devices_are_taken_as_given(value: str, expected: list[str]) -> None:
    assert gpus({"CUDA_VISIBLE_DEVICES": value}) == expected


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{TWO_CARDS}END\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("lora_lab.engines.slots.cores", lambda: 8)


@pytest.mark.usefixtures("cards")
def test_nvidia_smi_is_asked_and_mig_instances_count() -> None:
    assert gpus({}) == ["MIG-aaaa", "MIG-bbbb", "1"]
    assert slots(EngineConfig(), environ={}) == [Slot("MIG-aaaa", 2), Slot("MIG-bbbb", 2), Slot("1", 2)]


@pytest.mark.usefixtures("cards")
def test_more_workers_than_cards_share_them() -> None:
    assert [slot.gpu for slot in slots(EngineConfig(workers=4), environ={})] == [
        "MIG-aaaa",
        "MIG-bbbb",
        "1",
        "MIG-aaaa",
    ]


@pytest.mark.usefixtures("cards")
def test_a_numbered_device_stays_visible_by_its_number() -> None:
    (slot,) = slots(EngineConfig(), "cuda:1", environ={})
    assert "CUDA_VISIBLE_DEVICES" not in slot.environment("cuda:1")
    assert slot.environment("auto")["CUDA_VISIBLE_DEVICES"] == "MIG-aaaa"


@pytest.mark.usefixtures("cards")
@pytest.mark.parametrize(("workers", "threads"), [(0, 2), (1, 8), (3, 2), (16, 1)])
def test_a_cpu_is_divided_among_the_workers(workers: int, threads: int) -> None:
    found = slots(EngineConfig(workers=workers), "cpu", environ={})
    assert len(found) == (workers or 4)
    assert {slot.threads for slot in found} == {threads}
    assert {slot.gpu for slot in found} == {None}


def test_threads_may_be_set() -> None:
    assert slots(EngineConfig(workers=2, threads=5), "cpu")[0].environment("cpu")["OMP_NUM_THREADS"] == "5"


def test_a_container_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "cpu.max"
    monkeypatch.setattr(system, "CGROUP_LIMIT", limit)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert cores() == 8
    limit.write_text("max 100000\n")
    assert cores() == 8
    limit.write_text("150000 100000\n")
    assert cores() == 1


@pytest.mark.parametrize(
    ("environ", "threads", "expected"),
    [
        ({}, 0, {"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"}),
        ({"OMP_NUM_THREADS": "1"}, 0, {"MKL_NUM_THREADS": "1"}),
        ({"MKL_NUM_THREADS": "2"}, 0, {"OMP_NUM_THREADS": "2"}),
        ({"OMP_NUM_THREADS": "3,1", "MKL_NUM_THREADS": "2"}, 0, {}),
        ({"OMP_NUM_THREADS": "many"}, 0, {"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"}),
        ({"OMP_NUM_THREADS": "1"}, 5, {"OMP_NUM_THREADS": "5", "MKL_NUM_THREADS": "5"}),
    ],
)
def test_the_users_number_of_threads_is_kept_unless_the_settings_name_one(
    environ: dict[str, str], threads: int, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_lab.engines.slots.cores", lambda: 8)
    (slot, _) = slots(EngineConfig(workers=2, threads=threads), "cpu", environ)
    assert slot.environment("cpu") == expected
