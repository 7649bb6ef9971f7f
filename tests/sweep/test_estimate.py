"""What a plan will cost, by runs whose times are made up."""

import json
from pathlib import Path

import pytest

from lora_lab.effective.previews import wanted_shots
from lora_lab.errors import ConfigError
from lora_lab.store import Checkpoint, Preview, RunRecord, SweepFolder, read_record, write_record
from lora_lab.sweep import Plan, read_sweep
from lora_lab.sweep.estimate import makespan
from lora_lab.sweep.launch import launch
from lora_lab.sweep.timings import device_words, fitted

SWEEP = (
    "base: [base_model=sd15, dataset.resolution=64, dataset.min_bucket_reso=64, dataset.max_bucket_reso=64, "
    "lr_scheduler=constant, train.max_train_epochs=4, dataset.repeats=1, 'preview.seeds=[1]', "
    "'preview.prompts=[\"a hat\"]', 'preview.strengths=[1.0]', train.save_every_n_epochs=2]\n"
    "patterns: {a: [], b: [network.network_alpha=2], c: [network.network_alpha=4, dataset.repeats=2]}\n"
)
CPU = ("device=cpu", "engine.threads=1")
A, B = 0.5, 0.25
"""Seconds of a sample of each run of a pack of K: A + B K."""


def trained(sweep: SweepFolder, like: Plan, pack: list[str], threads: int = 1, **values: object) -> None:
    """Runs that trained together, and took A + B K seconds a sample of each."""
    row = like.row("a")
    for name in pack:
        run = sweep.run(name)
        run.path.mkdir(parents=True)
        run.config_file.write_text("name: x\n", encoding="utf-8")
        shown = [Preview("p.png", 0, 1, 1.0), Preview("q.png", 0, 2, 1.0)]
        usual = {
            "status": "done",
            "device": device_words("cpu", threads),
            "step": 100,
            "samples": 100,
            "seconds": {
                "train": 100 * (A / len(pack) + B),
                "load": 6 / len(pack),
                "preview": 3.0,
                "save": 1.0,
            },
            "peak_memory_bytes": 10**9 + len(pack) * 10**8,
            "pack": [other for other in pack if other != name],
            "resolved": row.resolved.to_plain(),
            "checkpoints": [
                Checkpoint("000001", "x.safetensors", 1, 100, 100, size_bytes=10**6, previews=shown)
            ],
        }
        write_record(run, RunRecord(**{**usual, **values}))


def test_time_memory_and_disk_from_what_was_recorded(make, tmp_path: Path) -> None:
    first = make(SWEEP, *CPU)
    assert first.estimate.seconds is None and first.estimate.steps == 120 + 120 + 240
    earlier = SweepFolder(tmp_path / "results" / "earlier")
    trained(earlier, first, ["x"])
    trained(earlier, first, ["y", "z"])
    found = make(SWEEP, *CPU).estimate
    # One pack of three, 120 steps together, then 120 of c alone; each has 2 previews of 2 s.
    training = 120 * (A + 3 * B) + 120 * (A + B)
    assert found.seconds == pytest.approx(5 + 6 + training + 3 * 2 * 2)
    assert found.low < found.seconds < found.high and found.timed == 3
    assert found.memory == pytest.approx(10**9 + 3 * 10**8)
    assert found.disk == pytest.approx(6 * (10**6 + 64 * 64 * 1.6), rel=1e-6)
    assert sum(one.seconds for one in found.runs.values()) == pytest.approx(found.seconds - 5 - 6 + 11)
    assert json.loads(json.dumps(found.to_json()))["seconds"] == found.seconds


def finished(found: Plan, name: str, missing: int, **values: object) -> None:
    """A row's folder as a run leaves it, all files there, without so many of its previews."""
    row = found.row(name)
    run = found.folder.run(name)
    run.path.mkdir(parents=True)
    items = []
    for number, tag in enumerate(row.checkpoints, start=1):
        (run.path / f"{tag}.safetensors").write_bytes(b"lora")
        shots = [Preview("p.png", *shot, drawn=key) for key, shot in wanted_shots(row.resolved).items()]
        items.append(Checkpoint(tag, f"{tag}.safetensors", number, 60 * number, 60, previews=shots))
    items[-1].previews = items[-1].previews[missing:]
    usual = {
        "status": "done",
        "checkpoints": items,
        "fingerprint": row.fingerprint,
        "preview_fingerprint": "x",
    }
    write_record(run, RunRecord(**{**usual, **values}))


def test_where_previews_alone_are_missing_these_are_counted_and_no_steps(make, tmp_path: Path) -> None:
    text = SWEEP.replace("preview.seeds=[1]", "preview.seeds=[1,2,3]")
    trained(SweepFolder(tmp_path / "results" / "earlier"), make(text, *CPU), ["x"])
    for name, missing in {"a": 2, "b": 0, "c": 3}.items():
        finished(make(text, *CPU), name, missing)
    found = make(text, *CPU)
    assert [(row.status, row.to_render, row.steps_left) for row in found.rows] == [
        ("previews", 2, 0), ("previews", 0, 0), ("previews", 3, 0),
    ]  # fmt: skip
    # 2 s a preview, by the run that was timed.
    assert found.estimate.seconds == pytest.approx(5 + 6 + (2 + 0 + 3) * 2)
    assert (found.estimate.steps, found.estimate.samples) == (0, 0)
    assert found.estimate.disk == pytest.approx(5 * 64 * 64 * 1.6, rel=1e-3)


def test_a_run_that_goes_on_is_reckoned_from_its_state(make, tmp_path: Path) -> None:
    text = SWEEP.partition("patterns")[0] + "patterns: {a: []}\n"
    trained(SweepFolder(tmp_path / "results" / "earlier"), make(text, *CPU), ["x"])
    whole = make(text, *CPU)
    finished(whole, "a", 1, status="cancelled", reason="stopped by SIGTERM")
    run = whole.folder.run("a")
    record = read_record(run)
    record.checkpoints = record.checkpoints[:1]
    record.checkpoints[0].previews = []
    write_record(run, record)
    run.state(60).mkdir(parents=True)
    found = make(text, *CPU)
    assert (found.row("a").status, found.row("a").steps_left, found.row("a").to_render) == ("resume", 60, 2)
    assert found.estimate.seconds == pytest.approx(5 + 6 + 60 * (A + B) + 2 * 2)
    assert found.estimate.steps == 60 < whole.estimate.steps == 120


def test_runs_of_other_devices_and_unfinished_ones_tell_nothing(make, tmp_path: Path) -> None:
    first = make(SWEEP, *CPU)
    earlier = SweepFolder(tmp_path / "results" / "earlier")
    trained(earlier, first, ["x"], threads=2)
    trained(earlier, first, ["y"], status="failed")
    trained(earlier, first, ["z"], prefix_of="y")
    assert make(SWEEP, *CPU).estimate.seconds is None


def test_another_size_of_network_is_timed_with_less_confidence(make, tmp_path: Path) -> None:
    first = make(SWEEP, *CPU)
    trained(SweepFolder(tmp_path / "results" / "earlier"), first, ["x"])
    same, other = make(SWEEP, *CPU).estimate, make(SWEEP, *CPU, "network.network_dim=4").estimate
    assert other.seconds and other.high / other.seconds > same.high / same.seconds
    assert other.disk is None, "no file of this size was saved yet"


def test_a_budget_that_is_too_small_starts_nothing(make, tmp_path: Path) -> None:
    trained(SweepFolder(tmp_path / "results" / "earlier"), make(SWEEP, *CPU), ["x"])
    found = make(SWEEP, *CPU, "budget.hours=0.01", "budget.disk_gb=1e-6")
    assert [text.partition(":")[0] for text in found.over_budget] == [
        "budget.hours=0.01",
        "budget.disk_gb=1e-06",
    ]
    with pytest.raises(ConfigError, match=r"budget.hours=0.01: the plan is expected to take .* hours"):
        launch(found, read_sweep(tmp_path / "try.yaml"), lambda event: None)
    assert not found.folder.path.exists()
    assert not make(SWEEP, *CPU, "budget.hours=10", "budget.disk_gb=5").over_budget


def test_two_plans_of_one_file_are_equal_in_bytes(make) -> None:
    one, other = (json.dumps(make(SWEEP, *CPU).to_json()) for _ in range(2))
    assert one == other


def test_a_pack_costs_a_part_of_its_own_and_one_for_each_run() -> None:
    cost = fitted([(1, 3.0), (4, 9.0), (8, 17.0)], 0.1)
    assert cost and (cost.fixed, cost.each) == pytest.approx((1.0, 2.0)) and cost.error == pytest.approx(0.1)
    falling = fitted([(1, 3.0), (8, 2.0)], 0.1)
    assert falling and falling.each == 0 and falling.fixed == pytest.approx(2.5)
    assert fitted([], 0.1) is None


def test_the_next_pack_goes_to_the_worker_that_is_free_first() -> None:
    assert makespan([5, 4, 3, 2], 2) == 7 and makespan([5, 4, 3, 2], 1) == 14 and makespan([], 2) == 0
