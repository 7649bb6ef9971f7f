"""Rows, columns and what stands where there is no image."""

from pathlib import Path

import pytest

from lora_lab.review.browse.matrix import Matrix, View, choices, view_of
from lora_lab.review.browse.runs import Sweep, SweepCache
from lora_lab.run.lock import FolderLock
from lora_lab.store import SweepFolder
from tests.review.made_up import write_run
from tests.review.troubled import REASON, make_troubled


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return SweepCache().read(make_troubled(tmp_path_factory.mktemp("results") / "bad"))


def drawn(sweep: Sweep, **query: str) -> Matrix:
    known = choices(sweep)
    return Matrix(sweep, view_of(query, known), known)


def kinds(matrix: Matrix) -> dict[str, list[str]]:
    return {
        row.value.key: ["+".join(tile.kind for tile in cell.tiles) for cell in row.cells]
        for row in matrix.rows(0, 99)
    }


def test_runs_and_checkpoints_are_drawn_unless_something_else_is_asked_for(sweep: Sweep) -> None:
    matrix = drawn(sweep)
    assert (matrix.view.rows, matrix.view.columns) == ("run", "checkpoint")
    assert [value.label for value in matrix.columns] == ["epoch 5", "epoch 10"]
    assert dict(matrix.view.fixed)["prompt"] == "0" and dict(matrix.view.fixed)["strength"] == "1"


def test_every_run_has_a_row_and_every_gap_a_kind(sweep: Sweep) -> None:
    assert kinds(drawn(sweep)) == {
        "good": ["image", "image"],
        "diverged": ["image", "ended"],
        "failed": ["ended", "ended"],
        "stopped": ["image", "ended"],
        "black": ["image", "image"],
        "waiting": ["waiting", "waiting"],
        "orphan": ["image", "ended"],
        "twin": ["image", "image"],
    }


def test_tiles_say_why(sweep: Sweep) -> None:
    words = {
        row.value.key: [tile.words for cell in row.cells for tile in cell.tiles]
        for row in drawn(sweep).rows(0, 99)
    }
    assert words["diverged"] == [("diverged",), ("diverged", REASON)]
    assert words["failed"][0] == ("failed", "out of memory")
    assert words["black"] == [("black",), ("black",)]
    assert words["twin"][0] == ("same experiment as good",)
    assert words["waiting"][0] == ("planned",)
    assert words["orphan"][1][0] == "cancelled" and "its worker is gone" in words["orphan"][1][1]


def test_a_run_whose_worker_holds_its_lock_is_running(tmp_path: Path) -> None:
    folder = make_troubled(tmp_path / "live")
    sweep_cache = SweepCache()
    before = sweep_cache.read(folder)
    lock = FolderLock(folder.run("orphan").lock_file)
    assert lock.acquire()
    now = sweep_cache.read(folder)
    lock.release()
    assert now.version != before.version and now.live
    assert kinds(drawn(now))["orphan"] == ["image", "waiting"]


def test_settings_that_differ_are_axes_and_cells_stack_the_rest(sweep: Sweep) -> None:
    assert "optimizer.name" in choices(sweep) and "loss.huber_c" not in choices(sweep)
    matrix = drawn(sweep, rows="optimizer.name", columns="train.seed")
    runs = {
        (row.value.key, cell.column): [tile.run.name for tile in cell.tiles]
        for row in matrix.rows(0, 99)
        for cell in row.cells
    }
    every = [name for names in runs.values() for name in names]
    assert sorted(every) == sorted(sweep.runs), "each run stands in exactly one cell"
    assert runs["lion", "9"] == ["twin"] and runs["lion", "2"] == []
    assert len(next(names for names in runs.values() if "good" in names)) == 5


def test_a_stack_shows_its_first_image(sweep: Sweep) -> None:
    matrix = drawn(sweep, rows="train.train_batch_size", columns="optimizer.learning_rate")
    leads = [cell.lead for row in matrix.rows(0, 99) for cell in row.cells if len(cell.tiles) > 1]
    assert leads and all(lead is not None and lead.kind == "image" for lead in leads)


def test_checkpoints_that_are_not_drawn_mean_each_runs_last(sweep: Sweep) -> None:
    matrix = drawn(sweep, columns="prompt")
    assert matrix.view.fixed["checkpoint"] == "last"
    tiles = {row.value.key: row.cells[1].tiles[0] for row in matrix.rows(0, 99)}
    assert (tiles["good"].tag, tiles["good"].prompt) == ("000010", 1)
    assert tiles["diverged"].tag == "000005" and tiles["diverged"].words == ("diverged",)


def test_filters_leave_runs_out_and_shrink_the_drawn_axis(sweep: Sweep) -> None:
    matrix = drawn(sweep, rows="train.seed", columns="checkpoint", **{"optimizer.name": "lion"})
    assert {run.name for run in matrix.runs} == {"black", "twin"}
    assert "2" not in [value.key for value in matrix.row_values]


@pytest.mark.parametrize(
    "query",
    [
        {"rows": "nothing", "columns": "../.."},
        {"rows": "run", "columns": "run"},
        {"prompt": "99", "seed": "x", "strength": "nan", "checkpoint": "never"},
    ],
)
def test_nonsense_is_answered_with_what_is_sensible(sweep: Sweep, query: dict[str, str]) -> None:
    matrix = drawn(sweep, **query)
    assert matrix.view.rows == "run" and matrix.view.columns in ("checkpoint", "prompt")
    assert any("image" in row for row in kinds(matrix).values())


def test_a_view_survives_its_address(sweep: Sweep) -> None:
    known = choices(sweep)
    view = view_of({"rows": "optimizer.name", "columns": "prompt", "train.seed": "2"}, known)
    assert view_of(dict(view.query()), known) == view
    assert ("prompt", "1") not in view.query() and ("train.seed", "2") in view.query()
    assert ("train.seed", "2") not in view.query(**{"train.seed": ""})
    assert isinstance(view, View)


def test_only_files_that_changed_are_read_again(tmp_path: Path, monkeypatch) -> None:
    from lora_lab.store import reading

    folder = make_troubled(tmp_path / "bad")
    sweep_cache = SweepCache()
    before = sweep_cache.read(folder)
    read: list[str] = []
    original = reading.read_record
    monkeypatch.setattr(reading, "read_record", lambda run: read.append(run.name) or original(run))
    assert sweep_cache.read(folder) is before and read == []
    file = folder.run("waiting").run_file
    file.write_text(file.read_text().replace('"planned"', '"failed"'))
    after = sweep_cache.read(folder)
    assert read == ["waiting"] and after.version != before.version
    assert (
        after.runs["waiting"].status == "failed" and after.runs["good"].record is before.runs["good"].record
    )


def test_a_damaged_record_and_a_damaged_config_are_rows(tmp_path: Path) -> None:
    folder = make_troubled(tmp_path / "bad")
    folder.run("good").run_file.write_text("{")
    folder.run("black").config_file.write_text("- no\n- config")
    matrix = drawn(SweepCache().read(folder))
    found = {row.value.key: row.cells[0].tiles[0] for row in matrix.rows(0, 99)}
    by_setting = drawn(SweepCache().read(folder), rows="optimizer.name", columns="train.seed").rows(0, 99)
    assert sum(len(cell.tiles) for row in by_setting for cell in row.cells) == len(found)
    assert found["good"].kind == "ended" and "is damaged" in found["good"].words[1]
    assert found["black"].kind == "image"


def test_images_outside_the_folder_have_no_name(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    folder = make_troubled(tmp_path / "results" / "bad")
    sweep_cache = SweepCache()
    good = folder.run("good")
    file = next(iter(sweep_cache.read(folder).runs["good"].previews.values())).file
    secret.write_bytes((good.path / file).read_bytes())
    record = good.run_file.read_text()
    good.run_file.write_text(record.replace(file, "../../../secret.png", 1))
    assert secret not in [path.resolve() for path in sweep_cache.read(folder).images.values()]
    (good.path / file).unlink()
    (good.path / file).symlink_to(secret)
    good.run_file.write_text(record)
    now = sweep_cache.read(folder)
    name = next(name for name, path in now.images.items() if path == good.path / file)
    assert now.file(name) is None
    assert sum(now.file(other) is not None for other in now.images) == len(now.images) - 1


def test_an_image_that_was_rendered_again_has_another_name(tmp_path: Path) -> None:
    folder = make_troubled(tmp_path / "bad")
    sweep_cache = SweepCache()
    before = set(sweep_cache.read(folder).images)
    file = folder.run("good").run_file
    file.write_text(file.read_text().replace('"preview_fingerprint": ""', '"preview_fingerprint": "new"'))
    after = set(sweep_cache.read(folder).images)
    assert len(before & after) == len(before) - 4 and len(after) == len(before)


def test_training_images_stand_there_once(tmp_path: Path) -> None:
    folder = make_troubled(tmp_path / "bad")
    other = folder.anchors / "pictures-ffffffff"
    other.mkdir()
    (other / "0.png").write_bytes((folder.anchors / "pictures-00aa11bb" / "0.png").read_bytes())
    assert len(SweepCache().read(SweepFolder(folder.path)).training) == 3


def test_a_sweep_that_has_not_begun_shows_what_every_run_waits_for(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "new")
    for name in ("one", "two"):
        write_run(folder, name, status="planned")
    for query in ({}, {"columns": "prompt"}, {"rows": "strength", "columns": "seed"}):
        matrix = drawn(SweepCache().read(folder), **query)
        tiles = [tile for row in matrix.rows(0, 9) for cell in row.cells for tile in cell.tiles]
        assert {(tile.run.name, tile.kind) for tile in tiles} == {("one", "waiting"), ("two", "waiting")}


def test_base_models_of_one_name_are_rows_of_their_own(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "two")
    for name in ("one", "two"):
        path = f"base_model.path=/models/{name}/x.safetensors"
        write_run(folder, name, [path, "dataset.path=/data/miko"], status="planned")
    matrix = drawn(SweepCache().read(folder), rows="base_model.path")
    shown = [
        (row.value.label, [tile.run.name for cell in row.cells for tile in cell.tiles])
        for row in matrix.rows(0, 9)
    ]
    assert shown == [("one/x.safetensors", ["one"]), ("two/x.safetensors", ["two"])]
