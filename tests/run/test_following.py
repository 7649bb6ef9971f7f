"""Runs that are the beginning of a longer one: what they take from it is what training would have made."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from lora_lab import files
from lora_lab.errors import RunFolderError
from lora_lab.lora_files.disk import read_lora
from lora_lab.run import together
from lora_lab.run import training as working
from lora_lab.run.events import Events
from lora_lab.run.following import open_followers
from lora_lab.run.state import Saved
from lora_lab.run.task import Task
from lora_lab.run.work import PackWork
from lora_lab.store import RunFolder, read_record, write_record
from lora_lab.store.steps import read_steps
from lora_lab.store.table import rows as table_rows
from tests.run.bench import Bench, Stop

LONG = ("train.max_train_epochs=6", "train.save_every_n_epochs=3", "train.save_state_every_n_steps=4")
SHORT = ("train.max_train_epochs=2",)
"""Ten of the long run's thirty steps, with a checkpoint after every epoch."""
MIDDLE = ("train.max_train_epochs=1", "dataset.repeats=3", "train.max_train_steps=12",
          "preview.prompts=['{trigger}, hat']", "preview.seeds=[5]")  # fmt: skip
"""Ends inside its first epoch, which is three of the long run's, and has previews of its own."""


def jobs(bench: Bench) -> list[RunFolder]:
    """A long run and two that are its beginnings, as launching writes them."""
    found = [bench.write("long", *LONG), bench.write("short", *SHORT), bench.write("middle", *MIDDLE)]
    for folder in found:
        record = read_record(folder)
        record.adopters = ["short", "middle"] if folder.name == "long" else []
        record.prefix_of = "" if folder.name == "long" else "long"
        write_record(folder, record)
    return found


def go(leaders: Sequence[RunFolder], stop: Stop | None = None) -> None:
    """A worker on the leaders, which finds by itself who follows them."""
    tasks = [task for folder in leaders if (task := Task.open(folder))]
    everyone = [*tasks, *open_followers(tasks)]
    try:
        PackWork(everyone, len(tasks), Events(None), stop or Stop()).run()
    finally:
        for task in everyone:
            task.lock.release()


@pytest.fixture(scope="module")
def apart(images: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> list[RunFolder]:
    """The short runs, each trained alone."""
    bench = Bench(images, cache, tmp_path_factory.mktemp("apart") / "results" / "sweep")
    folders = [bench.write("short", *SHORT), bench.write("middle", *MIDDLE)]
    for folder in folders:
        bench.work([folder])
    return folders


def assert_the_same(adopted: RunFolder, alone: RunFolder, *, rendered_live: bool = True) -> None:
    own, other = read_record(adopted), read_record(alone)
    assert own.status == "done" and own.fingerprint == other.fingerprint
    assert [item.tag for item in own.checkpoints] == [item.tag for item in other.checkpoints]
    for one, two in zip(own.checkpoints, other.checkpoints, strict=True):
        assert (one.epoch, one.step, one.samples, one.loss) == (two.epoch, two.step, two.samples, two.loss)
        tensors, about = read_lora(adopted.path / one.file)
        expected, wanted = read_lora(alone.path / two.file)
        assert tensors.keys() == expected.keys()
        assert all(torch.equal(tensors[key], expected[key]) for key in tensors)
        for key in ("ss_steps", "ss_epoch", "ss_num_epochs", "ss_max_train_steps", "lora_lab.fingerprint"):
            assert about[key] == wanted[key], key
        mine, theirs = ({**json.loads(text["lora_lab.config"]), "name": ""} for text in (about, wanted))
        assert mine == theirs
        assert [item.file for item in one.previews] == [item.file for item in two.previews] != []
        for shown, reference in zip(one.previews, two.previews, strict=True):
            made, expected_image = adopted.path / shown.file, alone.path / reference.file
            # From a file, whose numbers are rounded, a pixel may be another one.
            assert not rendered_live or pixels(made) == pixels(expected_image)
    logs = [[{**row, "seconds": 0} for row in read_steps(folder)] for folder in (adopted, alone)]
    assert logs[0] == logs[1] and len(logs[0]) == own.total_steps
    assert (own.step, own.samples, own.exposures_per_image) == (
        other.step,
        other.samples,
        other.exposures_per_image,
    )


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.tobytes()


def test_what_is_taken_is_what_training_would_have_made(bench: Bench, apart: list[RunFolder]) -> None:
    long, short, middle = jobs(bench)
    go([long])
    for adopted, alone in zip((short, middle), apart, strict=True):
        assert_the_same(adopted, alone)
        assert read_record(adopted).prefix_of == "long" and not read_record(adopted).seconds["train"]
    assert [item.tag for item in read_record(long).checkpoints] == ["000003", "000006"]
    shown = {row["run"]: row["prefix_of"] for row in table_rows(bench.sweep)}
    assert shown == {"long": None, "short": "long", "middle": "long"}


@pytest.mark.slow
def test_stopped_and_gone_on_with_it_is_the_same(bench: Bench, apart: list[RunFolder]) -> None:
    long, short, middle = jobs(bench)
    go([long], Stop(16))
    record = read_record(long)
    assert record.status == "cancelled" and 0 < record.step < read_record(middle).total_steps
    go([long])
    assert read_record(long).status == "done" and read_record(long).resumed_at_steps == [record.step]
    for adopted, alone in zip((short, middle), apart, strict=True):
        assert_the_same(adopted, alone)


class Killed(BaseException):
    """Ends the worker as kill -9 does: nothing is put in order."""


@pytest.mark.slow
def test_killed_after_a_state_they_are_saved_again(
    bench: Bench, apart: list[RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    long, short, middle = jobs(bench)
    save = together.save_state

    def save_and_die(*given: Any) -> Saved:
        saved = save(*given)
        if saved.step == 8:
            raise Killed
        return saved

    monkeypatch.setattr(together, "save_state", save_and_die)
    with pytest.raises(Killed):
        go([long])
    monkeypatch.undo()
    assert [item.tag for item in read_record(short).checkpoints] == ["000001"]
    go([long])
    assert read_record(long).resumed_at_steps == [8]
    for adopted, alone in zip((short, middle), apart, strict=True):
        assert_the_same(adopted, alone)


@pytest.mark.slow
def test_from_the_files_of_a_run_that_is_done(bench: Bench, apart: list[RunFolder]) -> None:
    long = bench.write("long", "train.max_train_epochs=3")
    bench.work([long])
    short = bench.write("short", *SHORT)
    record = read_record(short)
    record.prefix_of = "long"
    write_record(short, record)
    go([short])
    assert_the_same(short, apart[0], rendered_live=False)
    assert read_record(short).prefix_of == "long"
    seconds = {item.step: item.seconds for item in read_record(long).checkpoints}
    assert [item.seconds for item in read_record(short).checkpoints] == [seconds[5], seconds[10]]


@pytest.mark.slow
def test_a_follower_that_asks_for_other_weights_is_trained(bench: Bench) -> None:
    long, short, _ = jobs(bench)
    bench.write("short", *SHORT, "optimizer.learning_rate=2e-2")
    go([long])
    record = read_record(short)
    assert record.status == "done" and record.prefix_of == "" and record.seconds["train"] > 0


def test_a_leader_that_diverges_ends_those_it_had_before_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, short, middle = jobs(bench)
    step = working.PackTrainer.step

    def diverging(self: working.PackTrainer) -> list[working.Record]:
        return [
            replace(item, ended="diverged", reason="the loss is not finite") if item.step == 11 else item
            for item in step(self)
        ]

    monkeypatch.setattr(working.PackTrainer, "step", diverging)
    go([long])
    assert [read_record(folder).status for folder in (long, short, middle)] == [
        "diverged",
        "done",
        "diverged",
    ]
    assert read_record(middle).reason == "the loss is not finite"


@pytest.mark.slow
def test_a_leader_that_cannot_be_written_leaves_the_others_to_themselves(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, short, middle = jobs(bench)
    save = working.save_lora_of

    def full(task: Task, *rest: object) -> object:
        if task.name == "long":
            raise RunFolderError("no space left on device")
        return save(task, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(working, "save_lora_of", full)
    bench.write("middle", "train.max_train_epochs=4")  # longer than the leader gets
    go([long])
    assert [read_record(folder).status for folder in (long, short, middle)] == ["cancelled", "done", "done"]
    assert read_record(middle).prefix_of == "" and read_record(short).prefix_of == "long"


@pytest.mark.slow
def test_a_follower_that_cannot_be_written_costs_the_leader_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, short, _ = jobs(bench)
    append = files.append_line

    def full(path, value, **rest: bool) -> None:
        if path.parent.name == "short" and value.get("step") == 3:
            raise RunFolderError("no space left on device")
        append(path, value, **rest)

    monkeypatch.setattr("lora_lab.store.steps.append_line", full)
    go([long])
    assert read_record(long).status == "done" and read_record(short).status == "cancelled"
    monkeypatch.undo()
    go([short])
    record = read_record(short)
    assert record.status == "done" and record.prefix_of == "", "the leader kept no step 5: it is trained"
