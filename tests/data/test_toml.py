import json

import pytest
from PIL import Image

from lora_lab.data.image_set import report
from lora_lab.data.settings import BucketSettings, CaptionSettings, SubsetSettings
from lora_lab.data.toml import Defaults, is_dataset_file, plan_file
from lora_lab.errors import ConfigError

DEFAULTS = Defaults(
    BucketSettings((512, 512)), SubsetSettings(captions=CaptionSettings(trigger_word="miko")), batch_size=2
)

KOHYA = """
[general]
shuffle_caption = true
caption_extension = '.txt'
keep_tokens = 1

[[datasets]]
resolution = 64
batch_size = 4
enable_bucket = true
min_bucket_reso = 64
max_bucket_reso = 128
bucket_reso_steps = 64
bucket_no_upscale = false

  [[datasets.subsets]]
  image_dir = './img/10_darius kawasaki person'
  num_repeats = 10
  class_tokens = 'darius kawasaki person'

  [[datasets.subsets]]
  image_dir = 'reg'
  is_reg = true
  class_tokens = 'person'
  keep_tokens = 2

[[datasets]]
resolution = [96, 96]
min_bucket_reso = 32
bucket_reso_steps = 32

  [[datasets.subsets]]
  image_dir = './img/10_darius kawasaki person'
"""


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("img/10_darius kawasaki person", "reg")):
        (tmp_path / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (96, 64), (number, i, 0)).save(tmp_path / name / f"{i}.png")
    return tmp_path


def _plan(folder, text=KOHYA, name="set.toml"):
    (folder / name).write_text(text)
    return plan_file(folder / name, DEFAULTS)


def test_several_datasets_in_one_run(folder):
    plan = _plan(folder)
    assert plan.batch_sizes == [4, 2]
    got = [(i.settings.dataset, i.is_reg, i.repeats, i.caption) for i in plan.items]
    person = "darius kawasaki person"
    assert got == [(0, False, 10, person)] * 3 + [(0, True, 10, "person")] * 3 + [(1, False, 1, "")] * 3
    assert [i.settings.captions.keep_tokens for i in plan.items] == [1] * 3 + [2] * 3 + [1] * 3
    assert all(i.settings.captions.shuffle_caption for i in plan.items)
    assert plan.bucket_table() == [(0, (64, 64), 6, 60), (1, (96, 96), 3, 3)]
    stream = plan.stream(0)
    assert stream.batches_per_epoch == plan.batches_per_epoch() == 15 + 2
    assert {b.draws[0].image // 6 for b in stream.epoch(1)} == {0, 1}


def test_folder_names_say_nothing_here(folder):
    text = "[[datasets]]\nresolution = 64\nmin_bucket_reso = 64\n[[datasets.subsets]]\n"
    plan = _plan(folder, text + "image_dir = 'img/10_darius kawasaki person'\n")
    assert {(i.repeats, i.caption) for i in plan.items} == {(1, "")}


def test_what_the_file_sets_is_in_the_identity(folder):
    one = _plan(folder).identity()
    assert _plan(folder).identity() == one
    assert _plan(folder, KOHYA.replace("keep_tokens = 2", "keep_tokens = 3")).identity() != one
    assert _plan(folder, KOHYA.replace("[96, 96]", "[96, 128]")).identity() != one


def test_the_same_in_json(folder):
    content = {
        "datasets": [
            {"resolution": 64, "min_bucket_reso": 64, "subsets": [{"image_dir": "reg", "num_repeats": 2}]}
        ]
    }
    plan = _plan(folder, json.dumps(content), "set.json")
    assert [i.repeats for i in plan.items] == [2, 2, 2]
    assert is_dataset_file(folder / "set.json") and not is_dataset_file(folder)


def test_a_folder_named_twice_counts_once(folder):
    text = (
        "[[datasets]]\nresolution = 64\nmin_bucket_reso = 64\n"
        + "[[datasets.subsets]]\nimage_dir = 'reg'\n" * 2
    )
    plan = _plan(folder, text)
    assert len(plan.items) == 3 and "named twice" in report(plan.problems)


def test_everything_wrong_in_one_message(folder):
    text = """
    sort = 1
    [general]
    shuffle_captions = true
    [[datasets]]
    resolution = 'big'
    batch_size = 0
    color_aug = true
    cache_info = true
    subsets = [{ image_dir = 'reg', num_repeats = 0, caption_dropout_rate = 1.5 }, { resolution = 3 }]
    [[datasets]]
    """
    with pytest.raises(ConfigError) as caught:
        _plan(folder, text)
    for part in (
        "sort is not known at the top",
        "general.shuffle_captions is unknown; did you mean shuffle_caption?",
        "datasets[0].resolution must be a number of pixels or [width, height], got 'big'",
        "datasets[0].batch_size must be a whole number of at least 1, got 0",
        "datasets[0].color_aug = True has no effect",
        "datasets[0].subsets[0].num_repeats",
        "datasets[0].subsets[0].caption_dropout_rate must be a number from 0 to 1, got 1.5",
        "datasets[0].subsets[1].resolution is unknown",
        "datasets[0].subsets[1] has no image_dir",
        "datasets[1] has no [[datasets.subsets]]",
    ):
        assert part in str(caught.value)
    assert "cache_info" not in str(caught.value)


@pytest.mark.parametrize("text", ["[[", "datasets = 3", "datasets = [3]", "general = 1\ndatasets = []"])
def test_files_of_another_form_are_refused(folder, text):
    with pytest.raises(ConfigError, match=r"set\.toml"):
        _plan(folder, text)


def test_a_missing_file_or_folder_is_named(folder):
    with pytest.raises(ConfigError, match="cannot be read"):
        plan_file(folder / "none.toml", DEFAULTS)
    text = "[[datasets]]\nresolution = 64\nmin_bucket_reso = 64\n[[datasets.subsets]]\nimage_dir = 'gone'\n"
    plan = _plan(folder, text)
    assert "gone: there is no such folder" in report(plan.problems)


def test_limits_are_checked_per_dataset(folder):
    with pytest.raises(ConfigError, match=r"datasets\[1\].*max_bucket_reso"):
        _plan(folder, KOHYA.replace("[96, 96]", "[2048, 96]"))


def test_subsets_without_an_image_and_unread_files_are_named_as_in_folders(folder):
    (folder / "empty").mkdir()
    (folder / "reg" / "x.heic").write_bytes(b"x")
    plan = _plan(folder, KOHYA + "\n  [[datasets.subsets]]\n  image_dir = 'empty'\n")
    text = report(plan.problems)
    assert f"error: {folder / 'empty'}: no images in it" in text
    assert "1 file that is neither image nor caption, not read (x.heic)" in text


@pytest.mark.parametrize("step", [10, 36, 0])
def test_a_bucket_step_that_the_vae_cannot_keep_is_refused(folder, step):
    with pytest.raises(ConfigError, match=rf"bucket_reso_steps must be a multiple of 8, got {step}"):
        _plan(folder, KOHYA.replace("bucket_reso_steps = 64", f"bucket_reso_steps = {step}"))
