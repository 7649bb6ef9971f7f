"""A run whose previews show nothing any more ends at that checkpoint, alone, with the reason."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from PIL import Image

from lora_lab.files import read_lines
from lora_lab.preview import Shot
from lora_lab.run import previews
from lora_lab.store import RunFolder, RunRecord, read_record, write_record
from tests import tiny
from tests.run.bench import Bench
from tests.run.test_following import go

RUINED = "preview.prompts=['ruined']"
Colour = tuple[int, int, int]


@pytest.fixture
def paint(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has previews of the prompt `ruined` come out in one colour; with `base` the base model's as well."""
    real = previews.render

    def choose(*colours: Colour, base: bool = False) -> None:
        def render(model: Any, pack: Any, shots: Sequence[Shot], settings: Any) -> Iterator[Image.Image]:
            images = real(model, pack, shots, settings)
            for number, (shot, image) in enumerate(zip(shots, images, strict=True)):
                one = shot.prompt == "ruined" and (base or shot.slot >= 0 and shot.strength != 0)
                yield Image.new("RGB", image.size, colours[number % len(colours)]) if one else image

        monkeypatch.setattr(previews, "render", render)

    return choose


BLACK, GREY = (0, 0, 0), (90, 90, 90)


def losses(run: RunFolder) -> list[float]:
    return [line["loss"] for line in read_lines(run.steps_file)]


def test_a_run_that_renders_black_ends_there_and_its_mates_go_on(
    bench: Bench, paint: Callable[..., None]
) -> None:
    paint(BLACK)
    one, mate = bench.write("one", RUINED), bench.write("mate", "train.seed=2")
    bench.work([one, mate])
    record = read_record(one)
    assert (record.status, record.step, len(record.checkpoints)) == ("diverged", 5, 1)
    assert record.reason == (
        "previews black at epoch 1: all 1, and none of the base model's; preview.stop_black=false trains on"
    )
    assert record.checkpoints[0].flags == ["black"] and one.sheet.is_file() and one.saved_states() == [5]
    assert read_record(mate).status == "done"

    told_to = bench.write("told-to", RUINED, "preview.stop_black=false"), bench.write("again", "train.seed=2")
    bench.work(told_to)
    record = read_record(told_to[0])
    assert (record.status, record.step, record.checkpoints[0].flags) == ("done", 10, ["black"])
    assert losses(mate) == losses(told_to[1]), "bit for bit"

    bench.write("one", RUINED, "preview.stop_black=false")
    bench.work([one])
    record = read_record(one)
    assert (record.status, record.reason, record.step, record.resumed_at_steps) == ("done", "", 10, [5])


@pytest.mark.parametrize(
    ("extra", "colours", "words"),
    [
        (["preview.seeds=[3,4]"], [GREY, BLACK], "black or of one flat colour at epoch 1: all 2"),
        (["preview.strengths=[0,0.5,1]"], [BLACK], "black at epoch 1: all 2"),
        (["train.save_every_n_steps=4"], [BLACK], "black at step 4: all 1"),
    ],
    ids=["both", "strengths", "steps"],
)
def test_what_counts_as_nothing_and_where(
    bench: Bench, paint: Callable[..., None], extra: list[str], colours: list[Colour], words: str
) -> None:
    paint(*colours)
    (record,) = bench.run("one", extra=[RUINED, *extra])
    assert record.status == "diverged" and record.reason.startswith(f"previews {words}, and none of")


@pytest.mark.parametrize("why", ["no-anchors", "base", "trained-on", "another-prompt", "last"])
def test_it_goes_on_where(bench: Bench, paint: Callable[..., None], why: str) -> None:
    """Nobody can tell, the black may be meant, an image shows something, or all is trained."""
    paint(BLACK, base=why == "base")
    extra = {
        "no-anchors": ["preview.anchors=false"],
        "another-prompt": ["preview.prompts=['ruined','{trigger}']"],
        "last": ["train.max_train_epochs=1"],
    }.get(why, [])
    if why == "trained-on":
        folder = bench.sweep.path.parent / "meant" / "1_zz girl"
        folder.mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (32, 32), (number, 0, 0)).save(folder / f"{number}.png")
        extra = [f"dataset.path='{folder.parent}'"]
    (record,) = bench.run("one", extra=[RUINED, *extra])
    assert record.status == "done" and record.step == (5 if why == "last" else 10)
    assert (record.checkpoints[0].flags == ["black"]) == (why != "another-prompt" and why != "base")


def test_one_that_takes_its_weights_from_a_longer_one_ends_alone(
    bench: Bench, paint: Callable[..., None]
) -> None:
    paint(BLACK)
    long = bench.write("long", "train.max_train_epochs=3", "train.save_every_n_epochs=3")
    short = bench.write("short", RUINED)
    write_record(long, RunRecord(adopters=["short"]))
    write_record(short, RunRecord(prefix_of="long"))
    go([long])
    assert (read_record(short).status, read_record(short).step) == ("diverged", 5)
    assert (read_record(long).status, read_record(long).step) == ("done", 15)


@pytest.mark.parametrize("own", ["preview.prompts=['fine']", "preview.stop_black=false"])
def test_a_longer_one_that_ends_so_leaves_those_that_look_otherwise(
    bench: Bench, paint: Callable[..., None], own: str
) -> None:
    paint(BLACK)
    long = bench.write("long", RUINED, "train.max_train_epochs=3")
    short = bench.write("short", RUINED, own, "train.save_every_n_epochs=2")
    write_record(long, RunRecord(adopters=["short"]))
    write_record(short, RunRecord(prefix_of="long"))
    go([long])
    assert (read_record(long).status, read_record(long).step) == ("diverged", 5)
    record = read_record(short)
    assert (record.status, record.step, record.prefix_of) == ("done", 10, "")
    assert [line["step"] for line in read_lines(short.steps_file)] == list(range(1, 11))


def test_it_ends_there_also_where_further_base_models_come_after_training(
    bench: Bench, paint: Callable[..., None]
) -> None:
    paint(BLACK)
    further = f"preview.base_model=['{tiny.folder('sd1', 1)}']"
    (record,) = bench.run("one", extra=[RUINED, further])
    assert (record.status, record.step) == ("diverged", 5)
    assert [len(item.previews) for item in record.checkpoints] == [2]
