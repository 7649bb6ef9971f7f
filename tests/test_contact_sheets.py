"""Contact sheets of runs and sweeps, looked at by their pixels and lines."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lora_lab import contact_sheets
from lora_lab.anchors import anchor_folder, anchor_name
from lora_lab.config import compose, dump
from lora_lab.contact_sheets import Line, run_sheet, sheet, sweep_sheet
from lora_lab.store import (
    Checkpoint,
    Preview,
    RunRecord,
    SweepFolder,
    preview_name,
    read_record,
    write_record,
)

COLOURS = {"one": (200, 30, 30), "two": (30, 200, 30), "base": (30, 30, 200)}


def paint(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (32, 48)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def has(image: Path, colour: tuple[int, int, int]) -> bool:
    pixels = np.asarray(Image.open(image).convert("RGB")).reshape(-1, 3)
    return bool((pixels == colour).all(axis=1).sum() > 1000)


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    """Two runs with one preview each, a double of the first, and one that failed."""
    folder = SweepFolder(tmp_path / "sweep")
    for name in ("one", "two", "double", "failed"):
        run = folder.run(name)
        config = compose(["base_model=demo", "preview.prompts=['a cat']", "preview.seeds=[3]"], checked=False)
        dump(config, run.config_file)
        record = RunRecord("done", overrides=[f"network.network_dim={len(name)}"])
        if name in COLOURS:
            item = Preview(f"previews/000001/{preview_name(0, 3, 1.0)}", 0, 3, 1.0, "a cat")
            paint(run.path / item.file, COLOURS[name])
            record.checkpoints = [
                Checkpoint("000001", "x", 1, 5, 5, 0.5, metrics={"likeness": 61.7}, previews=[item])
            ]
        if name == "double":
            record.same_as = "one"
        if name == "failed":
            record.status, record.reason = "failed", "out of memory"
        write_record(run, record)
    paint(anchor_folder(folder.run("one"), config) / anchor_name(0, 3), COLOURS["base"])
    paint(folder.anchors / "base-0000" / anchor_name(0, 3), (1, 250, 250))
    return folder


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    """The lines that go into sheets."""
    lines: list[Line] = []

    def note(*arguments: Any) -> None:
        lines.extend(arguments[3])
        sheet(*arguments)

    monkeypatch.setattr(contact_sheets, "sheet", note)
    return lines


def test_a_sheet_has_room_for_all(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.png" for name in COLOURS]
    for file, colour in zip(files, COLOURS.values(), strict=True):
        paint(file, colour)
    lines = [Line("a", "words", files[:2], "a warning"), Line("b", "", [files[2], None])]
    sheet(tmp_path / "sheet.png", "title", ["left", "right"], lines)
    image = Image.open(tmp_path / "sheet.png")
    assert (
        image.width > contact_sheets.LABEL_WIDTH + 2 * 128
        and image.height > 2 * contact_sheets.TILE_LONG_SIDE
    )
    assert all(has(tmp_path / "sheet.png", colour) for colour in COLOURS.values())


def test_a_sheet_copes_with_lost_images(tmp_path: Path) -> None:
    sheet(tmp_path / "sheet.png", "x" * 500, ["head"], [Line("y" * 500, "z\n" * 50, [tmp_path / "gone.png"])])
    assert Image.open(tmp_path / "sheet.png").width > contact_sheets.LABEL_WIDTH


def test_a_sweeps_sheet_names_every_row(sweep: SweepFolder, drawn: list[Line]) -> None:
    sweep.plan_file.write_text(
        json.dumps({"rows": [{"name": name} for name in ("two", "one", "double", "failed")]})
    )
    assert sweep_sheet(sweep) == sweep.sheet
    assert [line.label for line in drawn] == ["base model", "two", "one", "double", "failed"]
    lines = {line.label: line for line in drawn}
    assert lines["double"].warning == "same experiment as one"
    assert lines["double"].tiles == lines["one"].tiles and "network.network_dim=6" in lines["double"].words
    assert lines["failed"].warning == "out of memory" and not lines["failed"].tiles
    assert "likeness 62" in lines["one"].words and "epoch 1, step 5" in lines["one"].words
    assert all(has(sweep.sheet, colour) for colour in COLOURS.values())


def test_anchors_of_earlier_settings_are_left_out(sweep: SweepFolder, drawn: list[Line]) -> None:
    sweep_sheet(sweep)
    assert sum(line.label == "base model" for line in drawn) == 1
    assert not has(sweep.sheet, (1, 250, 250))


def test_a_damaged_record_is_a_line_of_its_own(sweep: SweepFolder, drawn: list[Line]) -> None:
    sweep.run("two").run_file.write_text("{")
    sweep_sheet(sweep)
    (line,) = (line for line in drawn if line.label == "two")
    assert "damaged" in line.warning


def test_nothing_to_show(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "sweep")
    assert sweep_sheet(folder) is None
    run_sheet(folder.run("a"), RunRecord())
    assert not folder.run("a").sheet.exists()


def test_a_runs_sheet_has_a_line_per_checkpoint(sweep: SweepFolder, drawn: list[Line]) -> None:
    run = sweep.run("one")
    shown = Checkpoint("000002", "x", 2, 10, 10, flags=["black"])
    for seed, colour in ((3, COLOURS["two"]), (4, COLOURS["base"])):
        item = Preview(f"previews/000002/{preview_name(0, seed, 1.0)}", 0, seed, 1.0, "a cat")
        paint(run.path / item.file, colour)
        shown.previews.append(item)
    empty = Checkpoint("000003", "x", 3, 15, 15)
    run_sheet(run, RunRecord("done", checkpoints=[shown, empty]))
    assert [(line.label, line.warning, len(line.tiles)) for line in drawn] == [("epoch 2", "black", 2)]
    assert has(run.sheet, COLOURS["two"]) and has(run.sheet, COLOURS["base"])


def test_every_runs_images_stand_under_its_own_prompts(sweep: SweepFolder, drawn: list[Line]) -> None:
    run = sweep.run("two")
    record = read_record(run)
    shown = record.checkpoints[0].previews
    for number, text in enumerate(("a dog", "a bird", "a fish")):
        item = Preview(f"previews/000001/p{number + 5}.png", number, 3, 1.0, text)
        paint(run.path / item.file, (200, 200, 30 * number))
        shown.append(item)
    del shown[0]
    write_record(run, record)
    sweep_sheet(sweep)
    lines = {line.label: line for line in drawn}
    assert list(lines["one"].heads) == ["w1 s3 a cat"]
    assert list(lines["two"].heads) == ["w1 s3 a dog", "w1 s3 a bird", "w1 s3 a fish"]
    assert len(lines["two"].tiles) == 3 and all(has(sweep.sheet, (200, 200, 30 * n)) for n in range(3))
    above = contact_sheets._heads_above(["w1 s3 a cat"], drawn)
    by_label = {line.label: list(heads) for line, heads in zip(drawn, above, strict=True)}
    assert by_label["base model"] == ["w1 s3 a cat"] and by_label["double"] == []
    assert by_label["two"] == list(lines["two"].heads), "heads stand again above what has others"


def test_a_line_after_another_ones_heads_has_its_own_again() -> None:
    lines = [
        Line(name, "", [], heads=[head]) for name, head in (("a", "x"), ("b", "x"), ("c", "y"), ("d", "x"))
    ]
    lines.insert(2, Line("images", "", []))
    assert [list(heads) for heads in contact_sheets._heads_above(["x"], lines)] == [
        ["x"],
        [],
        [],
        ["y"],
        ["x"],
    ]
