"""A second session for the leaders: who is looked at again, how often, in which order."""

import random
from itertools import combinations

import pytest

from lora_lab.store.scores import Place
from lora_lab.verdict.leaders import (
    APART,
    EYE_SD,
    eye,
    in_order,
    looks_again,
    posterior,
    second_session,
)


def given(seed: int = 0, places: int = 12, apart: float = 1.0) -> dict[Place, list[float]]:
    draw = random.Random(seed)
    return {(f"run-{at}", "000010"): [50 + apart * at + draw.gauss(0, 6)] for at in range(places)}


def test_the_leaders_are_looked_at_most_and_some_others_too() -> None:
    scores = given(apart=4)
    looks = looks_again(scores, 6.0, 20, seed=1)
    best = sorted(scores, key=lambda place: -scores[place][0])
    assert sum(looks.values()) == 20
    assert sum(looks[place] for place in best[:4]) > sum(looks[place] for place in best[4:])
    assert any(looks[place] for place in best[6:]), "a session does not consist of good ones alone"


@pytest.mark.parametrize("places", [3, 5, 6, 9, 25])
@pytest.mark.parametrize("count", [8, 20, 32])
def test_no_place_comes_back_soon(places: int, count: int) -> None:
    looks = looks_again(given(places=places), 6.0, count, seed=2)
    steps = in_order(looks, seed=3)
    at: dict[Place, list[int]] = {}
    for number, (run, tag, again) in enumerate(steps):
        assert again == ((run, tag) in at), "only what was shown before is a repeat"
        at.setdefault((run, tag), []).append(number)
    for numbers in at.values():
        assert all(later - sooner > APART for sooner, later in combinations(numbers, 2))
    if places > 2 * APART or places <= APART:
        assert len(steps) >= 0.9 * sum(looks.values()), "next to nothing that was chosen is left out"
    assert len({(run, tag) for run, tag, _ in steps}) == len(looks)


def test_a_session_is_offered_while_the_top_is_open() -> None:
    offered = second_session(given(), 6.0)
    assert offered is not None and offered.then > offered.now + 0.1 and 8 <= offered.looks <= 32


def test_none_is_offered_where_one_is_clearly_best_or_nothing_can_be_told() -> None:
    clear = given()
    clear["run-0", "000010"] = [99.0, 98.0]
    assert second_session(clear, 4.0) is None
    assert second_session(given(places=2), 6.0) is None


def test_few_alike_scores_do_not_say_that_nothing_differs() -> None:
    scores = {(f"run-{at}", "1"): [60.0 + at % 2] for at in range(8)}
    assert all(variance > 5 for _, variance in posterior(scores, 6.0).values())


def test_an_eye_is_drawn_towards_what_is_usual() -> None:
    assert eye(None, 0) == EYE_SD
    assert 1 < eye(1.0, 2) < EYE_SD < eye(12.0, 2) < 12
    assert eye(1.0, 100) < 2
