"""Which pairs are compared: all at first, then neighbours whose order is open."""

from collections import Counter

import numpy as np

from lora_lab.review.session.pairing import pair_at
from lora_lab.store import Pair, Place

PLACES = [(f"run{number}", "000010") for number in range(8)]
LEVEL = {place: number for number, place in enumerate(PLACES)}


def judge(count: int, seed: int = 3, places: list[Place] = PLACES) -> dict[int, Pair]:
    """A rater who always sees the truth: a higher number is better."""
    judged: dict[int, Pair] = {}
    for position in range(count):
        left, right = pair_at(places, judged, seed, position)
        result = "left" if LEVEL[left] > LEVEL[right] else "right"
        judged[position] = Pair(f"id{position}", "s", "anna", left, right, position, result)
    return judged


def test_everything_is_compared_soon() -> None:
    seen = Counter(place for pair in judge(8).values() for place in (pair.left, pair.right))
    assert set(seen) == set(PLACES)


def test_later_pairs_are_near_in_the_true_order() -> None:
    judged = judge(60)
    late = [abs(LEVEL[p.left] - LEVEL[p.right]) for position, p in judged.items() if position >= 30]
    assert np.mean(late) < 2
    # Random pairs of eight are 3 apart on average.


def test_the_next_pair_does_not_wait_for_this_judgement() -> None:
    judged = judge(20)
    one, other = dict(judged), dict(judged)
    last = judged[19]
    other[19] = Pair("x", "s", "anna", last.left, last.right, 19, "tie")
    assert pair_at(PLACES, one, 3, 20) == pair_at(PLACES, other, 3, 20)
    # Before it was judged, too: that is what was loaded ahead.
    del one[19]
    assert set(pair_at(PLACES, one, 3, 19)) == {last.left, last.right}


def test_a_pair_that_was_judged_stays() -> None:
    judged = judge(10)
    assert all(pair_at(PLACES, judged, 3, p) == (pair.left, pair.right) for p, pair in judged.items())


def test_sides_are_swapped_at_random() -> None:
    better_left = np.mean([pair.result == "left" for seed in range(10) for pair in judge(12, seed).values()])
    assert 0.35 < better_left < 0.65


def test_two_are_enough() -> None:
    judged = judge(4, places=PLACES[:2])
    assert {frozenset((pair.left, pair.right)) for pair in judged.values()} == {frozenset(PLACES[:2])}
