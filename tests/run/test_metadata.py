"""What a checkpoint's metadata says of a training whose dataset file decided; without training."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from lora_lab.config import compose
from lora_lab.effective import examine
from lora_lab.networks.spec import AdapterSpec
from lora_lab.run.checkpoints import metadata_of
from lora_lab.store import RunFolder, RunRecord
from lora_lab.train import Record
from tests.material import write_images, write_model

STEP = Record("a", 2, 1, 8, 0.1, {}, 1.0, None, 0.5)


def said(root: Path, *words: str, **arguments: object) -> dict[str, str]:
    """The metadata of a run that got as far as its second update; `arguments` are its optimizer's."""
    if not (root / "model").is_dir():
        write_model(root / "model")
    own = ["base_model=sd15", f"base_model.path='{root}/model'", f"cache='{root}/cache'"]
    found = examine(compose([*own, "dataset.repeats=null", *words]), "cpu")
    schedule = SimpleNamespace(name="constant", lr_warmup_steps=0)
    job = SimpleNamespace(
        adapter=AdapterSpec(4, 1.0), unet_lr=1e-4, text_encoder_lr=1e-4, total_updates=9, schedule=schedule,
        optimizer="adamw", optimizer_args=arguments,
    )  # fmt: skip
    base = SimpleNamespace(family="sd1", name="model", identity="0" * 64)
    source = SimpleNamespace(process=SimpleNamespace(prediction_type="epsilon"))
    task = SimpleNamespace(
        config=found.config, resolved=found.resolved, name="a", record=RunRecord(fingerprint="f"),
        folder=RunFolder(root / "results" / "s" / "a"),
        prepared=SimpleNamespace(training_data=found.training_data, job=job, base=base, source=source),
    )  # fmt: skip
    return metadata_of(task, "000001", STEP)  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two folders with tags of their own, and a batch size and size that no config says."""
    for name in ("one", "two"):
        write_images(tmp_path, 2, name)
        for number in range(2):
            (tmp_path / name / f"{number:03d}.txt").write_text(f"miko, only {name}")
    subsets = "".join(
        f"[[datasets.subsets]]\nimage_dir = '{name}'\nnum_repeats = {repeats}\n"
        for name, repeats in (("one", 1), ("two", 3))
    )
    path = tmp_path / "set.toml"
    path.write_text(
        "[general]\nkeep_tokens = 1\nshuffle_caption = true\n"
        "[[datasets]]\nbatch_size = 4\nresolution = 128\nmin_bucket_reso = 64\nmax_bucket_reso = 256\n"
        f"{subsets}"
    )
    return path


def test_what_the_dataset_file_decided_is_what_the_metadata_says(tmp_path: Path, file: Path) -> None:
    own = ["train.train_batch_size=2", "train.gradient_accumulation_steps=3", "dataset.resolution='512'"]
    found = said(tmp_path, f"dataset.path='{file}'", *own, "dataset.shuffle_caption=false")
    assert (found["ss_batch_size_per_device"], found["ss_total_batch_size"]) == ("4", "12")
    assert (found["ss_resolution"], found["modelspec.resolution"]) == ("(128, 128)", "128x128")
    assert (found["ss_shuffle_caption"], found["ss_keep_tokens"]) == ("True", "1")
    assert json.loads(found["ss_dataset_dirs"]) == {
        "one": {"n_repeats": 1, "img_count": 2}, "two": {"n_repeats": 3, "img_count": 2},
    }  # fmt: skip
    assert json.loads(found["ss_tag_frequency"]) == {
        "one": {"miko": 2, "only one": 2}, "two": {"miko": 6, "only two": 6},
    }  # fmt: skip


def test_folders_that_are_called_the_same_stay_apart(tmp_path: Path) -> None:
    """sd-scripts writes the second of them as `10_cat (2)`, and a folder in a second dataset likewise."""
    for parent, count, tag in (("a", 2, "one"), ("b", 3, "two")):
        write_images(tmp_path / parent, count, "10_cat")
        for number in range(count):
            (tmp_path / parent / "10_cat" / f"{number:03d}.txt").write_text(f"cat, {tag}")
    subset = "[[datasets.subsets]]\nimage_dir = '{}/10_cat'\nnum_repeats = {}\n"
    path = tmp_path / "set.toml"
    path.write_text(
        f"[[datasets]]\n{subset.format('a', 4)}{subset.format('b', 5)}[[datasets]]\n{subset.format('a', 1)}"
    )
    found = said(tmp_path, f"dataset.path='{path}'")
    assert json.loads(found["ss_dataset_dirs"]) == {
        "10_cat": {"n_repeats": 4, "img_count": 2},
        "10_cat (2)": {"n_repeats": 5, "img_count": 3},
        "10_cat (3)": {"n_repeats": 1, "img_count": 2},
    }
    assert json.loads(found["ss_tag_frequency"]) == {
        "10_cat": {"cat": 8, "one": 8}, "10_cat (2)": {"cat": 15, "two": 15},
        "10_cat (3)": {"cat": 2, "one": 2},
    }  # fmt: skip
    assert found["ss_num_train_images"] == "25", "images times repeats, as in sd-scripts"


def test_no_folder_of_this_machine_is_in_it(tmp_path: Path, file: Path) -> None:
    assert str(tmp_path) not in json.dumps(said(tmp_path, f"dataset.path='{file}'"))


def test_no_folder_of_an_optimizers_argument_is_in_it(tmp_path: Path, file: Path) -> None:
    found = said(tmp_path, f"dataset.path='{file}'", table="/home/me/t.json", eps=0.1)
    assert found["ss_optimizer"] == "adamw,eps=0.1,table=t.json"
