"""What an earlier run in a row's folder means for the plan."""

from pathlib import Path

import pytest

from lora_lab.resolved import Resolved
from lora_lab.run.lock import FolderLock
from lora_lab.store import Checkpoint, RunFolder, RunRecord, SweepFolder, write_record
from lora_lab.sweep.status import Decision, decide, set_aside

TAGS = ["000005", "000010"]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = SweepFolder(tmp_path / "sweep").run("03")
    run.checkpoints.mkdir(parents=True)
    return run


def record(folder: RunFolder, status: str, tags: list[str] | None = None, **values: object) -> RunRecord:
    """Write a record whose checkpoints have files."""
    checkpoints = []
    for tag in TAGS if tags is None else tags:
        folder.checkpoint(tag).write_bytes(b"x")
        checkpoints.append(Checkpoint(tag, str(folder.checkpoint(tag).relative_to(folder.path)), 5, 50, 50))
    made = RunRecord(status, fingerprint="f", preview_fingerprint="p", checkpoints=checkpoints, **values)  # type: ignore[arg-type]
    write_record(folder, made)
    return made


def verdict(folder: RunFolder, fingerprint: str = "f", preview: str = "p", **choices: bool) -> Decision:
    resolved = Resolved(
        {}, {}, fingerprint=fingerprint, fingerprint_1="of version 1", preview_fingerprint=preview
    )
    return decide(folder, resolved, TAGS, **{"retry": False, "redo": False, **choices})


def test_nothing_there(folder: RunFolder) -> None:
    assert verdict(folder) == Decision("planned")


def test_finished(folder: RunFolder) -> None:
    record(folder, "done")
    assert verdict(folder) == Decision("done")


def test_finished_with_other_previews(folder: RunFolder) -> None:
    record(folder, "done")
    assert verdict(folder, preview="q").status == "previews"


def test_finished_without_a_checkpoint_that_is_wanted(folder: RunFolder) -> None:
    record(folder, "done", ["000010"])
    found = verdict(folder)
    assert (found.status, found.aside) == ("planned", True)
    assert "000005" in found.reason


def test_finished_with_a_deleted_file(folder: RunFolder) -> None:
    record(folder, "done")
    folder.checkpoint("000010").unlink()
    assert verdict(folder).aside


@pytest.mark.parametrize("status", ["failed", "diverged"])
def test_failures_are_results_until_retried(folder: RunFolder, status: str) -> None:
    record(folder, status, ["000005"], reason="loss is NaN")
    assert verdict(folder) == Decision(status, "loss is NaN")
    assert verdict(folder, retry=True).status == "planned"
    folder.state(50).mkdir(parents=True)
    assert verdict(folder, retry=True).status == "resume"


@pytest.mark.parametrize("status", ["running", "cancelled", "planned"])
def test_interrupted_runs_go_on(folder: RunFolder, status: str) -> None:
    record(folder, status, ["000005"])
    assert verdict(folder).status == "planned"
    folder.state(50).mkdir(parents=True)
    assert verdict(folder) == Decision("resume", "goes on after step 50")


def test_interrupted_after_the_last_step(folder: RunFolder) -> None:
    record(folder, "cancelled")
    assert verdict(folder).status == "previews"


def test_another_experiment_is_never_overwritten(folder: RunFolder) -> None:
    record(folder, "done")
    found = verdict(folder, fingerprint="g")
    assert found.status == "conflict"
    assert str(folder.path) in found.reason and "--redo" in found.reason
    assert verdict(folder, fingerprint="g", redo=True) == Decision(
        "planned", "its settings changed; the earlier run is moved to .old/", aside=True
    )


def test_another_experiment_that_saved_nothing_is_replaced(folder: RunFolder) -> None:
    record(folder, "failed", [])
    assert verdict(folder, fingerprint="g").status == "planned"


def test_damaged_record(folder: RunFolder) -> None:
    folder.run_file.write_text("{", encoding="utf-8")
    assert verdict(folder).status == "conflict"
    assert verdict(folder, redo=True).aside


def test_a_row_that_was_another_ones_double(folder: RunFolder) -> None:
    record(folder, "done", [], same_as="13")
    assert verdict(folder) == Decision("planned")


def test_busy(folder: RunFolder) -> None:
    lock = FolderLock(folder.lock_file)
    assert lock.acquire()
    assert verdict(folder).status == "running"
    lock.release()
    assert verdict(folder).status == "planned"


def test_set_aside_keeps_every_earlier_run(folder: RunFolder) -> None:
    sweep = SweepFolder(folder.path.parent)
    for number in (1, 2):
        folder.path.mkdir(exist_ok=True)
        (folder.path / "mark").write_text(str(number))
        assert (set_aside(sweep, "03") / "mark").read_text() == str(number)
    assert not folder.path.exists()
    assert list(sweep.runs()) == []


def test_changed_settings_are_named_one_by_one(folder: RunFolder) -> None:
    acting = {"network.network_alpha": 16.0, "optimizer.learning_rate": 1e-4, "train.seed": 1}
    record(folder, "done", resolved={"acting": acting, "key": {}})
    now = Resolved({**acting, "network.network_alpha": 1.0, "train.seed": 2}, {}, fingerprint="other")
    found = decide(folder, now, TAGS, retry=False, redo=False)
    assert found.status == "conflict"
    assert "network.network_alpha=16.0 (now 1.0), train.seed=1 (now 2)" in found.reason
    assert "learning_rate" not in found.reason and "add --redo" in found.reason
    same = decide(folder, Resolved(acting, {}, fingerprint="other"), TAGS, retry=False, redo=False)
    assert "other images, or another base model" in same.reason


def test_a_stopped_run_goes_on_when_it_is_asked_to(folder: RunFolder) -> None:
    record(folder, "stopped", ["000005"], reason="by hand at epoch 5", step=50)
    folder.state(50).mkdir(parents=True)
    assert verdict(folder) == Decision("stopped", "by hand at epoch 5")
    assert verdict(folder, retry=True).status == "resume"
