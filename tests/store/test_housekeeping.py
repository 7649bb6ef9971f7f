"""Making room and renaming: what goes, what stays, and that tables and verdicts do not change."""

from pathlib import Path

import pytest

from lora_lab.__main__ import main
from lora_lab.errors import RunFolderError
from lora_lab.run.lock import FolderLock
from lora_lab.store import SweepFolder, read_record, write_record
from lora_lab.store import table as results
from lora_lab.store.housekeeping import disposable, give_up, remove_run, rename_run, rename_sweep, sizes_of
from lora_lab.store.reading import read_sweep_folder
from lora_lab.sweep.status import _there
from tests import scored


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    """The made sweep with files of known sizes: 1,000 bytes a LoRA, 500 a state."""
    made = scored.sweep(tmp_path / "results", images=True)
    for run in made.runs():
        for item in read_record(run).checkpoints:
            file = run.path / item.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"x" * 1000)
        run.state(40).mkdir(parents=True, exist_ok=True)
        (run.state(40) / "state.bin").write_bytes(b"x" * 500)
    return made


def gone(folder: SweepFolder, *keep: str) -> dict[str, list[str]]:
    """Tags by run that a clean-up gives up; '' is a training state."""
    found: dict[str, list[str]] = {}
    for item in disposable(read_sweep_folder(folder.path), keep).unwanted:
        found.setdefault(item.run, []).append(item.tag)
    return found


def rows(folder: SweepFolder) -> list[dict[str, object]]:
    return [{k: v for k, v in row.items() if k not in ("run", "file")} for row in results.rows(folder)]


def test_best_by_scores_and_last_stay(folder: SweepFolder) -> None:
    # Of alpha-64 the first checkpoint is best (40 against 20), of base the second (90 against 70).
    found = gone(folder, "best", "last")
    assert found["base"] == ["000010", ""] and found["alpha-64"] == [""]
    assert gone(folder, "best")["alpha-64"] == ["000020", ""]
    assert gone(folder, "000010")["base"] == ["000020", ""]


def test_what_is_not_done_or_not_scored_is_left(folder: SweepFolder) -> None:
    run = folder.run("lion")
    record = read_record(run)
    record.status = "cancelled"
    write_record(run, record)
    folder.scores_file.unlink()
    found = disposable(read_sweep_folder(folder.path), ["best"])
    assert "it is cancelled" in found.spared["lion"] and "it is diverged" in found.spared["broken"]
    assert "nobody has scored it" in found.spared["base"]
    assert {item.tag for item in found.unwanted} == {""}


def test_a_twin_keeps_its_last_checkpoint_in_the_run_that_did_the_work(folder: SweepFolder) -> None:
    run = folder.run("alpha-16")
    record = read_record(run)
    record.same_as, record.checkpoints, record.total_steps = "base", [], 20
    write_record(run, record)
    assert "000010" not in gone(folder, "last").get("base", [])


def test_room_is_made_and_nothing_else_changes(folder: SweepFolder) -> None:
    before, sweep = rows(folder), read_sweep_folder(folder.path)
    images = sorted(folder.path.rglob("*.png"))
    found = disposable(sweep, ["best", "last"])
    assert (
        give_up(sweep, found.unwanted)
        == found.size
        == sum(1000 if item.tag else 500 for item in found.unwanted)
    )
    assert rows(folder) == before and sorted(folder.path.rglob("*.png")) == images
    base = folder.run("base")
    assert sizes_of(base).checkpoints == 1000 and sizes_of(base).states == 0
    # A sweep that is started again takes the run for done.
    record = read_record(base)
    assert _there(base, record, "000010") and _there(base, record, "000020")
    assert disposable(read_sweep_folder(folder.path), ["best", "last"]).unwanted == ()


def test_gc_shows_first(folder: SweepFolder, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder.run("base").path / read_record(folder.run("base")).checkpoints[0].file
    assert main(["gc", str(folder.path)]) == 0
    assert "would be freed: --yes does it" in capsys.readouterr().out and file.exists()
    assert main(["gc", str(folder.path), "--yes"]) == 0
    assert not file.exists()
    assert main(["gc", str(folder.path), "--keep", "worst"]) == 2
    assert "--keep worst" in capsys.readouterr().err


def test_a_renamed_run_keeps_its_scores_and_its_place(folder: SweepFolder) -> None:
    before = rows(folder)
    rename_run(read_sweep_folder(folder.path), "lion", "lion-3e-3")
    assert not folder.run("lion").path.exists()
    assert rows(folder) == before
    given = {item.run for item in read_sweep_folder(folder.path).scores().scores}
    assert "lion-3e-3" in given and "lion" not in given


def test_a_renamed_row_is_renamed_in_the_sweeps_own_file(folder: SweepFolder) -> None:
    folder.sweep_file.write_text("question: q\npatterns: {base: [], lion: [optimizer=lion]}\n")
    rename_run(read_sweep_folder(folder.path), "lion", "new")
    text = folder.sweep_file.read_text()
    assert "new:" in text and "lion:" not in text and "optimizer=lion" in text


def test_a_renamed_sweep_is_the_same_sweep(folder: SweepFolder) -> None:
    before = rows(folder)
    assert rows(rename_sweep(folder, "other")) == before


def test_names_that_are_taken_are_refused(folder: SweepFolder) -> None:
    sweep = read_sweep_folder(folder.path)
    with pytest.raises(RunFolderError, match="'base' is taken"):
        rename_run(sweep, "lion", "base")
    rename_run(sweep, "lion", "new")
    # The old name is still what its scores say: no other run may take it.
    with pytest.raises(RunFolderError, match="'lion' is taken by new"):
        rename_run(read_sweep_folder(folder.path), "base", "lion")
    (folder.path.parent / "there").mkdir()
    with pytest.raises(RunFolderError, match="is there already"):
        rename_sweep(folder, "there")


def test_a_run_at_work_is_left_alone(folder: SweepFolder) -> None:
    held = FolderLock(folder.run("base").lock_file)
    assert held.acquire()
    assert main(["rm", str(folder.path), "base", "--judged", "--yes"]) == 2
    assert main(["rename", str(folder.path), "base", "x"]) == 2
    assert main(["rename", str(folder.path), "x"]) == 2
    assert "worked on" in disposable(read_sweep_folder(folder.path), ["last"]).spared["base"]
    held.release()
    assert folder.run("base").config_file.exists()


def test_rm_refuses_what_was_judged_and_leaves_what_is_somebodys(
    folder: SweepFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rm", str(folder.path), "base", "--yes"]) == 2
    assert "base was judged by somebody" in capsys.readouterr().err
    (folder.run("base").path / "notes.txt").write_text("mine")
    assert main(["rm", str(folder.path), "base", "broken", "--judged"]) == 0
    assert "would be deleted" in capsys.readouterr().out and folder.run("broken").path.exists()
    assert main(["rm", str(folder.path), "base", "broken", "--judged", "--yes"]) == 0
    assert "notes.txt" in capsys.readouterr().out
    assert [item.name for item in folder.run("base").path.iterdir()] == ["notes.txt"]
    assert not folder.run("broken").path.exists() and folder.scores_file.exists()
    assert "base" not in read_sweep_folder(folder.path).runs


def test_of_a_linked_run_only_the_link_goes(folder: SweepFolder, tmp_path: Path) -> None:
    away = folder.run("broken").path.rename(tmp_path / "away")
    (folder.path / "broken").symlink_to(away)
    assert remove_run(folder.run("broken")) == []
    assert (away / "config.yaml").exists() and not (folder.path / "broken").exists()


def test_list_says_what_lies_where(folder: SweepFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--results", str(folder.path.parent)]) == 0
    out = capsys.readouterr().out
    assert "made" in out and "6 done, 1 diverged" in out
    assert main(["list", str(folder.path)]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("base "))
    assert "2.0 kB" in line and "500 B" in line


def test_another_program_s_folder_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (
        ("app", "db: x\n"),
        ("site", "defaults:\n- run_schema\n"),
        ("ci", '"on": push\nname: x\n'),
    ):
        place = tmp_path / "project" / name
        place.mkdir(parents=True)
        (place / "config.yaml").write_text(text)
        (place / "log.txt").write_text("mine")
    assert main(["rm", str(tmp_path / "project"), "--yes"]) == 2
    assert "there are no results of" in capsys.readouterr().err
    assert len(list((tmp_path / "project").glob("*/*"))) == 6
    assert not SweepFolder(tmp_path / "project").is_sweep()


def test_a_planned_run_is_one_whatever_its_config_is_like(tmp_path: Path) -> None:
    for name, text in (("whole", "name: whole\nnetwork:\n  network_dim: 4\n"), ("cut", ""), ("torn", "\0\0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(text)
    assert [run.name for run in SweepFolder(tmp_path).runs()] == ["cut", "torn", "whole"]


def test_names_that_change_nothing_or_lead_nowhere_are_said(
    folder: SweepFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunFolderError, match="base is called that already"):
        rename_run(read_sweep_folder(folder.path), "base", "base")
    with pytest.raises(RunFolderError, match="'base' is taken: give"):
        rename_run(read_sweep_folder(folder.path), "alpha-16", "base")
    monkeypatch.chdir(folder.path)
    assert rename_sweep(SweepFolder(Path()), "other").path == folder.path.with_name("other")
    assert folder.path.with_name("other").is_dir() and not folder.path.exists()
