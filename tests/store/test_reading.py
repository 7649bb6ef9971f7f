"""The one reader of a sweep's folder: what is renamed, linked, moved, damaged or unreadable."""

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lora_lab import config
from lora_lab.__main__ import main
from lora_lab.errors import RunFolderError
from lora_lab.store import RunFolder, RunRecord, SweepFolder, append_score_line, read_record, write_record
from lora_lab.store.reading import Reader, read_sweep_folder
from lora_lab.store.table import rows
from lora_lab.verdict.gather import evidence
from tests import scored


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    """Seven runs, all but one of them scored."""
    return scored.sweep(tmp_path, images=True)


def twin(sweep: SweepFolder, name: str, of: str, **record: Any) -> None:
    shutil.copytree(sweep.run(of).path, sweep.run(name).path)
    made = config.load(sweep.run(name).config_file, checked=False)
    made.name = name
    config.dump(made, sweep.run(name).config_file)
    write_record(sweep.run(name), RunRecord(same_as=of, fingerprint="f", **record))


def rename(sweep: SweepFolder, old: str, new: str) -> None:
    sweep.run(old).path.rename(sweep.run(new).path)


def test_a_renamed_run_keeps_its_scores_files_and_twins(sweep: SweepFolder) -> None:
    twin(sweep, "double", "alpha-16")
    twin(sweep, "double-again", "double")
    rename(sweep, "alpha-16", "alpha-sixteen")
    read = read_sweep_folder(sweep.path)
    run = read.runs["alpha-sixteen"]
    assert read.called("alpha-16") is run and run.known_as == "alpha-16"
    assert {item.run for item in read.scores().scores} <= set(read.runs)
    for name in ("double", "double-again"):
        assert read.runs[name].worker is run and read.runs[name].same_as == "alpha-sixteen"
        file = read.runs[name].file(run.checkpoints[-1])
        assert file == run.folder.path / "checkpoints/alpha-16-000020.safetensors"
    scores = {row["run"]: row["score"] for row in rows(sweep) if row["tag"] == "000020"}
    assert scores["alpha-sixteen"] == scores["double"] == scores["double-again"] == 60


def test_twins_are_found_by_what_they_are_where_the_name_is_lost(sweep: SweepFolder) -> None:
    twin(sweep, "double", "alpha-16")
    record = read_record(sweep.run("alpha-16"))
    record.fingerprint = "f"
    write_record(sweep.run("alpha-16"), record)
    made = config.load(sweep.run("alpha-16").config_file, checked=False)
    made.name = "somebody-else"
    config.dump(made, sweep.run("alpha-16").config_file)
    rename(sweep, "alpha-16", "whatever")
    assert read_sweep_folder(sweep.path).runs["double"].same_as == "whatever"


@pytest.mark.parametrize("same_as", ["nobody", "lonely", "ring"])
def test_a_twin_of_nobody_says_so(sweep: SweepFolder, same_as: str) -> None:
    twin(sweep, "lonely", "base")
    twin(sweep, "ring", "lonely")
    for name, other in (("lonely", same_as), ("ring", "lonely")):
        write_record(sweep.run(name), RunRecord(same_as=other))
    run = read_sweep_folder(sweep.path).runs["lonely"]
    assert run.status == "cancelled"
    assert f"same experiment as {same_as}, which is not in this folder" in run.reason


def test_names_that_were_swapped_or_copied_are_those_of_training(sweep: SweepFolder) -> None:
    rename(sweep, "base", "aside")
    rename(sweep, "lion", "base")
    rename(sweep, "aside", "lion")
    shutil.copytree(sweep.run("alpha-16").path, sweep.run("a-copy").path)
    read = read_sweep_folder(sweep.path)
    assert read.called("base") is read.runs["lion"] and read.called("lion") is read.runs["base"]
    assert read.called("alpha-16") is read.runs["alpha-16"] and read.called("a-copy") is read.runs["a-copy"]
    assert read.place(("base", "000020")) == ("lion", "000020")
    assert read.place(("gone", "000020")) == ("gone", "000020")


def test_a_linked_run_is_one_like_others(sweep: SweepFolder, tmp_path: Path) -> None:
    elsewhere = tmp_path / "disk" / "moved-there"
    elsewhere.parent.mkdir()
    shutil.move(sweep.run("lion").path, elsewhere)
    sweep.run("lion").path.symlink_to(elsewhere)
    run = read_sweep_folder(sweep.path).runs["lion"]
    assert run.status == "done" and not run.problem
    image = run.file(run.checkpoints[-1].previews[0])
    assert image is not None and image.is_file()
    shutil.rmtree(elsewhere)
    lost = read_sweep_folder(sweep.path).runs["lion"]
    assert lost.status == "failed" and f"is a link to {elsewhere}, which cannot be read" in lost.reason


def damage(text: str | bytes) -> Callable[[RunFolder], None]:
    def write(run: RunFolder) -> None:
        run.run_file.write_bytes(text if isinstance(text, bytes) else text.encode())

    return write


def changed(**values: Any) -> Callable[[RunFolder], None]:
    def write(run: RunFolder) -> None:
        run.run_file.write_text(json.dumps({**json.loads(run.run_file.read_text()), **values}))

    return write


def in_checkpoint(**values: Any) -> Callable[[RunFolder], None]:
    def write(run: RunFolder) -> None:
        found = json.loads(run.run_file.read_text())
        found["checkpoints"][0] |= values
        run.run_file.write_text(json.dumps(found))

    return write


def folder_for(name: str) -> Callable[[RunFolder], None]:
    def write(run: RunFolder) -> None:
        (run.path / name).unlink()
        (run.path / name).mkdir()

    return write


ODD: dict[str, tuple[Callable[[RunFolder], None], str]] = {
    "empty": (damage(""), "is damaged"),
    "cut": (damage('{"status": "do'), "is damaged"),
    "no text": (damage(b"\xff\xfe\x00"), "is damaged"),
    "a list": (damage("[]"), "it must hold keys, got []"),
    "a word": (damage('"done"'), "it must hold keys"),
    "null": (damage("null"), "it must hold keys, got None"),
    "deep": (damage("[" * 100_000), "is damaged"),
    "status": (changed(status=5), "status must be text, got 5"),
    "another status": (changed(status="finished"), "status must be one of planned"),
    "checkpoints": (changed(checkpoints="none"), "checkpoints must be a list, got 'none'"),
    "checkpoint": (changed(checkpoints=[3]), "checkpoints[0] must hold keys, got 3"),
    "half a checkpoint": (changed(checkpoints=[{"tag": "1"}]), "checkpoints[0].file is missing"),
    "seconds": (changed(seconds=[1]), "seconds must be keys, got [1]"),
    "a second": (changed(seconds={"train": "long"}), "seconds.train must be a number"),
    "images": (changed(images="ten"), "images must be a whole number"),
    "same_as": (changed(same_as=None), "same_as must be text"),
    "overrides": (changed(overrides={"a": 1}), "overrides must be a list"),
    "resolved": (changed(resolved=["a"]), "resolved must be keys"),
    "step": (in_checkpoint(step=True), "checkpoints[0].step must be a whole number, got True"),
    "tag": (in_checkpoint(tag=["1"]), "checkpoints[0].tag must be text"),
    "metrics": (in_checkpoint(metrics={"sharp": "high"}), "checkpoints[0].metrics.sharp must be a number"),
    "previews": (in_checkpoint(previews=[{"file": 3}]), "checkpoints[0].previews[0]"),
    "a folder": (folder_for("run.json"), "Is a directory"),
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
def test_a_record_that_cannot_be_read_is_a_run_with_its_reason(sweep: SweepFolder, odd: str) -> None:
    spoil, said = ODD[odd]
    spoil(sweep.run("alpha-16"))
    run = read_sweep_folder(sweep.path).runs["alpha-16"]
    assert run.status == "failed" and said in run.reason and str(run.folder.run_file) in run.reason
    (row,) = (row for row in rows(sweep) if row["run"] == "alpha-16")
    assert row["status"] == "failed" and said in row["reason"]
    found = evidence(sweep)
    assert len(found.scored) == 5 and found.run("alpha-16").usable is None
    assert any("not compared with the others: alpha-16" in text for text in found.gaps)


CONFIGS: dict[str, bytes] = {
    "empty": b"", "binary": b"\xff\xfe\x00\x01", "a list": b"- 1\n", "broken": b"a: [",
    "unknown key": b"colour: red\n", "wrong type": b"network: 5\n",
    "text for a number": b"network: {network_dim: many}\n",
}  # fmt: skip


@pytest.mark.parametrize("odd", CONFIGS)
def test_a_config_that_cannot_be_read_costs_the_run_its_settings_alone(sweep: SweepFolder, odd: str) -> None:
    sweep.run("alpha-16").config_file.write_bytes(CONFIGS[odd])
    run = read_sweep_folder(sweep.path).runs["alpha-16"]
    assert run.status == "done" and run.problem and run.settings == {}
    scores = {row["run"]: row["score"] for row in rows(sweep) if row["tag"] == "000020"}
    assert scores["alpha-16"] == 60
    found = evidence(sweep)
    assert found.run("alpha-16").score is None and "alpha-16" in found.gaps[0]
    assert found.run("base").group == found.run("base-r2").group == "base"


DAMAGED = ({"acting": 5}, {"acting": {}, "inert": [3]}, {"inert": []}, {"acting": ["a"]}, {"acting": None})


@pytest.mark.parametrize("resolved", DAMAGED, ids=str)
def test_damaged_resolved_settings_are_not_made_up_for(sweep: SweepFolder, resolved: dict[str, Any]) -> None:
    changed(resolved=resolved)(sweep.run("alpha-16"))
    found = evidence(sweep)
    assert found.run("alpha-16").score is None and found.run("alpha-16").settings == {}
    assert any("alpha-16: its resolved settings in run.json are damaged" in text for text in found.gaps)


def test_a_run_without_its_config_is_still_there(sweep: SweepFolder) -> None:
    sweep.run("alpha-16").config_file.unlink()
    run = read_sweep_folder(sweep.path).runs["alpha-16"]
    assert run.status == "done" and "config.yaml" in run.problem


def test_a_job_without_a_record_is_planned_and_a_broken_one_failed(sweep: SweepFolder) -> None:
    for name in ("alpha-16", "lion"):
        sweep.run(name).run_file.unlink()
    sweep.run("lion").config_file.write_text("colour: red\n")
    read = read_sweep_folder(sweep.path)
    assert read.runs["alpha-16"].status == "planned"
    assert read.runs["lion"].status == "failed" and "colour" in read.runs["lion"].reason


@pytest.mark.parametrize(
    "file", ["/etc/passwd", "../base/run.json", "a/../../x.png", "", ".", "C:/x.png", "..\\x"]
)
def test_files_stay_within_their_run(sweep: SweepFolder, file: str) -> None:
    record = read_record(sweep.run("base"))
    record.checkpoints[0].file = file
    write_record(sweep.run("base"), record)
    run = read_sweep_folder(sweep.path).runs["base"]
    assert run.file(run.checkpoints[0]) is None


def test_runs_stand_in_the_order_of_their_places(sweep: SweepFolder) -> None:
    wanted = ["lion-16", "base", "broken", "alpha-64", "base-r2", "lion", "alpha-16"]
    for number, name in enumerate(wanted):
        record = read_record(sweep.run(name))
        record.place, record.question = 3 * number, "Really?"
        write_record(sweep.run(name), record)
    for file in (sweep.plan_file, sweep.sweep_file):
        file.unlink()
    read = read_sweep_folder(sweep.path)
    assert list(read.runs) == wanted and read.question == "Really?"


def test_an_earlier_versions_order_and_question_are_in_its_files(sweep: SweepFolder) -> None:
    read = read_sweep_folder(sweep.path)
    assert list(read.runs) == list(scored.RUNS) and read.question == "Does alpha matter?"
    for damaged in ("{", "[]", '{"rows": 3}', '{"rows": [3]}'):
        sweep.plan_file.write_text(damaged)
        sweep.sweep_file.write_text(damaged)
        read = read_sweep_folder(sweep.path)
        assert list(read.runs) == sorted(scored.RUNS) and read.question == ""


def test_only_what_changed_is_read_again(sweep: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from lora_lab.store import reading

    seen: list[str] = []
    monkeypatch.setattr(reading, "read_record", lambda run: seen.append(run.name) or read_record(run))
    monkeypatch.setattr(reading, "_planned_order", lambda _: seen.append("plan") or list(scored.RUNS))
    reader = Reader()
    first = reader.read(sweep)
    assert sorted(seen) == sorted([*scored.RUNS, "plan"])
    seen.clear()
    assert reader.read(sweep) is first and seen == []
    record = read_record(sweep.run("lion"))
    record.status = "failed"
    write_record(sweep.run("lion"), record)
    assert reader.read(sweep).runs["lion"].status == "failed" and seen == ["lion"]
    append_score_line(
        sweep, "score", session="s", rater="ben", run="base", tag="000020", position=0, value=1.0
    )
    assert len(reader.read(sweep).scores().scores) == 13


@pytest.fixture
def as_anybody() -> Iterator[Path]:
    """A folder of one's own, as a user to whom permissions mean something."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        root = os.geteuid() == 0
        if root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            for path in folder.rglob("*"):
                path.chmod(stat.S_IRWXU) if not path.is_symlink() else None


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of POSIX")
def test_folders_that_may_not_be_read(as_anybody: Path) -> None:
    sweep = scored.sweep(as_anybody)
    for folder in (sweep.run("lion").path, sweep.run("lost+found").path, as_anybody / "lost+found"):
        folder.mkdir(exist_ok=True)
        folder.chmod(0)
    sweep.run("base").run_file.chmod(0)
    read = read_sweep_folder(sweep.path)
    assert "lost+found" not in read.runs
    assert (
        read.runs["lion"].status == "failed"
        and "cannot be read: Permission denied" in read.runs["lion"].reason
    )
    assert read.runs["base"].status == "failed" and "Permission denied" in read.runs["base"].reason
    assert {row["run"] for row in rows(sweep)} == set(scored.RUNS)
    assert {run.name for run in evidence(sweep).scored} == {"alpha-16", "alpha-64", "base-r2", "lion-16"}
    assert not SweepFolder(as_anybody / "lost+found").is_sweep() and sweep.is_sweep()
    with pytest.raises(RunFolderError, match="cannot be read: Permission denied"):
        read_sweep_folder(as_anybody / "lost+found")


def test_a_lora_file_that_is_gone_is_named(sweep: SweepFolder, capsys: pytest.CaptureFixture[str]) -> None:
    run = sweep.run("alpha-16")
    (run.path / "checkpoints" / "alpha-16-000020.safetensors").unlink()
    assert read_sweep_folder(sweep.path).runs["alpha-16"].gone == ("000020",)
    told = {row["tag"]: row["flags"] for row in rows(sweep) if row["run"] == "alpha-16"}
    assert told == {"000010": None, "000020": "its LoRA file is gone"}
    assert "1 LoRA file is gone (alpha-16 000020): judged as before" in " ".join(evidence(sweep).notes)
    assert main(["list", str(sweep.path)]) == 0
    assert "alpha-16: 000020 has no LoRA file any more" in capsys.readouterr().out


def test_a_lora_file_that_was_given_up_is_not_gone(sweep: SweepFolder) -> None:
    record = read_record(sweep.run("alpha-16"))
    record.checkpoints[0].discarded = True
    write_record(sweep.run("alpha-16"), record)
    (sweep.run("alpha-16").path / record.checkpoints[0].file).unlink()
    assert read_sweep_folder(sweep.path).runs["alpha-16"].gone == ()
    assert not any("gone" in note for note in evidence(sweep).notes)


@pytest.mark.parametrize("text", ["", "{}\n", "null\n", "[]\n", "# nothing\n"])
def test_an_emptied_config_is_no_run_of_default_settings(sweep: SweepFolder, text: str) -> None:
    sweep.run("alpha-16").config_file.write_text(text, encoding="utf-8")
    run = read_sweep_folder(sweep.path).runs["alpha-16"]
    assert run.config is None and run.problem.endswith("is not a readable config: it holds no keys")
