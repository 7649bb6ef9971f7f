"""A second session for the leaders: who is looked at again, how often, in which order."""

import random

import pytest

from lora_lab.store.scores import Place
from lora_lab.verdict.leaders import (
    APART,
    DECOYS,
    EYE_SD,
    PART,
    eye,
    length,
    next_looks,
    posterior,
    second_session,
    without_levels,
)


def given(seed: int = 0, places: int = 12, apart: float = 1.0) -> dict[Place, list[float]]:
    draw = random.Random(seed)
    return {(f"run-{at}", "000010"): [50 + apart * at + draw.gauss(0, 6)] for at in range(places)}


def session(scores: dict[Place, list[float]], count: int, seed: int) -> list[Place]:
    """A whole second session in which every score comes out as it did before."""
    known = {place: list(values) for place, values in scores.items()}
    shown: list[Place] = []
    while part := next_looks(known, 6.0, shown, count, seed):
        shown += part
        for place in part:
            known[place].append(scores[place][0])
    return shown


def test_the_leaders_are_looked_at_most_and_some_others_too() -> None:
    scores = given(apart=4)
    looks = session(scores, 20, seed=1)
    best = sorted(scores, key=lambda place: -scores[place][0])
    assert len(looks) == 20
    assert sum(place in best[:4] for place in looks) > 10
    assert sum(place in best[6:] for place in looks) >= DECOYS, (
        "a session does not consist of good ones alone"
    )


def test_what_was_just_said_decides_who_comes_next() -> None:
    scores = {(f"run-{at}", "1"): [60.0 - at] for at in range(12)}
    first = next_looks(scores, 6.0, (), 8, seed=7)
    fallen = first[0]
    worse = {place: [*values, 0.0, 0.0] if place == fallen else values for place, values in scores.items()}
    leaders = next_looks(worse, 6.0, first, 80, seed=7)
    assert fallen in next_looks({**scores, fallen: [60.0, 99.0]}, 6.0, first, 80, seed=7)
    assert fallen not in leaders and len(leaders) == PART


@pytest.mark.parametrize("places", [3, 4, 5, 6, 9, 25])
@pytest.mark.parametrize("count", [8, 20, 32])
def test_no_place_comes_back_soon(places: int, count: int) -> None:
    steps = session(given(places=places), count, seed=2)
    assert len(steps) == length(count, places), "no look that was promised is left out"
    for one, place in enumerate(steps):
        assert place not in steps[max(0, one - APART) : one]


def test_a_stricter_session_is_told_from_leaders_who_had_luck() -> None:
    # Twelve places that deserve the same; six of them had luck of 5 points, and are shown again.
    first = {(f"run-{at}", "1"): [55.0 if at < 6 else 45.0] for at in range(12)}
    fair = {place: [50.0] for place in list(first)[:6]}
    level = {place: [40.0] for place in list(first)[:6]}

    def shift(second: dict[Place, list[float]]) -> float:
        return second["run-0", "1"][0] - without_levels({"1": first, "2": second}, 6.0)["run-0", "1"][1]

    assert -2 < shift(fair) < 0, "least squares would take the fall of 5 points for the session's level"
    assert shift(level) < shift(fair) - 3
    assert without_levels({"1": first}, 6.0) == first, "one session has no level of its own"


def test_a_session_is_offered_while_the_top_is_open() -> None:
    offered = second_session(given(), 6.0)
    assert (
        offered is not None
        and offered.then > offered.now + 0.1
        and offered.looks % PART == 0
        and 8 <= offered.looks <= 32
    )


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


def test_two_sessions_find_the_best_more_often_than_one() -> None:
    draw, within = random.Random(9), [0, 0]
    for turn in range(150):
        true: dict[Place, float] = {(f"r{i}", "1"): draw.gauss(60, 10) for i in range(25)}
        first = {place: [value + draw.gauss(0, 8)] for place, value in true.items()}
        both = {place: list(values) for place, values in first.items()}
        shown: list[Place] = []
        while part := next_looks(both, 8.0, shown, 32, seed=turn):
            shown += part
            for place in part:
                both[place].append(true[place] + draw.gauss(0, 8))
        for number, given in enumerate((first, both)):
            known = posterior(given, 8.0)
            best = max(known, key=lambda place: known[place][0])
            within[number] += true[best] >= max(true.values()) - 3
    assert within[1] > within[0] + 15 and within[1] >= 0.8 * 150, within
