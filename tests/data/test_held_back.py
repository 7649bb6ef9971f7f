"""Which images are held back: by content, per folder, kohya's count, and never on both sides."""

import math
from dataclasses import replace

import pytest
from PIL import Image

from lora_lab.data.held_back import divide, problems
from lora_lab.data.plan import plan_folder
from lora_lab.data.settings import BucketSettings, SubsetSettings

BUCKETS = BucketSettings((64, 64), min_bucket_reso=64)


@pytest.fixture
def folder(tmp_path):
    for number, (name, count) in enumerate((("2_a", 7), ("1_b", 5))):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.new("RGB", (64, 64), (number, i, 9)).save(tmp_path / name / f"{i}.png")
    return tmp_path


def planned(folder, split, seed=0, **more):
    return plan_folder(
        folder, SubsetSettings(validation_split=split, validation_seed=seed), BUCKETS, 1, **more
    )


@pytest.mark.parametrize("split", [0.0, 0.1, 0.2, 0.25, 0.5, 0.9])
def test_each_folder_keeps_the_peers_number(folder, split):
    plan = planned(folder, split)
    held = [item for item, _ in plan.validation]
    for name, count in (("2_a", 7), ("1_b", 5)):
        train = math.ceil(count * (1 - split) - 1e-9)
        assert sum(item.folder.name == name for item in plan.items) == train
        assert sum(item.folder.name == name for item in held) == count - train
    assert not {item.sha256 for item in held} & {item.sha256 for item in plan.items}
    assert all(place.bucket == (64, 64) for _, place in plan.validation)


def test_thirty_images_and_a_tenth_is_three(tmp_path):
    (tmp_path / "1_a").mkdir()
    for i in range(30):
        Image.new("RGB", (64, 64), (i, 0, 0)).save(tmp_path / "1_a" / f"{i}.png")
    assert len(planned(tmp_path, 0.1).validation) == 3


def test_the_choice_follows_the_seed_and_the_bytes_alone(folder, tmp_path_factory):
    def choice(place, seed=0):
        return {item.sha256 for item, _ in planned(place, 0.4, seed).validation}

    assert choice(folder) == choice(folder)
    assert len({frozenset(choice(folder, seed)) for seed in range(5)}) > 1
    renamed = tmp_path_factory.mktemp("renamed")
    for sub in ("2_a", "1_b"):
        (renamed / sub).mkdir()
        for file in (folder / sub).iterdir():
            (renamed / sub / f"z{9 - int(file.stem)}.png").write_bytes(file.read_bytes())
    assert choice(renamed) == choice(folder)


def test_an_image_held_back_is_trained_on_nowhere(folder):
    held = {item.path for item, _ in planned(folder, 0.4).validation}
    for path in held:  # a copy of each in the other folder
        other = folder / ("1_b" if path.parent.name == "2_a" else "2_a")
        (other / f"copy {path.name}").write_bytes(path.read_bytes())
    plan = planned(folder, 0.4)
    digests = [item.sha256 for item, _ in plan.validation]
    assert len(digests) == len(set(digests))
    assert not set(digests) & {item.sha256 for item in plan.items}


def test_regularisation_images_stay(folder, tmp_path_factory):
    reg = tmp_path_factory.mktemp("reg")
    (reg / "1_person").mkdir()
    for i in range(4):
        Image.new("RGB", (64, 64), (i, i, i)).save(reg / "1_person" / f"{i}.png")
    plan = planned(folder, 0.5, reg_folder=reg)
    assert sum(item.is_reg for item in plan.items) == 4
    assert not any(item.is_reg for item, _ in plan.validation)


def test_what_is_left_decides_the_identity(folder):
    whole, some, others = planned(folder, 0.0), planned(folder, 0.2), planned(folder, 0.2, seed=1)
    assert len({plan.identity() for plan in (whole, some, others)}) == 3
    assert planned(folder, 0.2).identity() == some.identity()


def test_holding_back_nothing_is_an_error_with_the_way_out(folder):
    items = planned(folder, 0.0).items
    asked = [replace(i, settings=replace(i.settings, validation_split=0.01)) for i in items]
    train, held = divide(asked)
    assert held == [] and len(train) == 12
    (problem,) = problems(train, held)
    assert problem.severity == "error"
    assert "train.validation_split=0.01 holds back none of 7 images; set it to 0.15" in str(problem)
    assert problems(items, []) == []
