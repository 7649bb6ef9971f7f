"""What a plan says of its images: per folder, per bucket, and what is cut."""

from pathlib import Path

import pytest

from lora_lab.config import compose
from lora_lab.data.summary import summary
from lora_lab.training_data import gather
from tests.data.test_folder import save


def planned(root: Path, *words: str):
    own = [f"dataset.path='{root}/img'", f"cache='{root}/cache'", "train.max_train_steps=1"]
    return summary(gather(compose(["base_model=sd15", *own, *words], checked=False)).plan)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name, size in (("a", (512, 512)), ("b", (600, 900)), ("c", (600, 900))):
        save(tmp_path / "img" / "10_miko" / f"{name}.png", size)
    save(tmp_path / "img" / "3_neko" / "d.png", (4000, 500))
    return tmp_path


def test_folders_and_buckets_are_counted(images):
    found = planned(images)
    assert [(Path(f.folder).name, f.use, f.images, f.repeats, f.draws) for f in found.folders] == [
        ("10_miko", "training", 3, 10, 30), ("3_neko", "training", 1, 3, 3),
    ]  # fmt: skip
    rows = [((b.width, b.height), b.images, b.draws) for b in found.buckets]
    assert rows == [((384, 640), 2, 20), ((512, 512), 1, 10), ((1024, 256), 1, 3)]
    assert found.buckets[-1].most_cut == "d.png" and found.buckets[-1].cut == 0.5
    assert found.to_json()["folders"][0]["images"] == 3


def test_the_final_caption_of_an_image_is_said(images):
    """Who takes over settings with another's trigger word sees it before the own captions."""
    (images / "img" / "10_miko" / "a.txt").write_text("red hat, mikocat")
    words = [
        "dataset.trigger_word=mikocat",
        "dataset.caption_suffix=', score_9'",
        "dataset.shuffle_caption=true",
    ]
    first, second = planned(images, *words, "dataset.caption_dropout_rate=0.5").folders
    assert (first.captioned, first.caption, first.trigger_added) == ("a.png", "red hat, mikocat , score_9", 2)
    assert (second.captioned, second.caption, second.trigger) == (
        "d.png",
        "mikocat, neko , score_9",
        "mikocat",
    )
    assert second.trigger_added == second.images == 1
    assert planned(images).folders[1].caption == "neko" and not planned(images).folders[1].trigger_added


def test_regularisation_and_held_back_images_are_counted_apart(images):
    save(images / "reg" / "1_girl" / "r.png", (512, 512))
    save(images / "val" / "v.png", (512, 512))
    words = (f"dataset.reg_path='{images}/reg'", f"dataset.validation_path='{images}/val'")
    uses = {Path(f.folder).name: (f.use, f.images, f.draws) for f in planned(images, *words).folders}
    assert uses["1_girl"] == ("regularisation", 1, 33)
    assert uses["val"] == ("validation", 1, 0)


def test_repeats_that_overrule_a_folders_name_are_said(images):
    words = [f"dataset.path='{images}/img'", "dataset.repeats=3", "train.max_train_steps=1"]
    told = gather(compose(["base_model=sd15", *words], checked=False)).problems
    assert [p.what for p in told if "repeats" in p.what] == [
        "its name says 10 repeats, dataset.repeats=3 counts"
    ]


def test_the_copiers_recipe_trains_at_the_size_that_its_guide_had(tmp_path):
    save(tmp_path / "img" / "a.png", (600, 900))
    (bucket,) = planned(tmp_path, "recipe=copier").buckets
    assert (bucket.width, bucket.height) == (576, 896)


def test_the_demos_own_folder_is_not_warned_of(tmp_path):
    config = compose([f"cache='{tmp_path}/cache'"], checked=False)
    assert config.dataset.repeats == 3 and gather(config).problems == []


def test_the_demos_repeats_over_a_folders_name_are_said(tmp_path):
    save(tmp_path / "own" / "15_miko cat" / "a.png", (64, 64))
    words = ["base_model=demo", "dataset=demo", f"dataset.path='{tmp_path}/own'"]
    told = gather(compose(words, checked=False)).problems
    assert [p.what for p in told if "repeats" in p.what] == [
        "its name says 15 repeats, dataset.repeats=3 counts"
    ]
