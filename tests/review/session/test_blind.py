"""What a blind session shows, and in which order."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy.stats import spearmanr

from lora_lab.review.browse.runs import SweepCache
from lora_lab.review.session.blind import (
    alike,
    anonymous,
    candidates,
    common_shots,
    last_of_each_run,
    shots_of,
    shuffled,
    stage,
)
from lora_lab.store import SweepFolder, read_record, write_record
from tests.review import made_up

PLACES = [(f"run{number}", "000010") for number in range(30)]


def test_every_checkpoint_comes_once_and_a_share_twice() -> None:
    order = shuffled(PLACES, 0.1, seed=5)
    assert [step[:2] for step in order if not step[2]] != PLACES
    assert Counter(step[:2] for step in order if not step[2]) == Counter(PLACES)
    repeated = [step[:2] for step in order if step[2]]
    assert len(repeated) == len(set(repeated)) == 3


@pytest.mark.parametrize("seed", range(20))
def test_a_repeat_comes_well_after_the_first_time(seed: int) -> None:
    order = shuffled(PLACES, 0.3, seed)
    for position, (run, tag, repeat) in enumerate(order):
        if repeat:
            assert position - order.index((run, tag, False)) > 5


def test_the_order_is_decided_by_the_seed_and_not_by_the_plan() -> None:
    assert shuffled(PLACES, 0.1, 5) == shuffled(PLACES, 0.1, 5)
    places = [
        [step[:2] for step in shuffled(PLACES, 0, seed)].index(place)
        for seed in range(40)
        for place in PLACES
    ]
    # Over many seeds, a checkpoint's place in the session says nothing of its place in the plan.
    assert abs(spearmanr(places, [*range(30)] * 40).statistic) < 0.1


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_few_checkpoints_are_not_repeated(count: int) -> None:
    order = shuffled(PLACES[:count], 1.0, 1)
    assert sorted(order) == sorted((*place, False) for place in PLACES[:count])


@pytest.mark.parametrize("count", [8, 9, 12, 24, 30])
@pytest.mark.parametrize("share", [0.1, 0.25, 1.0])
def test_repeats_are_hidden_at_every_size(count: int, share: float) -> None:
    for seed in range(60):
        order = shuffled(PLACES[:count], share, seed)
        base = [step[:2] for step in order if not step[2]]
        repeats = [number for number, step in enumerate(order) if step[2]]
        assert len(repeats) == min(round(share * count), count // 2, count - 5) > 0
        for position in repeats:
            first = order.index((*order[position][:2], False))
            assert position - first - 1 >= 5, "items lie between"
            assert base.index(order[position][:2]) < count / 2, "its original is of the first part"


def test_equal_pixels_are_one_item_whatever_their_files_say(sweep: SweepFolder) -> None:
    one, other = (sweep.run(name).path / "previews" for name in ("base-run", "batch-four"))
    for tag, name in (("000010", "p0-s7-w1.png"), ("000010", "p1-s7-w1.png"), ("000005", "p0-s7-w1.png")):
        with Image.open(one / tag / name) as image:
            # Written by another encoder, and with another text.
            image.convert("RGB").save(other / tag / name, compress_level=1)
    read = SweepCache().read(sweep)
    places, shots = candidates(read), [(0, 7, 1.0), (1, 7, 1.0)]
    found = alike(read, places, shots)
    assert found["base-run", "000010"] == [("batch-four", "000010")]
    # One image of two is not enough.
    assert found["batch-four", "000005"] == [] and ("batch-four", "000010") not in found
    assert len(found) == len(places) - 1 and list(found) == [place for place in places if place in found]
    assert alike(read, places, shots[:1])["base-run", "000005"] == [("batch-four", "000005")]


@pytest.mark.parametrize("damage", ["missing", "empty", "text"])
def test_images_that_cannot_be_read_are_never_alike(sweep: SweepFolder, damage: str) -> None:
    for run in ("base-run", "batch-four"):
        file = sweep.run(run).path / "previews/000010/p0-s7-w1.png"
        file.unlink() if damage == "missing" else file.write_text("" if damage == "empty" else "no image")
    read = SweepCache().read(sweep)
    found = alike(read, candidates(read), [(0, 7, 1.0), (1, 7, 1.0)])
    assert len(found) == 8 and not any(found.values())


def test_an_image_loses_all_that_names_it(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("parameters", "Lora: secret-run")
    info.add_itxt("more", "secret-run")
    pixels = np.random.default_rng(0).integers(0, 256, (48, 32, 3), dtype=np.uint8)
    file = tmp_path / "p.png"
    Image.fromarray(pixels).save(file, pnginfo=info, dpi=(300, 300), icc_profile=b"secret-run")
    data = anonymous(file, (32, 48))
    assert b"secret" not in data
    assert {data[at : at + 4] for at in range(len(data)) if data[at : at + 4].isalpha()} >= {b"IHDR", b"IDAT"}
    for chunk in (b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"iCCP", b"pHYs", b"tIME"):
        assert chunk not in data
    (tmp_path / "again.png").write_bytes(data)
    with Image.open(tmp_path / "again.png") as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)
        assert image.info == {}


def test_all_images_have_one_size(tmp_path: Path) -> None:
    made_up.write_image(tmp_path / "wide.png", 1, (64, 32))
    (tmp_path / "out.png").write_bytes(anonymous(tmp_path / "wide.png", (32, 48)))
    with Image.open(tmp_path / "out.png") as image:
        assert (image.size, image.mode) == ((32, 48), "RGB")
        assert image.getpixel((0, 0)) == (128, 128, 128)


def test_only_checkpoints_with_images_of_runs_of_their_own_are_offered(sweep: SweepFolder) -> None:
    places = candidates(SweepCache().read(sweep))
    assert {run for run, _ in places} == set(made_up.RUNS)
    assert len(places) == 8
    assert last_of_each_run(places) == [(run, "000010") for run in dict(places)]


def test_black_ones_are_left_out_unless_asked_for(sweep: SweepFolder) -> None:
    run = sweep.run("lion-fast")
    record = read_record(run)
    record.checkpoints[1].flags = ["black"]
    write_record(run, record)
    read = SweepCache().read(sweep)
    assert ("lion-fast", "000010") not in candidates(read)
    assert ("lion-fast", "000010") in candidates(read, unusable=True)


def test_a_checkpoint_that_lacks_an_image_is_not_compared_with_the_others(sweep: SweepFolder) -> None:
    run = sweep.run("batch-four")
    record = read_record(run)
    del record.checkpoints[0].previews[1]
    write_record(run, record)
    read = SweepCache().read(sweep)
    places = candidates(read)
    shots, kept = common_shots(read, places, [0, 1], 1.0)
    assert shots == [(0, 7, 1.0), (1, 7, 1.0)]
    assert set(places) - set(kept) == {("batch-four", "000005")}
    assert shots_of(read, ("batch-four", "000005")) == {(0, 7, 1.0)}
    assert common_shots(read, places, [0], 1.0) == ([(0, 7, 1.0)], places)
    assert common_shots(read, places, [0], 0.3) == ([], [])


def test_all_items_share_one_set_of_base_images(sweep: SweepFolder) -> None:
    # A run on another base model has another base image, which would tell it apart.
    other = made_up.write_run(sweep, "other-model", ["base_model.path=/models/other.safetensors"])
    shown = made_up.checkpoint(other, "000010", 90)
    made_up.write_run(
        sweep, "other-model", ["base_model.path=/models/other.safetensors"], checkpoints=[shown]
    )
    made_up.anchors(sweep, other)
    read = SweepCache().read(sweep)
    places = last_of_each_run(candidates(read))
    found = stage(read, places, [(0, 7, 1.0), (1, 7, 1.0)])
    own = {file for *_, file in read.runs["other-model"].base_images()}
    assert None not in found.bare and not set(found.bare) & own
    assert len(found.training) == 3
    assert found.size == (32, 48)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_other_kinds_of_images_become_plain_rgb(tmp_path: Path, mode: str) -> None:
    made_up.write_image(tmp_path / "rgb.png", 3)
    with Image.open(tmp_path / "rgb.png") as image:
        other = image.convert(mode)
    info = PngInfo()
    info.add_text("parameters", "secret-run")
    other.save(tmp_path / "p.png", pnginfo=info)
    (tmp_path / "out.png").write_bytes(anonymous(tmp_path / "p.png", (32, 48)))
    assert b"secret" not in (tmp_path / "out.png").read_bytes()
    with Image.open(tmp_path / "out.png") as image:
        assert (image.mode, image.info) == ("RGB", {})
        np.testing.assert_array_equal(np.asarray(image), np.asarray(other.convert("RGB")))


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"no image at all"])
def test_a_broken_file_is_an_error_that_is_expected(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "p.png").write_bytes(data)
    with pytest.raises(OSError):
        anonymous(tmp_path / "p.png", None)


def test_a_lora_that_was_trained_elsewhere_is_shown_with_the_others(sweep: SweepFolder) -> None:
    given = {"trainer": "sd-scripts", "settings": {}}
    run = made_up.write_run(sweep, "theirs", external=given)
    shown = made_up.checkpoint(run, "000010", 170)
    made_up.write_run(sweep, "theirs", external=given, checkpoints=[shown])
    read = SweepCache().read(sweep)
    places = candidates(read)
    assert ("theirs", "000010") in places
    shots, kept = common_shots(read, places, [0, 1], 1.0)
    assert kept == places and len(shots) == 2
