"""The table that is derived from run folders."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lora_lab import config
from lora_lab.__main__ import main
from lora_lab.errors import RunFolderError
from lora_lab.store import (
    Checkpoint,
    Preview,
    RunRecord,
    SweepFolder,
    append_score_line,
    read_record,
    write_record,
)
from lora_lab.store import table as results
from lora_lab.verdict.gather import evidence


def write_run(sweep: SweepFolder, name: str, overrides: Sequence[str] = (), **record: Any) -> None:
    run = sweep.run(name)
    made = config.compose(["base_model=sd15", *overrides], checked=False)
    made.name = name
    config.dump(made, run.config_file)
    write_record(run, RunRecord(**record))


def checkpoint(tag: str, **values: Any) -> Checkpoint:
    return Checkpoint(
        **{"tag": tag, "file": f"checkpoints/x-{tag}", "epoch": 1, "step": 10, "samples": 60} | values
    )


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    folder = SweepFolder(tmp_path / "demo")
    previews = [
        Preview("a.png", 0, 7, 1.0, flags=["flat"], metrics={"likeness": 20.0, "sharp": 1.0}),
        Preview("b.png", 1, 7, 1.0, flags=["flat", "black"], metrics={"likeness": 30.0, "sharp": None}),
    ]
    write_run(
        folder,
        "lion",
        ["optimizer=lion", "network.network_alpha=3", "optimizer.args.weight_decay=0.3"],
        status="done",
        images=30,
        seconds={"train": 7.5, "load": 1.0},
        checkpoints=[
            checkpoint("000001"),
            checkpoint("000002", epoch=2, step=20, loss=0.25, previews=previews),
        ],
    )
    write_run(folder, "broken", ["optimizer=adamw"], status="failed", reason="out of memory, alas")
    write_run(folder, "adamw", ["optimizer=adamw"], status="done", checkpoints=[checkpoint("000001")])
    write_run(folder, "twin", ["optimizer=adamw", "train.train_batch_size=2"], same_as="lion", reason="why")
    return folder


def named(rows: list[results.Row], run: str) -> list[results.Row]:
    return [row for row in rows if row["run"] == run]


def test_one_row_per_checkpoint_and_one_for_a_run_without(sweep: SweepFolder) -> None:
    rows = results.rows(sweep)
    assert [row["run"] for row in rows] == ["adamw", "broken", "lion", "lion", "twin", "twin"]
    first, second = named(rows, "lion")
    assert (first["tag"], second["tag"]) == ("000001", "000002")
    assert second["exposures"] == 2.0
    assert second["loss"] == 0.25
    assert second["metric.likeness"] == 25.0
    assert second["metric.sharp"] == 1.0
    assert second["flags"] == "flat, black, its LoRA file is gone"
    assert second["run_seconds.train"] == 7.5
    assert second["file"] == "lion/checkpoints/x-000002"
    (broken,) = named(rows, "broken")
    assert (broken["status"], broken["reason"], broken["tag"]) == ("failed", "out of memory, alas", None)


def test_columns_are_the_settings_that_differ_in_a_stable_order(sweep: SweepFolder) -> None:
    rows = results.rows(sweep)
    settings = results.setting_columns(rows)
    assert "network.network_alpha" in settings and "optimizer.name" in settings
    assert "network.network_dim" not in settings and "name" not in settings
    assert "optimizer.args.weight_decay" in settings, "an argument has a column of its own"
    assert settings == sorted(
        settings, key=lambda key: list(results.rows(sweep, all_settings=True)[0]).index(key)
    )
    assert all(list(row) == list(rows[0]) for row in rows)
    everything = results.setting_columns(results.rows(sweep, all_settings=True))
    left_out = set(config.settings()) - set(everything) - set(results.PLACE)
    assert left_out <= {"optimizer.args", "lr_scheduler.args", "engine.slurm"}


def test_a_row_that_is_another_experiment_carries_its_numbers(sweep: SweepFolder) -> None:
    twin, lion = named(results.rows(sweep), "twin"), named(results.rows(sweep), "lion")
    assert [row["same_as"] for row in twin] == ["lion", "lion"]
    for mine, other in zip(twin, lion, strict=True):
        for key in ("status", "loss", "metric.likeness", "file", "step"):
            assert mine[key] == other[key]
    assert twin[0]["train.train_batch_size"] == 2, "its settings are its own"


def test_the_plan_decides_the_order(sweep: SweepFolder) -> None:
    sweep.plan_file.write_text(json.dumps({"rows": [{"name": "twin"}, {"name": "lion"}]}))
    order = list(dict.fromkeys(row["run"] for row in results.rows(sweep)))
    assert order == ["twin", "lion", "adamw", "broken"]


def test_without_timings_two_tables_of_the_same_work_are_equal(sweep: SweepFolder) -> None:
    rows = results.rows(sweep, timings=False)
    assert not set(results.TIMINGS) & set(rows[0])


def test_csv_keeps_none_apart_from_the_word_none(sweep: SweepFolder) -> None:
    write_run(sweep, "odd", ["optimizer=adamw", "train.training_comment=None"], status="done")
    text = results.to_csv(results.rows(sweep, all_settings=True))
    read = {row["run"]: row for row in csv.DictReader(io.StringIO(text))}
    assert read["odd"]["train.training_comment"] == "None"
    assert read["odd"]["train.max_train_steps"] == "null"
    assert read["odd"]["loss"] == ""
    assert read["odd"]["train.keep_state"] == "false"
    assert json.loads(read["odd"]["preview.seeds"]) == [1234]
    assert read["broken"]["reason"] == "out of memory, alas"


def test_pandas_reads_the_csv_and_the_frame_alike(sweep: SweepFolder) -> None:
    import pandas

    rows = results.rows(sweep, all_settings=True)
    frame = results.frame(rows)
    assert list(frame.columns) == list(rows[0])
    assert frame["network.network_alpha"].tolist() == [row["network.network_alpha"] for row in rows]
    read = pandas.read_csv(io.StringIO(results.to_csv(rows)), keep_default_na=False)
    assert read["run"].tolist() == [row["run"] for row in rows]
    assert read["optimizer.name"].tolist() == [row["optimizer.name"] for row in rows]


def test_json_holds_the_same_rows(sweep: SweepFolder, tmp_path: Path) -> None:
    rows = results.rows(sweep)
    results.write(rows, tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text()) == rows


def test_parquet_says_what_is_missing_or_is_written(sweep: SweepFolder, tmp_path: Path) -> None:
    rows, file = results.rows(sweep, all_settings=True), tmp_path / "t.parquet"
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        with pytest.raises(RunFolderError, match="pyarrow"):
            results.write(rows, file)
        assert not file.exists()
    else:
        results.write(rows, file)
        assert parquet.read_table(file).column("run").to_pylist() == [row["run"] for row in rows]


def test_another_extension_is_refused(sweep: SweepFolder, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"\.csv, \.json or \.parquet"):
        results.write(results.rows(sweep), tmp_path / "t.xlsx")


def test_a_run_whose_worker_is_gone_is_shown_as_interrupted(sweep: SweepFolder) -> None:
    write_run(sweep, "lost", status="running", step=7)
    (row,) = named(results.rows(sweep), "lost")
    assert row["status"] == "cancelled" and "goes on" in row["reason"] and row["step"] == 7


def test_damaged_files_are_rows_too(sweep: SweepFolder) -> None:
    sweep.run("adamw").run_file.write_text("{")
    sweep.run("lion").config_file.write_text("optimizer: {name: [")
    rows = results.rows(sweep)
    assert "damaged" in named(rows, "adamw")[0]["reason"]
    assert [row["status"] for row in named(rows, "lion")] == ["done", "done"]
    assert "optimizer.name" not in rows[0], "what is left does not differ in it"


def test_numbers_that_are_not_finite_are_missing(sweep: SweepFolder) -> None:
    made = [checkpoint("000001", loss=float("nan"))]
    write_run(sweep, "nan", status="diverged", reason="loss is nan", checkpoints=made)
    (row,) = named(results.rows(sweep), "nan")
    assert row["loss"] is None


def test_the_loss_of_a_single_step_stands_nowhere(sweep: SweepFolder) -> None:
    """A row's loss is the mean up to its checkpoint, as in the gallery; without one there is none."""
    write_run(sweep, "begun", status="running", step=3, loss=0.008)
    (row,) = named(results.rows(sweep), "begun")
    assert row["loss"] is None and row["step"] == 3


def give(sweep: SweepFolder, run: str, tag: str, rater: str, value: float, **more: Any) -> str:
    return append_score_line(
        sweep, "score", session="s", rater=rater, run=run, tag=tag, position=0, value=value, **more
    )


def test_a_strict_rater_is_put_on_the_scale_of_the_others_as_in_the_verdict(sweep: SweepFolder) -> None:
    for rater, value in (("anna", 80), ("ben", 60)):
        give(sweep, "lion", "000001", rater, value)
    give(sweep, "lion", "000002", "ben", 50)
    first, second = named(results.rows(sweep), "lion")
    assert first["score"] == pytest.approx(200 / 3, abs=1e-4), (
        "two scores are ben's, so the scale is more his"
    )
    assert 50 < second["score"] < 60, "ben gives 20 less, and anna did not see it"
    (run,) = (run for run in evidence(sweep).runs if run.name == "lion")
    assert [row["score"] for row in (first, second)] == pytest.approx(
        [item.human for item in run.checkpoints], abs=1e-4
    )


def test_scores_stand_beside_their_checkpoint(sweep: SweepFolder) -> None:
    give(sweep, "lion", "000002", "anna", 80)
    give(sweep, "lion", "000002", "anna", 60, repeat=True)
    give(sweep, "lion", "000002", "ben", 40)
    gone = give(sweep, "lion", "000001", "ben", 99)
    append_score_line(sweep, "cancel", session="s", rater="ben", cancels=gone)
    rows = results.rows(sweep)
    first, second = named(rows, "lion")
    assert (second["score"], second["score_n"], second["raters"]) == (55.0, 3, 2), "raters count alike"
    assert (first["score"], first["score_n"], first["raters"]) == (None, None, None)
    assert named(rows, "broken")[0]["score"] is None
    assert not set(results.SCORES) & set(results.setting_columns(rows))


def test_scores_of_one_experiment_under_two_names_count_together(sweep: SweepFolder) -> None:
    give(sweep, "lion", "000002", "anna", 80)
    give(sweep, "twin", "000002", "ben", 40)
    rows = results.rows(sweep)
    assert [named(rows, name)[1]["score"] for name in ("lion", "twin")] == [60.0, 60.0]


@pytest.fixture
def replaced(sweep: SweepFolder) -> SweepFolder:
    """Two scores of lion at epoch 2, one of which is of an image that another prompt's has replaced."""
    record = read_record(sweep.run("lion"))
    record.checkpoints[1].previews = [Preview("p.png", 0, 7, 1.0, "hat", drawn="hat 7 1")]
    write_record(sweep.run("lion"), record)
    for rater, drawn in (("anna", "smile 7 1"), ("ben", "hat 7 1")):
        give(sweep, "lion", "000002", rater, 50, shots=[[0, 7, 1.0]], drawn=[drawn])
    return sweep


def test_scores_of_replaced_images_are_counted_where_there_are_any(replaced: SweepFolder) -> None:
    rows = results.rows(replaced)
    assert [row["score_replaced"] for row in named(rows, "lion")] == [None, 1]
    assert named(rows, "twin")[1]["score_replaced"] == 1, "it shows what lion was given"
    assert named(rows, "adamw")[0]["score_replaced"] is None
    only = results.rows(replaced, raters=["ben"])
    assert "score_replaced" not in only[0]


def test_the_table_says_that_images_were_replaced(
    replaced: SweepFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for form in ((), ("--json",), ("--csv",)):
        assert main(["table", str(replaced.path), *form]) == 0
        said = capsys.readouterr()
        assert "1 of 2 scores were given to images that others have replaced since" in said.err
        assert "replaced since" not in said.out
    assert main(["table", str(replaced.path), "--rater", "ben"]) == 0
    assert "replaced" not in capsys.readouterr().err


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no runs"):
        results.rows(SweepFolder(tmp_path))
