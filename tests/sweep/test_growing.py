"""A sweep is what lies in its folder, whichever commands put it there, and wherever it lies."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from lora_lab.__main__ import main
from lora_lab.demo.dataset import write_dataset
from lora_lab.store import SweepFolder, append_score_line, read_record
from lora_lab.store import table as results
from lora_lab.sweep import launch, read_sweep
from tests.sweep.trained import AtOnce

SHORT = ["base_model=demo", "dataset=demo", "optimizer=adamw", "train.max_train_steps=2", "preview=off"]
SCORES = {"al16": 40, "al1": 50, "al4": 80, "ref": 60, "batch": 30, "again": 62}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in; runs end at once."""
    engine = AtOnce()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "make_engine", lambda _: engine)
    return tmp_path


def train(sweep: str, name: str, *overrides: str) -> int:
    return main(["train", f"sweep={sweep}", f"name={name}", *overrides, *SHORT, "--quiet"])


def write(path: Path, **values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"base": SHORT, **values}, sort_keys=False))
    return path


def judged(folder: Path, capsys: pytest.CaptureFixture[str], scores: dict[str, int] = SCORES) -> Any:
    """The verdict by a table of scores, without what no two folders have in common."""
    there = {run.name for run in SweepFolder(folder).runs()}
    with open(folder.parent / "scores.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["run", "score"])
        writer.writerows((name, value) for name, value in scores.items() if name in there)
    capsys.readouterr()
    assert main(["verdict", str(folder), "--scores", str(folder.parent / "scores.csv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for run in found["evidence"]["runs"]:
        run["overrides"] = sorted(run["overrides"])
    found["evidence"]["name"] = ""
    return found


def effects(found: Any) -> dict[str, list[tuple[Any, Any, float]]]:
    return {
        item["key"]: [(one["reference"], one["level"], one["difference"]) for one in item["contrasts"]]
        for item in found["settings"]
    }


ALPHAS = {
    "al16": ["network.network_alpha=16"],
    "al1": ["network.network_alpha=1"],
    "al4": ["network.network_alpha=4"],
}


def test_runs_started_one_by_one_are_the_sweep_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, own in ALPHAS.items():
        assert train("grown", name, *own) == 0
    assert main(["sweep", str(write(place / "file.yaml", patterns=ALPHAS)), "--quiet"]) == 0
    grown, whole = (judged(place / "results" / name, capsys) for name in ("grown", "file"))
    assert effects(whole) == {"network.network_alpha": [(16.0, 1.0, 10.0), (16.0, 4.0, 40.0)]}
    assert grown == whole
    assert grown["together"] == [] and grown["evidence"]["gaps"] == []
    kept = read_sweep(place / "results" / "grown" / "sweep.yaml")
    assert [row.name for row in kept.rows] == list(ALPHAS)
    planned = json.loads((place / "results" / "grown" / "plan.json").read_text())
    assert sorted(row["name"] for row in planned["rows"]) == sorted(ALPHAS)


@pytest.mark.parametrize("way", ["later", "alone", "command", "backwards"])
def test_rows_that_come_later_are_the_sweep_file(
    place: Path, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    rows = {"ref": [], "al4": ["network.network_alpha=4"], "batch": ["optimizer.learning_rate=0.02"]}
    assert main(["sweep", str(write(place / "whole.yaml", patterns=rows)), "--quiet"]) == 0
    file = write(place / "parts.yaml", patterns=rows)
    if way == "later":
        write(file, patterns={"ref": []})
        assert main(["sweep", str(file), "--quiet"]) == 0
        write(file, patterns=rows)
        assert main(["sweep", str(file), "--quiet"]) == 0
    elif way == "command":
        assert main(["sweep", str(file), "--only", "ref", "--only", "al4", "--quiet"]) == 0
        assert train("parts", "batch", "optimizer.learning_rate=0.02") == 0
    else:
        for name in list(rows) if way == "alone" else list(rows)[::-1]:
            assert main(["sweep", str(file), "--only", name, "--quiet"]) == 0
    parts, whole = (judged(place / "results" / name, capsys) for name in ("parts", "whole"))
    assert effects(whole).keys() == {"network.network_alpha", "optimizer.learning_rate"}
    assert whole["reference"] == "ref" and parts == whole
    kept = read_sweep(place / "results" / "parts" / "sweep.yaml")
    assert {row.name for row in kept.rows} == set(rows)
    tables = [
        results.to_csv(results.rows(SweepFolder(place / "results" / name), timings=False))
        for name in ("parts", "whole")
    ]
    assert tables[0] == tables[1]


def test_going_on_with_a_folder_of_mixed_commands_changes_nothing(place: Path) -> None:
    file = write(place / "mixed.yaml", question="Which?", patterns={"ref": []})
    assert main(["sweep", str(file), "--quiet"]) == 0
    assert main(["train", "sweep=mixed", "name=bare", "base_model=demo", "dataset=demo", "preview=off",
                 "optimizer=lion", "train.max_train_steps=3", "--quiet"]) == 0  # fmt: skip
    folder = place / "results" / "mixed"
    kept = read_sweep(folder / "sweep.yaml")
    assert kept.question == "Which?" and [row.name for row in kept.rows] == ["ref", "bare"]
    before = {run.name: run.run_file.read_bytes() for run in SweepFolder(folder).runs()}
    assert main(["plan", str(folder), "--json"]) == 0
    assert main(["sweep", str(folder), "--quiet"]) == 0
    statuses = {name: read_record(SweepFolder(folder).run(name)).status for name in before}
    assert statuses == {"ref": "done", "bare": "done"}
    prints = {name: read_record(SweepFolder(folder).run(name)).fingerprint for name in before}
    assert prints == {name: json.loads(data)["fingerprint"] for name, data in before.items()}


def test_another_file_of_the_same_name_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write(place / "x1" / "same.yaml", question="Alpha?", patterns={"a": ["network.network_alpha=2"]})
    other = write(place / "x2" / "same.yaml", question="Batch?", patterns={"b": ["train.train_batch_size=2"]})
    assert main(["sweep", str(one), "--quiet"]) == 0
    kept = (place / "results" / "same" / "sweep.yaml").read_text()
    for command in ("plan", "sweep"):
        capsys.readouterr()
        assert main([command, str(other)]) == 2
        told = capsys.readouterr().err
        assert str(one) in told and str(other) in told and "sweep=same-2" in told
    assert (place / "results" / "same" / "sweep.yaml").read_text() == kept
    assert not (place / "results" / "same" / "b").exists()
    assert main(["sweep", str(other), "sweep=same-2", "--quiet"]) == 0
    assert (place / "results" / "same-2" / "b").is_dir()
    # The same question with other images in a row of the same name is another one, too.
    third = write(place / "x3" / "same.yaml", question="Alpha?", patterns={"a": ["network.network_alpha=3"]})
    assert main(["sweep", str(third), "--quiet"]) == 2


def test_a_file_that_was_moved_or_added_to_is_the_same_one(place: Path) -> None:
    file = write(place / "x1" / "same.yaml", patterns={"a": ["network.network_alpha=2"]})
    assert main(["sweep", str(file), "--quiet"]) == 0
    moved = Path(shutil.move(file, place / "same.yaml"))
    assert main(["sweep", str(moved), "--quiet"]) == 0
    write(moved, patterns={"a": ["network.network_alpha=2"], "b": ["network.network_alpha=3"]})
    assert main(["sweep", str(moved), "--quiet"]) == 0
    assert {run.name for run in SweepFolder(place / "results" / "same").runs()} == {"a", "b"}
    write(
        moved,
        question="Now what?",
        patterns={"a": ["network.network_alpha=2"], "c": ["network.network_alpha=4"]},
    )
    assert main(["sweep", str(moved), "--quiet"]) == 0, "a file that was edited where it lies grows its sweep"
    assert {row.name for row in read_sweep(place / "results" / "same" / "sweep.yaml").rows} == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["name=foo"], "name=... names a single run"),
        (["sweep=a/b"], "cannot be a folder"),
        (["sweep=CON"], "reserved on Windows"),
    ],
)
def test_words_without_effect_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    file = write(place / "demo2.yaml", patterns=ALPHAS)
    assert main(["plan", str(file), *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("key", ["sweep", "name"])
@pytest.mark.parametrize("where", ["base", "row"])
def test_names_in_a_file_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str], key: str, where: str
) -> None:
    values: dict[str, Any] = {"patterns": {"a": [f"{key}=other"] if where == "row" else []}}
    if where == "base":
        values["base"] = [*SHORT, f"{key}=other"]
    assert main(["plan", str(write(place / "named.yaml", **values))]) == 2
    assert f"{key}=... has no effect here" in capsys.readouterr().err


def test_plan_takes_the_name_of_a_folder(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(place / "one.yaml", patterns=ALPHAS)
    assert main(["plan", str(file), "sweep=demo2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(Path("results/demo2").absolute())


OWN = [
    "base_model=demo",
    "optimizer=adamw",
    "train.max_train_steps=2",
    "preview=off",
    "dataset.resolution=64",
]


@pytest.mark.parametrize("way", ["base", "row", "command", "choice"])
def test_relative_paths_mean_the_same_from_every_folder(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    home, away = place / "home", place / "away"
    write_dataset(home / "pics", 2, 1)
    away.mkdir()
    # Other images under the same relative name: taken for them, they would be another experiment.
    write_dataset(away / "pics", 2, 2)
    monkeypatch.chdir(home)
    own = ["dataset=mine"] if way == "choice" else ["dataset.path=pics"]
    words = []
    if way == "choice":
        (home / "conf" / "dataset").mkdir(parents=True)
        (home / "conf" / "dataset" / "mine.yaml").write_text("path: pics\nenable_bucket: false\n")
        words = ["--config-dir", "conf"]
    values = {"base": [*OWN, *(own if way in ("base", "choice") else [])]}
    of_row = own if way == "row" else []
    values["patterns"] = {"a": of_row, "b": ["network.network_alpha=2", *of_row]}
    file = write(home / "paths.yaml", **values)
    words += own if way == "command" else []
    assert main(["sweep", str(file), *words, "--quiet"]) == 0
    folder = home / "results" / "paths"
    monkeypatch.chdir(away)
    capsys.readouterr()
    assert main(["plan", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in found["rows"]] == ["done", "done"], found["rows"][0]["reason"]
    record = read_record(SweepFolder(folder).run("b"))
    assert f"dataset.path={home / 'pics'}" in record.composed
    assert record.resolved["acting"]["dataset.path"] == str(home / "pics")


@pytest.mark.parametrize("table", ["old names", "new names"])
def test_a_renamed_and_a_linked_run_change_nothing(
    place: Path, capsys: pytest.CaptureFixture[str], table: str
) -> None:
    rows = {"ref": [], **ALPHAS, "batch": ["optimizer.learning_rate=0.02"]}
    assert main(["sweep", str(write(place / "demo.yaml", question="Which?", patterns=rows)), "--quiet"]) == 0
    folder = place / "results" / "demo"
    before = judged(folder, capsys)
    (folder / "al1").rename(folder / "aa1")
    (place / "disk").mkdir()
    shutil.move(folder / "al4", place / "disk" / "moved")
    (folder / "al4").symlink_to(place / "disk" / "moved")
    for name in ("plan.json", "sweep.yaml"):
        (folder / name).unlink()
    scores = place / "given.csv"
    names = {"al1": "aa1"} if table == "new names" else {}
    scores.write_text("run,score\n" + "".join(f"{names.get(key, key)},{SCORES[key]}\n" for key in rows))
    capsys.readouterr()
    assert main(["verdict", str(folder), "--scores", str(scores), "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert effects(after) == effects(before) and after["reference"] == before["reference"] == "ref"
    assert after["evidence"]["question"] == "Which?" and after["missing"] == {}


def test_the_files_of_a_renamed_run_are_found_by_its_record(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(place / "demo.yaml", patterns={"ref": [], "al1": ["network.network_alpha=1"]})
    assert main(["sweep", str(file), "--quiet"]) == 0
    folder = place / "results" / "demo"
    (folder / "al1").rename(folder / "one")
    write(file, patterns={"ref": [], "one": ["network.network_alpha=1"]})
    capsys.readouterr()
    assert main(["plan", str(file), "--json"]) == 0
    statuses = {row["name"]: row["status"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert statuses == {"ref": "done", "one": "done"}, "nothing is trained again for a name"


def trained_files(folder: SweepFolder) -> dict[str, int]:
    """When the LoRAs of a sweep were written, by their names."""
    return {str(file): file.stat().st_mtime_ns for file in folder.path.glob("*/checkpoints/*")}


def test_starting_again_tells_earlier_runs_what_readers_need(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"ref": [], **ALPHAS}
    file = write(place / "demo.yaml", question="Which?", patterns=rows)
    assert main(["sweep", str(file), "--quiet"]) == 0
    folder = SweepFolder(place / "results" / "demo")
    before = judged(folder.path, capsys)
    for name in ("ref", "al4"):
        kept = json.loads(folder.run(name).run_file.read_text())
        for key in ("resolved", "composed", "place", "question", "source"):
            del kept[key]
        folder.run(name).run_file.write_text(json.dumps(kept))
    mixed = judged(folder.path, capsys)
    assert "ref, al4: an earlier version trained it" in mixed["evidence"]["gaps"][0]
    weights = trained_files(folder)
    assert main(["sweep", str(file), "--quiet"]) == 0
    assert judged(folder.path, capsys) == before
    assert trained_files(folder) == weights, "nothing was trained again"


@pytest.mark.parametrize("change", [{"value": "70"}, {"at": "2026-01-01T00:00:00"}])
def test_a_damaged_score_ends_no_sweep(place: Path, change: dict[str, Any]) -> None:
    assert train("scored", "one") == 0
    folder = SweepFolder(place / "results" / "scored")
    tag = read_record(folder.run("one")).checkpoints[-1].tag
    append_score_line(folder, "score", session="s", rater="anna", run="one", tag=tag, position=0, value=70)
    good = json.loads(folder.scores_file.read_text())
    with open(folder.scores_file, "a") as file:
        file.write(json.dumps({**good, "id": "x", **change}) + "\n")
    assert train("scored", "two", "network.network_alpha=2") == 0
    rows = {row["run"]: row["score"] for row in results.rows(folder)}
    assert rows == {"one": 70, "two": None} and (folder.path / "table.csv").is_file()
