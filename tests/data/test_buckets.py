import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.data import buckets
from lora_lab.data.image_set import CaptionedImage
from lora_lab.data.settings import BucketSettings, SubsetSettings
from lora_lab.errors import ConfigError, DataError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "bucketing.json").read_text())


def _settings(case: dict) -> BucketSettings:
    return BucketSettings(**{**case["setting"], "resolution": tuple(case["setting"]["resolution"])})


@pytest.mark.parametrize("case", GOLDEN["settings"], ids=lambda c: str(list(c["setting"].values())))
def test_buckets_are_the_peers(case):
    settings = _settings(case)
    assert list(buckets.adjusted_limits(settings)) == case["adjusted_min_max"]
    assert [list(size) for size in buckets.bucket_sizes(settings)] == case["predefined"]
    for row in case["rows"]:
        got = buckets.assign(tuple(row["size"]), settings)
        assert list(got.bucket) == row["bucket"], row
        assert list(got.resized) == row["resized"], row
        assert list(got.crop_left_top) == row["crop_left_top"], row
        assert got.ar_error == pytest.approx(row["ar_error"], abs=1e-12)
        assert list(buckets.letterbox_ltrb(got)) == row["sdxl_crop_ltrb"], row


@pytest.mark.parametrize("row", GOLDEN["enable_bucket_false_512"], ids=lambda r: str(r["size"]))
def test_without_buckets_everything_fits_the_resolution(row):
    got = buckets.assign(tuple(row["size"]), BucketSettings((512, 512), enable_bucket=False))
    assert [list(got.bucket), list(got.resized)] == [row["bucket"], row["resized"]]


@pytest.mark.parametrize(
    ("size", "side", "bucket"),
    [((4096, 512), 768, (2048, 256)), ((2500, 400), 512, (1152, 192)), ((300, 300), 512, (256, 256))],
)
def test_no_upscale_ignores_the_limits(size, side, bucket):
    settings = BucketSettings((side, side), max_bucket_reso=1024, bucket_no_upscale=True)
    assert buckets.assign(size, settings).bucket == bucket


def test_limits_are_rounded_outwards():
    settings = BucketSettings((512, 512), min_bucket_reso=300, max_bucket_reso=1000)
    assert buckets.adjusted_limits(settings) == (256, 1024)


@pytest.mark.parametrize(
    ("given_settings", "key"),
    [
        (BucketSettings((1536, 512)), "dataset.max_bucket_reso"),
        (BucketSettings((512, 512), min_bucket_reso=640), "dataset.min_bucket_reso"),
        (BucketSettings((512, 512), min_bucket_reso=32), "dataset.bucket_reso_steps"),
    ],
)
def test_limits_that_exclude_the_resolution_are_refused(given_settings, key):
    with pytest.raises(ConfigError, match=key):
        buckets.bucket_sizes(given_settings)


def test_an_image_below_one_step_is_refused_by_name():
    settings = BucketSettings((512, 512), bucket_no_upscale=True)
    with pytest.raises(DataError, match="63x63.*64 pixels"):
        buckets.assign((63, 63), settings)
    items = [CaptionedImage(Path(f"{n}.png"), (n, n), str(n), 1, "", SubsetSettings()) for n in (63, 512)]
    kept, assignments, problems = buckets.assign_all(items, settings)
    assert [item.size for item in kept] == [(512, 512)] and len(assignments) == 1
    assert [(p.severity, p.path.name) for p in problems] == [("error", "63.png")]


def test_an_image_enlarged_much_is_named():
    item = CaptionedImage(Path("tiny.png"), (64, 64), "x", 1, "", SubsetSettings())
    _, _, problems = buckets.assign_all([item], BucketSettings((512, 512)))
    assert problems[0].severity == "warning" and "8.0 times" in problems[0].what


@given(
    size=st.tuples(st.integers(64, 6000), st.integers(64, 6000)),
    side=st.sampled_from([512, 640, 1024]),
    step=st.sampled_from([8, 32, 64]),
    no_upscale=st.booleans(),
    seed=st.integers(0, 9),
)
def test_the_crop_always_lies_in_the_image(size, side, step, no_upscale, seed):
    settings = BucketSettings((side, side), True, 256, 2048, step, no_upscale)
    try:
        got = buckets.assign(size, settings)
    except DataError:
        assert no_upscale and max(size) / min(size) > side * side / step / step / 2
        return
    assert got.bucket[0] % step == 0 and got.bucket[1] % step == 0
    if no_upscale:
        assert got.enlargement <= 1.02  # rounding to whole pixels only
    for one in (got, buckets.random_crop(got, random.Random(seed))):
        for start, cut, whole in zip(one.crop_left_top, one.bucket, one.resized, strict=True):
            assert 0 <= start <= whole - cut


def test_crop_conditioning_counts_in_the_mirrored_image():
    got = buckets.assign((640, 480), BucketSettings((512, 512)))
    assert (got.resized, got.bucket) == ((597, 448), (576, 448))
    assert buckets.crop_top_left(got) == (0, 10)
    assert buckets.crop_top_left(got, flip=True) == (0, 11)
