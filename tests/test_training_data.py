"""From a config to images, order and length."""

from pathlib import Path

import pytest

from lora_lab import training_data
from lora_lab.config import compose
from lora_lab.errors import DataError, RunFolderError
from lora_lab.training_data import DEMO_IMAGES, dataset_path, gather, survey
from tests.material import write_images


def config(cache: Path, *words: str, path: str = "demo") -> object:
    common = ["base_model=sd15", "dataset.repeats=null", f"dataset.path={path}", f"cache={cache}"]
    return compose([*common, "dataset.resolution='64'", "dataset.enable_bucket=false", *words], checked=False)


def test_the_demos_images_are_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = dataset_path(config(tmp_path / "cache"))
    assert len(list(folder.rglob("*.png"))) == len(list(folder.rglob("*.txt"))) == DEMO_IMAGES
    assert [item.name for item in folder.parent.iterdir()] == [folder.name], "nothing half drawn stays"
    monkeypatch.setattr(training_data, "_draw", lambda _: pytest.fail("drawn again"))
    assert dataset_path(config(tmp_path / "cache")) == folder


def test_half_drawn_images_are_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(folder: Path, **_: object) -> None:
        write_images(folder, 3)
        raise KeyboardInterrupt

    monkeypatch.setattr("lora_lab.demo.dataset.write_dataset", killed)
    with pytest.raises(KeyboardInterrupt):
        dataset_path(config(tmp_path))
    monkeypatch.undo()
    assert len(list(dataset_path(config(tmp_path)).rglob("*.png"))) == DEMO_IMAGES


def test_a_cache_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(RunFolderError, match="cache=OTHER_FOLDER"):
        dataset_path(config(tmp_path / "cache"))


def test_length_and_images(tmp_path: Path) -> None:
    path = write_images(tmp_path / "train", 4, "3_zz girl")
    reg = write_images(tmp_path / "reg", 2, "1_girl")
    words = ("train.max_train_epochs=2", "train.train_batch_size=4", "train.gradient_accumulation_steps=2")
    plain = gather(config(tmp_path / "cache", *words, path=str(path)))
    assert (plain.images, len(plain.items)) == (4, 4)
    assert (plain.length.updates, plain.length.updates_per_epoch) == (4, 2)
    both = gather(config(tmp_path / "cache", *words, f"dataset.reg_path={reg}", path=str(path)))
    assert (both.images, len(both.items)) == (4, 6)
    # 12 draws and as many of regularisation images: 6 batches, 3 updates an epoch.
    assert (both.length.updates, both.stream.samples_per_epoch) == (6, 24)
    assert both.identity != plain.identity


def test_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        gather(config(tmp_path / "cache", path=str(tmp_path / "empty")))


@pytest.mark.parametrize("key", ["reg_path", "validation_path"])
def test_other_images_are_looked_at_as_strictly_as_those_trained_on(tmp_path: Path, key: str) -> None:
    path = write_images(tmp_path / "train", 2, "3_zz girl")
    other = write_images(tmp_path / "other", 1, "1_girl")
    write_images(tmp_path / "other" / "1_girl", 2, "sub")
    (other / "1_boy").mkdir()
    (other / "1_girl" / "x.heic").write_bytes(b"x")
    (other / "1_girl" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    own = config(tmp_path / "cache", f"dataset.{key}={other}", path=str(path))
    told = "\n".join(str(problem) for problem in survey(own).problems)
    for part in (
        f"error: {other / '1_boy'}: no images in it",
        "1 file that is neither image nor caption, not read (x.heic)",
        "1 link to nothing (gone.png)",
        "2 images not trained on: sub-folders are not read",
    ):
        assert part in told
    with pytest.raises(DataError, match="1_boy: no images in it"):
        gather(own)
