"""Which runs are hopeless by the scores so far: what a run is held against, and how far behind it may lie."""

import numpy as np
import pytest

from lora_lab.search.hopeless import LOOKS, Behind, Seen, granted, hopeless, look_due, scale_of


def curve(*scores: float, of: int = 8, samples: float = 800) -> list[Seen]:
    """Scores after each `1 / of` of a run of so many samples."""
    return [Seen(n / of, samples * n / of, score) for n, score in enumerate(scores, start=1)]


FOUR = {"a": curve(60, 70), "b": curve(58, 68), "c": curve(55, 66), "bad": curve(10, 12)}


def test_who_lies_far_below_the_second_best_is_hopeless_and_it_says_by_how_much() -> None:
    (name, why), *rest = hopeless(FOUR, FOUR).items()
    assert (name, rest) == ("bad", [])
    # Means of two checkpoints, after a quarter; b is the second best of the others.
    assert why == Behind(11, 63, pytest.approx(3 + 20 * 0.75 + 2 * 5), 0.25)
    assert hopeless(FOUR, ["a", "b"]) == {}, "only those that are asked about"


@pytest.mark.parametrize(("second", "ends"), [(39.0, False), (39.2, True)])
def test_the_limit_is_where_it_is_said_to_be(second: float, ends: bool) -> None:
    limit = granted(0.25, 2)
    curves = {"a": curve(90, 90), "b": curve(second, second), "c": curve(0, 0), "it": curve(11, 11)}
    assert limit == pytest.approx(28)
    assert bool(hopeless(curves, ["it"])) is ends


def test_less_is_granted_the_more_is_done_and_seen_and_the_less_noise_there_is() -> None:
    assert granted(0.25, 3) > granted(0.5, 3) > granted(1, 3)
    assert granted(0.5, 1) > granted(0.5, 3) == granted(0.5, 9)
    assert granted(0.5, 3, noise=10) > granted(0.5, 3, noise=5)
    assert hopeless(FOUR, FOUR, noise=50) == {}


def test_nobody_is_held_against_one_that_had_more_training() -> None:
    # The others were bad when they had been trained as little, by share of their length or by samples.
    rose = {"a": curve(10, 12, 70, 80), "b": curve(9, 12, 70, 80)}
    assert hopeless({**rose, "it": curve(10, 12)}, ["it"]) == {}
    short = {"a": curve(10, 12, 70, samples=8000), "b": curve(9, 12, 70, samples=8000)}
    assert hopeless({**short, "it": curve(10, 10, 12, samples=80)}, ["it"]) == {}
    assert hopeless({**rose, "it": curve(10, 12, 12, 12)}, ["it"])


def test_it_takes_two_others_and_a_way_still_to_go() -> None:
    assert hopeless({"a": curve(90, 90), "it": curve(0, 0)}, ["it"]) == {}
    done = curve(*[0] * 8)
    assert hopeless({"a": curve(*[90] * 8), "b": curve(*[90] * 8), "it": done}, ["it"]) == {}
    assert hopeless({"a": curve(90, 90), "b": curve(90, 90), "it": []}, ["it", "unknown"]) == {}


def test_the_best_of_all_never_ends() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        curves = {str(n): curve(*rng.uniform(0, 100, 3)) for n in range(9)}
        best = max(curves, key=lambda name: np.mean([point.score for point in curves[name]]))
        assert best not in hopeless(curves, curves, noise=0.1)


def test_it_is_looked_at_eight_times_however_often_it_saves() -> None:
    for steps in (8, 40, 1000):
        shares = [n / steps for n in range(steps + 1)]
        assert sum(look_due(one, next_) for one, next_ in zip(shares, shares[1:], strict=False)) == LOOKS
    assert look_due(0, 0.5) and not look_due(0, 0.1)


def test_a_scale_of_its_own_is_brought_to_points_by_its_noise() -> None:
    assert scale_of("score", None) == (1, 5) and scale_of("likeness", 8) == (1, 8)
    assert scale_of("clip_i", 0.02) == (pytest.approx(0.004), 5)
