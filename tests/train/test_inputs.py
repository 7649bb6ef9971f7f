"""Settings of images and captions that reach the loop: masks, weighted words, interpolation."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lora_lab.models import encode_text, tokenize, tokenize_weighted
from lora_lab.models.text import encode_captions
from tests import tiny
from tests.train.conftest import Bench

PLAIN = ["dataset.shuffle_caption=false"]


def weights_of(bench: Bench, name: str, *extra: str) -> dict[str, torch.Tensor]:
    return bench.train([name], [*PLAIN, "train.max_train_steps=3", *extra])[1][name]


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture
def weighted(tmp_path: Path) -> Path:
    """Two images whose captions weigh a word, one of them half transparent."""
    folder = tmp_path / "1_zz"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        pixels = rng.integers(0, 255, (64, 64, 4), dtype=np.uint8)
        pixels[:, :, 3] = 255
        pixels[:, :32, 3] = 0
        Image.fromarray(pixels if number else pixels[:, :, :3]).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"zz, (smile:1.5), tag{number}")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adamw", "unet only"])
def test_weighted_captions_act_where_captions_are_trained_and_where_they_are_cached(
    bench: Bench, weighted: Path, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain = weights_of(bench, name, f"dataset.path={weighted}")
    read = weights_of(bench, name, f"dataset.path={weighted}", "dataset.weighted_captions=true")
    assert not equal(plain, read)
    copies = []
    for word in ("(smile:1.0)", "smile"):
        copies.append(shutil.copytree(weighted, tmp_path_factory.mktemp("copy") / "all"))
        for file in copies[-1].glob("*/*.txt"):
            file.write_text(file.read_text().replace("(smile:1.5)", word))
    alike = weights_of(bench, name, f"dataset.path={copies[0]}", "dataset.weighted_captions=true")
    assert equal(alike, weights_of(bench, name, f"dataset.path={copies[1]}")), "a weight of 1 is none"


def test_captions_of_one_batch_may_be_read_differently() -> None:
    base = tiny.base("sdxl")
    caption = "zz, (smile:1.5)"
    both = encode_captions(base, [caption, caption], weighted=[True, False])
    ids, factors = tokenize_weighted(base, [caption])
    read, plain = encode_text(base, ids, 1, factors), encode_text(base, tokenize(base, [caption]), 1)
    torch.testing.assert_close(both.hidden[:1], read.hidden)
    torch.testing.assert_close(both.hidden[1:], plain.hidden)
    torch.testing.assert_close(both.pooled[:1], read.pooled)
    assert not torch.allclose(read.hidden, plain.hidden)


def test_masks_leave_the_transparent_half_out(bench: Bench, weighted: Path) -> None:
    own = [*PLAIN, f"dataset.path={weighted}", "dataset.alpha_mask=true", "dataset.flip_aug=true"]
    (prepared,) = bench.prepared(["adamw"], own)
    source = prepared.source
    seen = set()
    for update in range(12):
        (draws,) = source.micro_batches(update, 1)
        batch = source.batch(draws, update)
        image = source.items[draws.draws[0].image]
        if not image.transparent:
            assert batch.mask_B1hw is None
            continue
        mask = batch.mask_B1hw[0, 0]
        assert mask.shape == batch.noisy_BChw.shape[2:]
        half = mask.shape[1] // 2
        left, right = mask[:, :half], mask[:, half:]
        assert {float(left.mean()), float(right.mean())} == {0.0, 1.0}
        seen.add(float(left.mean()))
    assert seen == {0.0, 1.0}, "the mask is mirrored with the image"
    assert not equal(
        weights_of(bench, "adamw", *own[1:3]), weights_of(bench, "adamw", own[1], "dataset.alpha_mask=false")
    )


def test_opaque_and_masked_images_share_a_batch(bench: Bench, weighted: Path) -> None:
    own = [*PLAIN, f"dataset.path={weighted}", "dataset.alpha_mask=true", "train.train_batch_size=2"]
    (prepared,) = bench.prepared(["adamw"], own)
    (draws,) = prepared.source.micro_batches(0, 1)
    mask = prepared.source.batch(draws, 0).mask_B1hw
    assert sorted(mask.mean(dim=(1, 2, 3)).tolist()) == [0.5, 1.0]


def test_interpolation_changes_what_is_trained_on(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "1_zz"
    folder.mkdir()
    pixels = np.random.default_rng(1).integers(0, 255, (150, 150, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    own = f"dataset.path={tmp_path}"
    default = weights_of(bench, "unet only", own)
    assert equal(default, weights_of(bench, "unet only", own, "dataset.resize_interpolation=area"))
    assert not equal(default, weights_of(bench, "unet only", own, "dataset.resize_interpolation=nearest"))
