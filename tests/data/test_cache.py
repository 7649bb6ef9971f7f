import multiprocessing
import os
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lab.data.cache import ArrayCache, LatentKey, TextKey, open_latents, open_texts

KEY = LatentKey("ab" * 32, (512, 512), (512, 683), (0, 85), False, "vae1", "float32")
TEXT = TextKey("clip1", "a cat", 1, 75, "float32")
OTHER = {
    "image_sha256": "cd" * 32,
    "bucket": (512, 576),
    "resized": (512, 700),
    "crop_left_top": (1, 85),
    "flip": True,
    "vae": "vae2",
    "dtype": "bfloat16",
    "encoder": "clip2",
    "caption": "a cat ",
    "clip_skip": 2,
    "max_token_length": 150,
    "resize_interpolation": "lanczos",
    "weighted": True,
}


def _latent(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    values = np.random.default_rng(seed).standard_normal((2, 4, 8, 6)).astype(np.float32)
    return values[0], values[1]


@pytest.mark.parametrize("name", [f.name for f in fields(LatentKey)])
def test_a_latent_of_any_other_key_is_not_found(tmp_path, name):
    open_latents(tmp_path).put(KEY, *_latent())
    assert open_latents(tmp_path).get(replace(KEY, **{name: OTHER[name]})) is None
    found = open_latents(tmp_path).get(KEY)
    assert found is not None
    for got, expected in zip(found, _latent(), strict=True):
        assert np.array_equal(got, expected)


@pytest.mark.parametrize("name", [f.name for f in fields(TextKey)])
def test_text_states_of_any_other_key_are_not_found(tmp_path, name):
    cache = open_texts(tmp_path)
    cache.put(TEXT, {"hidden": np.ones((77, 8), np.float16)})
    assert cache.get(replace(TEXT, **{name: OTHER[name]})) is None
    fresh = open_texts(tmp_path).get(TEXT)
    assert fresh is not None and fresh["hidden"].dtype == np.float16


def test_an_entry_renamed_to_another_key_is_not_believed(tmp_path):
    cache = ArrayCache(tmp_path)
    other = replace(KEY, vae="vae2")
    cache.put(KEY, {"a": np.ones(3)})
    cache.path(other).parent.mkdir(exist_ok=True)
    os.replace(cache.path(KEY), cache.path(other))
    assert ArrayCache(tmp_path).get(other) is None


@settings(deadline=None, max_examples=60)
@given(position=st.integers(0, 10**6), flip=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_entry_is_as_good_as_none(tmp_path_factory, position, flip, cut):
    folder = tmp_path_factory.mktemp("cache")
    open_latents(folder).put(KEY, *_latent())
    path = ArrayCache(folder / "latents").path(KEY)
    data = bytearray(path.read_bytes())
    if cut:
        path.write_bytes(data[: position % len(data)])
    else:
        data[position % len(data)] ^= flip
        path.write_bytes(data)
    found = open_latents(folder).get(KEY)
    if found is not None:  # the flipped bit said nothing, such as a space in the header
        assert all(np.array_equal(a, b) for a, b in zip(found, _latent(), strict=True))
    else:
        open_latents(folder).put(KEY, *_latent(1))
        assert np.array_equal(open_latents(folder).get(KEY)[0], _latent(1)[0])


def test_get_or_make_makes_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"a": np.arange(3)}

    for cache in (ArrayCache(tmp_path), ArrayCache(tmp_path)):
        for _ in range(2):
            assert cache.get_or_make(KEY, make)["a"].tolist() == [0, 1, 2]
    assert len(made) == 1


def test_what_is_stored_cannot_be_changed_by_accident(tmp_path):
    cache = ArrayCache(tmp_path)
    mine = np.zeros(3)
    cache.put(KEY, {"a": mine})
    mine[0] = 9
    got = cache.get(KEY)
    assert got["a"][0] == 0
    with pytest.raises(ValueError, match="read-only"):
        got["a"][0] = 1


def test_memory_is_bounded_and_least_recently_used_goes_first():
    cache = ArrayCache(None, memory_bytes=3000)
    keys = [replace(KEY, vae=str(i)) for i in range(4)]
    for key in keys[:3]:
        cache.put(key, {"a": np.zeros(1000, np.uint8)})
    cache.get(keys[0])
    cache.put(keys[3], {"a": np.zeros(1000, np.uint8)})
    assert [cache.get(key) is not None for key in keys] == [True, False, True, True]


def test_a_cache_that_cannot_be_written_works_in_memory_and_says_so(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    cache = ArrayCache(blocked / "cache")
    cache.put(KEY, {"a": np.ones(2)})
    assert cache.get(KEY)["a"].tolist() == [1, 1]
    assert "cannot be written" in cache.write_error


def _write_many(folder, seed):
    cache = ArrayCache(folder)
    for i in range(40):
        cache.put(replace(KEY, vae=str(i)), {"a": np.full(500, i)})


def test_concurrent_writers_leave_whole_entries(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write_many, args=(tmp_path, s)) for s in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    for i in range(40):
        assert (ArrayCache(tmp_path).get(replace(KEY, vae=str(i)))["a"] == i).all()
    assert not list(tmp_path.rglob(".*"))
