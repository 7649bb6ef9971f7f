"""Equal samples for folders and buckets, to the sample, whatever the files are called."""

from pathlib import Path

import pytest

from lora_lab.config import compose
from lora_lab.data.balance import balanced
from lora_lab.data.buckets import assign
from lora_lab.data.image_set import CaptionedImage
from lora_lab.data.settings import BucketSettings, SubsetSettings
from lora_lab.effective import examine
from lora_lab.training_data import gather
from tests.data.test_folder import save
from tests.material import write_model

BUCKETS = BucketSettings((512, 512))


def items(*groups: tuple[str, int, int, tuple[int, int]]) -> list[CaptionedImage]:
    """(folder, images, repeats, size) each."""
    return [
        CaptionedImage(Path(folder) / f"{n}.png", size, f"{folder}{n}", repeats, "", SubsetSettings())
        for folder, count, repeats, size in groups
        for n in range(count)
    ]


def draws(found: list[CaptionedImage], folder: str) -> list[int]:
    return [item.repeats for item in found if item.folder.name == folder]


def test_every_folder_has_the_samples_of_the_largest() -> None:
    found = balanced(
        items(("a", 30, 10, (512, 512)), ("b", 7, 10, (512, 512)), ("c", 300, 1, (8, 8))), "folders", BUCKETS
    )
    # 300 = 7 x 42 + 6: six images are shown once more than the seventh.
    assert sorted(draws(found, "b")) == [42] + [43] * 6
    assert draws(found, "a") == [10] * 30 and draws(found, "c") == [1] * 300


def test_every_bucket_has_the_samples_of_the_largest() -> None:
    wide, tall = (768, 512), (512, 768)
    found = balanced(items(("a", 8, 3, wide), ("b", 3, 3, wide), ("c", 2, 1, tall)), "buckets", BUCKETS)
    by_bucket: dict[tuple[int, int], int] = {}
    for item in found:
        bucket = assign(item.size, BUCKETS).bucket
        by_bucket[bucket] = by_bucket.get(bucket, 0) + item.repeats
    assert set(by_bucket.values()) == {33} and len(by_bucket) == 2
    assert sorted(draws(found, "c")) == [16, 17]


def test_off_and_regularisation_images_stay_as_they_are() -> None:
    some = items(("a", 3, 2, (8, 8)), ("b", 1, 1, (8, 8)))
    assert balanced(some, "off", BUCKETS) == some
    reg = [CaptionedImage(Path("r/1.png"), (8, 8), "r", 1, "", SubsetSettings(is_reg=True))]
    assert balanced([*some, *reg], "folders", BUCKETS)[-1] == reg[0]


def test_names_of_files_do_not_decide() -> None:
    some = items(("a", 5, 2, (8, 8)), ("b", 3, 1, (8, 8)))
    renamed = [
        CaptionedImage(
            item.path.with_name(f"{9 - n}.png"), item.size, item.sha256, item.repeats, "", item.settings
        )
        for n, item in enumerate(some)
    ]
    repeats = {item.sha256: item.repeats for item in balanced(some, "folders", BUCKETS)}
    assert repeats == {item.sha256: item.repeats for item in balanced(renamed, "folders", BUCKETS)}


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    for number in range(4):
        save(tmp_path / "img" / "5_miko" / f"{number}.png", (512 + number, 512))
    save(tmp_path / "img" / "5_hana" / "0.png", (512, 512))
    write_model(tmp_path / "model", "sd1")
    return [
        "base_model=sd15", f"base_model.path='{tmp_path}/model'", f"dataset.path='{tmp_path}/img'",
        f"cache='{tmp_path}/cache'", "train.max_train_steps=2", "preview=off",
    ]  # fmt: skip


def test_the_setting_balances_a_run_and_is_an_experiment_of_its_own(words: list[str]) -> None:
    plain, even = compose(words), compose([*words, "dataset.balance=folders"])
    assert [item.repeats for item in gather(plain).items] == [5] * 5
    assert {item.folder.name: item.repeats for item in gather(even).items} == {"5_hana": 20, "5_miko": 5}
    first, second = (examine(config, "cpu").resolved for config in (plain, even))
    assert first.fingerprint != second.fingerprint
    assert "dataset.balance" not in first.acting or first.acting["dataset.balance"] == "off"


def test_where_there_is_nothing_to_balance_it_has_no_effect(words: list[str]) -> None:
    config = compose([*words, "dataset.balance=buckets", "dataset.enable_bucket=false"])
    plain = compose([*words, "dataset.enable_bucket=false"])
    found = examine(config, "cpu").resolved
    assert "dataset.balance" in {item.key for item in found.inert}
    assert found.fingerprint == examine(plain, "cpu").resolved.fingerprint
