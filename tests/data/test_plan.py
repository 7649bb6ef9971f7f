import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lora_lab.data.captions import process
from lora_lab.data.image_set import refuse_errors
from lora_lab.data.plan import plan_folder
from lora_lab.data.settings import BucketSettings, CaptionSettings, SubsetSettings
from lora_lab.errors import DataError

SETTINGS = SubsetSettings(captions=CaptionSettings(trigger_word="miko"))
BUCKETS = BucketSettings((64, 64), True, 32, 128, 32)


def _fill(folder: Path, sizes: list[tuple[int, int]], start: int = 0) -> Path:
    folder.mkdir(parents=True)
    for i, (width, height) in enumerate(sizes):
        values = np.random.default_rng(start + i).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(values).save(folder / f"{i:02}.png")
    return folder


def test_a_folder_becomes_batches(tmp_path):
    _fill(tmp_path / "set" / "3_miko girl", [(96, 64), (64, 96), (64, 64), (128, 32)])
    _fill(tmp_path / "set" / "1_place", [(64, 64)], 50)
    plan = plan_folder(tmp_path / "set", SETTINGS, BUCKETS, 2)
    refuse_errors(plan.problems)
    assert [row[2:] for row in plan.bucket_table()] == [(1, 3), (3, 7), (1, 3)]
    stream = plan.stream(5)
    assert plan.batches_per_epoch() == stream.batches_per_epoch == 2 + 4 + 2
    shown = Counter(d.image for b in stream.epoch(1) for d in b.draws)
    assert [shown[i] for i in range(5)] == [i.repeats for i in plan.items]
    for batch in stream.epoch(1):
        assert {plan.assignments[d.image].bucket for d in batch.draws} == {batch.bucket}


def test_regularisation_images_match_the_training_draws(tmp_path):
    _fill(tmp_path / "set" / "4_miko girl", [(64, 64)] * 9)
    _fill(tmp_path / "reg" / "2_girl", [(64, 64)] * 5, 50)
    plan = plan_folder(tmp_path / "set", SETTINGS, BUCKETS, 1, reg_folder=tmp_path / "reg")
    reg = [i for i in plan.items if i.is_reg]
    assert [i.repeats for i in reg] == [8, 7, 7, 7, 7] and plan.train_images() == 9
    assert plan.batches_per_epoch() == 72
    # they are of the class, not of the subject
    assert {process(i.caption, i.settings.captions, random.Random(0), 1) for i in reg} == {"girl"}
    assert process(plan.items[0].caption, plan.items[0].settings.captions, random.Random(0), 1) == "miko girl"


def test_repeats_of_the_run_do_not_touch_regularisation(tmp_path):
    _fill(tmp_path / "set" / "4_miko", [(64, 64)] * 2)
    _fill(tmp_path / "reg" / "1_girl", [(64, 64)] * 9, 50)
    settings = SubsetSettings(repeats=2)
    plan = plan_folder(tmp_path / "set", settings, BUCKETS, 1, reg_folder=tmp_path / "reg")
    assert Counter((i.is_reg, i.repeats) for i in plan.items) == {(False, 2): 2, (True, 1): 4}


def test_identity_follows_what_is_trained_on(tmp_path):
    _fill(tmp_path / "set" / "4_miko", [(64, 64)] * 2)
    _fill(tmp_path / "reg" / "1_girl", [(64, 64)] * 2, 50)
    alone = plan_folder(tmp_path / "set", SETTINGS, BUCKETS, 1)
    again = plan_folder(tmp_path / "set", SETTINGS, BUCKETS, 4)
    with_reg = plan_folder(tmp_path / "set", SETTINGS, BUCKETS, 1, reg_folder=tmp_path / "reg")
    assert alone.identity() == again.identity() != with_reg.identity()


def test_all_errors_come_in_one_report(tmp_path):
    folder = _fill(tmp_path / "set" / "4_miko", [(64, 64), (20, 64)])
    (folder / "bad.png").write_bytes(b"x")
    settings = BucketSettings((64, 64), True, 32, 128, 32, bucket_no_upscale=True)
    plan = plan_folder(tmp_path / "set", SETTINGS, settings, 1, reg_folder=tmp_path / "none")
    with pytest.raises(DataError) as caught:
        refuse_errors(plan.problems)
    for part in (
        "3 problems",
        "bad.png: not an image",
        "01.png: 20x64 leaves less",
        "none: there is no such folder",
    ):
        assert part in str(caught.value)


def test_the_fewer_images_are_among_the_more(tmp_path):
    folder = _fill(tmp_path / "2_zz girl", [(64, 64)] * 8)

    def kept(most: int, seed: int = 0) -> set[str]:
        settings = SubsetSettings(max_images=most, max_images_seed=seed)
        found = plan_folder(folder.parent, settings, BUCKETS, 1)
        assert len(found.items) == len(found.assignments)
        assert found.stream(0).samples_per_epoch == 2 * len(found.items)
        return {item.path.name for item in found.items}

    sizes = [kept(most) for most in (2, 5, 8, 9, 0)]
    assert [len(names) for names in sizes] == [2, 5, 8, 8, 8]
    assert sizes[0] < sizes[1] < sizes[2]
    assert kept(5) == kept(5) != kept(5, seed=1)


def test_regularisation_images_match_the_images_that_are_kept(tmp_path):
    folder = _fill(tmp_path / "train" / "3_zz girl", [(64, 64)] * 4)
    reg = _fill(tmp_path / "reg" / "1_girl", [(64, 64)] * 5, start=40)
    settings = SubsetSettings(max_images=2)
    found = plan_folder(folder.parent, settings, BUCKETS, 1, reg_folder=reg.parent)
    assert Counter(item.is_reg for item in found.items)[False] == 2
    assert sum(item.repeats for item in found.items if item.is_reg) == 6
