"""What a dataset file sets acts in training as the same setting of the run: bit for bit, one run alone."""

from pathlib import Path

import pytest
import torch

from lora_lab.lora_files.disk import read_lora
from lora_lab.store import read_record
from tests.run.bench import Bench, write_images

OWN = ("preview=off", "train.save_precision=fp32", "optimizer=sgd", "optimizer.learning_rate=0.1")
BUCKETS = ("dataset.resolution='96'", "dataset.max_bucket_reso=128", "dataset.bucket_reso_steps=8")
SHUFFLES = ("dataset.shuffle_caption=true",)

ACTING = [
    ("batch_size = 3", ["train.train_batch_size=3"], ()),
    ("shuffle_caption = true", ["dataset.shuffle_caption=true"], ()),
    ("keep_tokens = 2", ["dataset.keep_tokens=2"], SHUFFLES),
    ("resolution = 48", ["dataset.resolution='48'"], ()),
    ("num_repeats = 2", ["dataset.repeats=2"], ()),
    ("flip_aug = true", ["dataset.flip_aug=true"], ()),
    ("caption_prefix = 'photo of '", ["dataset.caption_prefix='photo of '"], ()),
    ("caption_dropout_rate = 0.9", ["dataset.caption_dropout_rate=0.9"], ()),
    ("enable_bucket = true", ["dataset.enable_bucket=true"], BUCKETS),
]
"""What the file says; the same as settings of the run; what both runs have beside it."""


@pytest.fixture
def subset(tmp_path: Path) -> str:
    """A dataset file's table of the bench's five images."""
    folder = write_images(tmp_path / "own", 5, "plain") / "plain"
    return f"[[datasets]]\n[[datasets.subsets]]\nimage_dir = '{folder}'\n"


Weights = dict[str, torch.Tensor]


def trained(bench: Bench, text: str, *words: str) -> Weights:
    """The weights of one run, trained alone on a dataset file of this text."""
    name = f"run{len(list(bench.sweep.path.glob('*')))}"
    file = bench.sweep.path.parent / f"{name}.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    folder = bench.write(name, *OWN, f"dataset.path={file}", *words)
    bench.work([folder])
    record = read_record(folder)
    assert record.status == "done", record.reason
    return read_lora(folder.checkpoint(record.checkpoints[-1].tag))[0]


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.slow  # three trainings each
@pytest.mark.parametrize(("said", "words", "beside"), ACTING, ids=[row[0].split()[0] for row in ACTING])
def test_a_key_of_the_file_trains_as_the_runs_setting(
    bench: Bench, subset: str, said: str, words: list[str], beside: tuple[str, ...]
) -> None:
    by_file = trained(bench, f"[general]\n{said}\n{subset}", *beside)
    assert same(by_file, trained(bench, subset, *beside, *words))
    assert not same(by_file, trained(bench, subset, *beside))


@pytest.mark.slow
def test_the_file_has_the_last_word(bench: Bench, subset: str) -> None:
    """What it sets and the run sets otherwise: the file's value trains, the run's has no effect."""
    text = f"[general]\nbatch_size = 3\nshuffle_caption = true\nkeep_tokens = 2\nresolution = 48\n{subset}"
    other = ("train.train_batch_size=2", "dataset.keep_tokens=1", "dataset.resolution='64'")
    assert same(trained(bench, text), trained(bench, text, *other))


@pytest.mark.slow
def test_regularisation_images_of_the_file_weigh_what_the_run_says(
    bench: Bench, subset: str, tmp_path: Path
) -> None:
    reg = write_images(tmp_path / "reg", 4, "girl") / "girl"
    text = f"{subset}[[datasets.subsets]]\nimage_dir = '{reg}'\nis_reg = true\nclass_tokens = 'girl'\n"
    by_weight = [trained(bench, text, f"loss.prior_loss_weight={weight}") for weight in (1, 0.3, 0)]
    assert not any(same(by_weight[a], by_weight[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    as_folder = write_images(tmp_path / "regs", 4, "1_girl")
    by_path = write_images(tmp_path / "train", 5, "1_")
    for text_file in (as_folder / "1_girl").glob("*.txt"):
        assert text_file.read_text() == (reg / text_file.name).read_text()
    folder = bench.write("paths", *OWN, f"dataset.path={by_path}", f"dataset.reg_path={as_folder}")
    bench.work([folder])
    assert same(by_weight[0], read_lora(folder.checkpoint("000002"))[0])
