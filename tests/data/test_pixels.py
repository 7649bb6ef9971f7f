import hashlib
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

from lora_lab.data import resize as resizing
from lora_lab.data.buckets import Assignment, assign, assign_all
from lora_lab.data.image_set import CaptionedImage
from lora_lab.data.pixels import load_mask, load_pixels, to_array
from lora_lab.data.scan import scan
from lora_lab.data.settings import BucketSettings, SubsetSettings
from lora_lab.data.verify import verify
from lora_lab.errors import DataError

GOLDEN = Path(__file__).parents[1] / "golden" / "resize_pixels.safetensors"
TENSORS = load_file(GOLDEN)
with safe_open(GOLDEN, "np") as _file:
    CASES = json.loads(_file.metadata()["cases"])


def _item(path: Path, size: tuple[int, int]) -> CaptionedImage:
    return CaptionedImage(path, size, hashlib.sha256(path.read_bytes()).hexdigest(), 1, "", SubsetSettings())


def _whole(size: tuple[int, int]) -> Assignment:
    return Assignment(size, size, size, 0.0, (0, 0))


def _load(path: Path, size: tuple[int, int], **kwargs) -> np.ndarray:
    """The image unresized as (H, W, 3) in 0..255."""
    values = load_pixels(_item(path, size), _whole(size), **kwargs)
    return np.rint((values.transpose(1, 2, 0) + 1) * 127.5).astype(int)


@pytest.mark.parametrize("case", CASES, ids=lambda c: str(c["size"]))
def test_resized_pixels_are_the_peers(case, tmp_path):
    i = case["i"]
    Image.fromarray(TENSORS[f"{i}.in"]).save(tmp_path / "a.png")
    (bucket, resized) = tuple(case["bucket"]), tuple(case["resized"])
    corner = ((resized[0] - bucket[0]) // 2, (resized[1] - bucket[1]) // 2)
    item = _item(tmp_path / "a.png", tuple(case["size"]))
    got = load_pixels(item, Assignment(item.size, bucket, resized, 0.0, corner))
    assert got.dtype == np.float32 and got.shape == TENSORS[f"{i}.norm"].shape
    np.testing.assert_allclose(got, TENSORS[f"{i}.norm"], atol=2.001 / 255)


@pytest.mark.parametrize("name", ["default", "area", "bicubic", "lanczos"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: str(c["size"]))
def test_every_interpolation_is_the_peers(case, name):
    bucket, resized = tuple(case["bucket"]), tuple(case["resized"])
    left, top = (resized[0] - bucket[0]) // 2, (resized[1] - bucket[1]) // 2
    whole = resizing.resize(TENSORS[f"{case['i']}.in"], resized, None if name == "default" else name)
    got = whole[top : top + bucket[1], left : left + bucket[0]].astype(int)
    assert np.abs(got - TENSORS[f"{case['i']}.{name}.out"]).max() <= 1


@pytest.mark.parametrize("size", [(37, 53), (80, 40), (100, 120), (30, 70)])
@pytest.mark.parametrize(
    ("name", "theirs"), [("bilinear", "bilinear"), ("bicubic", "bicubic"), ("nearest", "nearest")]
)
def test_interpolations_without_a_record_equal_torchs(name, theirs, size):
    pixels = np.random.default_rng(0).integers(0, 256, (61, 47, 3), dtype=np.uint8)
    BCHW = torch.from_numpy(pixels).permute(2, 0, 1)[None].double()
    corners = {} if name == "nearest" else {"align_corners": False}
    other = torch.nn.functional.interpolate(BCHW, size[::-1], mode=theirs, **corners)[0].permute(1, 2, 0)
    got = resizing.resize(pixels, size, name).astype(float)
    assert np.abs(got - other.clamp(0, 255).numpy()).max() <= 1.01
    aliases = {"bilinear": "linear", "bicubic": "cubic"}
    assert np.array_equal(got, resizing.resize(pixels, size, aliases.get(name, name)))


def test_the_setting_chooses_the_interpolation(tmp_path):
    Image.fromarray(TENSORS["0.in"]).save(tmp_path / "a.png")
    place = Assignment((40, 30), (32, 24), (32, 24), 0.0, (0, 0))
    made = {}
    for name in (None, *resizing.INTERPOLATIONS):
        item = replace(
            _item(tmp_path / "a.png", (40, 30)), settings=SubsetSettings(resize_interpolation=name)
        )
        made[name] = load_pixels(item, place)
    assert np.array_equal(made[None], made["area"])
    assert np.array_equal(made["cubic"], made["bicubic"]) and np.array_equal(made["linear"], made["bilinear"])
    different = {made[name].tobytes() for name in made}
    assert len(different) == len(made) - 3


def test_masks_follow_the_pixels(tmp_path):
    alpha = np.zeros((30, 40), np.uint8)
    alpha[:, 20:] = 255
    layers = np.dstack([np.full((30, 40, 3), 90, np.uint8), alpha])
    Image.fromarray(layers, "RGBA").save(tmp_path / "a.png")
    Image.fromarray(layers[:, :, :3]).save(tmp_path / "b.png")
    place = Assignment((40, 30), (10, 10), (20, 15), 0.0, (5, 2))
    mask = load_mask(_item(tmp_path / "a.png", (40, 30)), place)
    assert mask.dtype == np.float32 and mask.shape == (10, 10)
    assert np.array_equal(mask, np.repeat([[0.0] * 5 + [1.0] * 5], 10, 0))
    assert np.array_equal(load_mask(_item(tmp_path / "a.png", (40, 30)), place, flip=True), mask[:, ::-1])
    assert load_mask(_item(tmp_path / "b.png", (40, 30)), place) is None
    scanned = scan(tmp_path, SubsetSettings()).items
    assert [item.transparent for item in scanned] == [True, False]


def _slow_area(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Area averages by repeating pixels up to a common multiple: another way to the same numbers."""
    height, width = pixels.shape[:2]
    tall = np.repeat(pixels.astype(float), size[1], 0).reshape(size[1], height, width, 3).mean(1)
    return np.repeat(tall, size[0], 1).reshape(size[1], size[0], width, 3).mean(2)


@pytest.mark.parametrize("size", [(7, 5), (40, 30), (39, 17), (1, 1), (13, 30), (40, 29)])
def test_area_averages_are_exact(size):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    got = resizing.area(pixels, size).astype(float)
    assert np.abs(got - _slow_area(pixels, size)).max() <= 0.5001


def test_colour_kinds(tmp_path):
    values = np.random.default_rng(1).integers(0, 256, (6, 9, 3), np.uint8)
    rgb = Image.fromarray(values)
    grey = np.asarray(rgb.convert("L"))
    rgb.save(tmp_path / "rgb.png")
    rgb.convert("L").save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    palette = rgb.quantize(16)
    palette.save(tmp_path / "palette.png")
    assert np.array_equal(_load(tmp_path / "rgb.png", (9, 6)), values)
    for name in ("grey", "deep"):
        assert np.array_equal(_load(tmp_path / f"{name}.png", (9, 6)), np.repeat(grey[..., None], 3, 2))
    assert np.array_equal(_load(tmp_path / "palette.png", (9, 6)), np.asarray(palette.convert("RGB")))


def test_cmyk_keeps_its_colours(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=95)
    pixel = _load(tmp_path / "red.jpg", (16, 16))[8, 8]
    assert pixel[0] > 240 and pixel[1] < 15 and pixel[2] < 15


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(tmp_path, mode):
    layer = Image.new("RGBA", (4, 2), (10, 10, 10, 255))
    for x in (0, 1):
        layer.putpixel((x, 0), (200, 0, 0, 0))
    image = layer.convert(mode) if mode != "P" else layer.quantize(4)
    image.save(tmp_path / "a.png")
    got = _load(tmp_path / "a.png", (4, 2))
    assert (got[0, :2] == 255).all() and (np.abs(got[1] - 10) <= 1).all()


def test_half_transparency(tmp_path):
    Image.new("RGBA", (2, 2), (0, 0, 0, 128)).save(tmp_path / "a.png")
    assert (np.abs(_load(tmp_path / "a.png", (2, 2)) - 127) <= 1).all()


def test_exif_rotation_turns_pixels(tmp_path):
    values = np.zeros((2, 3, 3), np.uint8)
    values[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: shown clockwise by 90 degrees
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    got = _load(tmp_path / "a.png", (2, 3))
    assert got.shape == (3, 2, 3) and (got[0, 1] == 255).all() and got.sum() == 3 * 255


def test_the_first_frame_is_taken(tmp_path):
    frames = [Image.new("RGB", (4, 4), (v, v, v)) for v in (50, 200)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert (_load(tmp_path / "a.webp", (4, 4)) == 50).all()


def test_cut_and_flip(tmp_path):
    values = np.random.default_rng(2).integers(0, 256, (8, 12, 3), np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    item = _item(tmp_path / "a.png", (12, 8))
    part = replace(_whole((12, 8)), bucket=(4, 8), crop_left_top=(4, 0))
    assert np.array_equal(load_pixels(item, part), to_array(values[:, 4:8]))
    assert np.array_equal(load_pixels(item, part, flip=True), to_array(values[:, 4:8][:, ::-1]))
    offsets = set()
    for seed in range(60):
        got = load_pixels(item, part, crop=random.Random(seed))
        (left,) = (x for x in range(9) if np.array_equal(got, to_array(values[:, x : x + 4])))
        offsets.add(left)
    assert offsets == set(range(9))


def test_an_image_changed_after_the_scan_is_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(path)
    item = _item(path, (4, 4))
    Image.new("RGB", (4, 4), "red").save(path)
    with pytest.raises(DataError, match=r"a\.png: changed since it was scanned"):
        load_pixels(item, _whole((4, 4)))
    path.unlink()
    with pytest.raises(DataError, match=r"a\.png: cannot be read"):
        load_pixels(item, _whole((4, 4)))


def test_real_photographs(tmp_path):
    folder = tmp_path / "3_thing"
    folder.mkdir()
    photographs = {n: getattr(skimage.data, n)() for n in ("astronaut", "coffee", "chelsea", "rocket")}
    for name, values in photographs.items():
        Image.fromarray(values).save(folder / f"{name}.jpg", quality=92)
    found = scan(tmp_path, SubsetSettings())
    assert verify(found.items) == []
    items, assignments, problems = assign_all(found.items, BucketSettings((256, 256), True, 128, 512, 64))
    assert not problems
    for item, assignment in zip(items, assignments, strict=True):
        got = load_pixels(item, assignment)
        assert got.shape == (3, assignment.bucket[1], assignment.bucket[0])
        assert -1 <= got.min() < -0.5 and 0.5 < got.max() <= 1
        # the middle of the image is still in the middle, at about its brightness
        source = photographs[item.path.stem].astype(float) / 127.5 - 1
        assert abs(got.mean() - source.mean()) < 0.1
    assert {a.bucket for a in assignments} == {
        assign(i.size, BucketSettings((256, 256), True, 128, 512, 64)).bucket for i in found.items
    }
    assert len({a.bucket for a in assignments}) >= 2
