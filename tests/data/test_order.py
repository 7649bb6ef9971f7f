import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.data.order import Entry, Stream, sample_rng, sample_seed
from lora_lab.errors import DataError


def _entries(repeats: list[int], buckets: int = 1, prefix: str = "img") -> list[Entry]:
    return [Entry(f"{prefix}{i}", (64 * (i % buckets + 1), 64), n) for i, n in enumerate(repeats)]


def _images(stream: Stream, epochs: int) -> list[int]:
    return [d.image for e in range(1, epochs + 1) for b in stream.epoch(e) for d in b.draws]


@given(
    repeats=st.lists(st.integers(1, 7), min_size=1, max_size=12),
    buckets=st.integers(1, 4),
    batch=st.integers(1, 5),
    seed=st.integers(0, 5),
)
def test_each_epoch_shows_each_image_exactly_its_repeats(repeats, buckets, batch, seed):
    entries = _entries(repeats, buckets)
    stream = Stream(entries, batch, seed)
    expected_batches = sum(
        -(-sum(e.repeats for e in entries if e.bucket == b) // batch) for b in {e.bucket for e in entries}
    )
    index = 0
    for epoch in (1, 2, 3):
        batches = stream.epoch(epoch)
        assert len(batches) == stream.batches_per_epoch == expected_batches
        shown = Counter(d.image for b in batches for d in b.draws)
        assert [shown[i] for i in range(len(repeats))] == repeats
        for batch_ in batches:
            assert 1 <= len(batch_.draws) <= batch
            assert {entries[d.image].bucket for d in batch_.draws} == {batch_.bucket}
            for draw in batch_.draws:
                assert (draw.sample_index, draw.epoch) == (index, epoch)
                index += 1


def test_random_access_equals_the_sequence():
    entries = _entries([3, 1, 4, 1, 5, 9, 2], 3)
    straight = Stream(entries, 2, 7)
    sequence = [straight.batch(i) for i in range(5 * straight.batches_per_epoch)]
    assert [b.index for b in sequence] == list(range(len(sequence)))
    asked = list(range(len(sequence)))
    random.Random(0).shuffle(asked)
    fresh = Stream(entries, 2, 7)
    assert {i: fresh.batch(i) for i in asked} == dict(enumerate(sequence))


@pytest.mark.parametrize("accumulation", [1, 2, 3, 4, 100])
def test_updates_cover_all_batches_and_end_with_the_epoch(accumulation):
    stream = Stream(_entries([2] * 7, 2), 3, 1)
    per_epoch = stream.updates_per_epoch(accumulation)
    updates = [stream.update(i, accumulation) for i in range(3 * per_epoch)]
    assert [b.index for u in updates for b in u] == list(range(3 * stream.batches_per_epoch))
    assert all(len({b.epoch for b in update}) == 1 for update in updates)
    seen = 0
    for index, update in enumerate(updates):
        assert stream.samples_before(index, accumulation) == seen
        seen += sum(len(b.draws) for b in update)


@pytest.mark.parametrize("buckets", [1, 3])
def test_repeats_times_epochs_is_a_label_at_batch_1(buckets):
    many = _images(Stream(_entries([15] * 6, buckets), 1, 23), 2)
    few = _images(Stream(_entries([5] * 6, buckets), 1, 23), 6)
    assert many == few


def test_only_the_ratio_of_repeats_matters_at_batch_1():
    assert _images(Stream(_entries([6, 2, 4]), 1, 3), 2) == _images(Stream(_entries([3, 1, 2]), 1, 3), 4)


def test_a_larger_batch_takes_the_same_images_of_one_bucket_in_the_same_order():
    assert _images(Stream(_entries([4] * 5), 1, 3), 3) == _images(Stream(_entries([4] * 5), 3, 3), 3)


def test_rare_images_are_spread_over_the_passes():
    stream = Stream(_entries([20] + [2] * 200), 1, 0)
    shown = _images(stream, 1)
    per_pass = Counter()
    pass_number = -1
    for image in shown:
        pass_number += image == 0
        per_pass[pass_number] += 1
    assert max(per_pass.values()) < 60  # 420 draws over 20 passes: 21 each when spread, 200 when bunched


def test_order_depends_on_seed_and_content_but_not_on_listing_order():
    entries = _entries([2] * 9, 3)
    shuffled = list(reversed(entries))
    keys = [entries[i].key for i in _images(Stream(entries, 2, 5), 2)]
    assert keys == [shuffled[i].key for i in _images(Stream(shuffled, 2, 5), 2)]
    assert keys != [entries[i].key for i in _images(Stream(entries, 2, 6), 2)]


def test_passes_are_even():
    """Each image comes first about equally often."""
    stream = Stream(_entries([1] * 5), 1, 11)
    first = Counter(stream.epoch(e)[0].draws[0].image for e in range(1, 1001))
    assert all(150 < first[i] < 250 for i in range(5))  # 4 standard deviations of 200


def test_several_datasets_have_their_own_batch_sizes():
    entries = [Entry(f"a{i}", (64, 64), 1, 0) for i in range(4)]
    entries += [Entry(f"b{i}", (64, 64), 1, 1) for i in range(5)]
    batches = Stream(entries, [2, 3], 0).epoch(1)
    sizes = sorted((entries[b.draws[0].image].dataset, len(b.draws)) for b in batches)
    assert sizes == [(0, 2), (0, 2), (1, 2), (1, 3)]
    assert all(len({entries[d.image].dataset for d in b.draws}) == 1 for b in batches)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "no image"),
        ([Entry("a", 1, 0)], "repeats"),
        ([Entry("a", 1, 1), Entry("a", 1, 1)], "same key"),
    ],
)
def test_bad_entries_are_refused(entries, message):
    with pytest.raises(DataError, match=message):
        Stream(entries, 1, 0)


def test_sample_seeds_are_fixed_forever():
    """Resuming a run started with an older version must draw the same numbers."""
    assert sample_seed(23, 0, "noise") == 2380621415662024954  # b2sum -l 64 of "23\nnoise\n0", halved
    seeds = {sample_seed(s, i, p) for s in (0, 1) for i in range(500) for p in ("noise", "flip")}
    assert len(seeds) == 2000 and all(0 <= s < 2**63 for s in seeds)
    assert sample_rng(1, 2, "flip").random() == sample_rng(1, 2, "flip").random()
