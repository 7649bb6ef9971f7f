"""How far an image moved towards an edit, on changes whose answer is known."""

import numpy as np
import pytest

from lora_lab.copier.measure import edit_of, moved

RNG = np.random.default_rng(0)
BEFORE = RNG.uniform(0, 255, (16, 12, 3))
GREY = np.repeat((BEFORE @ [0.299, 0.587, 0.114])[..., None], 3, axis=2)
OTHER = RNG.uniform(0, 255, (16, 12, 3))
OTHER_GREY = np.repeat((OTHER @ [0.299, 0.587, 0.114])[..., None], 3, axis=2)


def test_black_and_white_is_a_rule_for_every_image() -> None:
    edit = edit_of(BEFORE, GREY)
    assert edit.explained == pytest.approx(1) and edit.is_rule
    whole, half = moved(edit, OTHER, OTHER_GREY), moved(edit, OTHER, (OTHER + OTHER_GREY) / 2)
    assert (whole.towards, whole.else_) == (pytest.approx(1), pytest.approx(0, abs=1e-9))
    assert (half.towards, half.else_) == (pytest.approx(0.5), pytest.approx(0, abs=1e-9))
    assert half.distance == pytest.approx(whole.distance / 2)


def test_nothing_and_the_opposite() -> None:
    edit = edit_of(BEFORE, GREY)
    still, back = moved(edit, OTHER, OTHER), moved(edit, OTHER, 2 * OTHER - OTHER_GREY)
    assert (still.towards, still.else_, still.distance) == (0, 0, 0)
    assert (back.towards, back.else_) == (pytest.approx(-1), pytest.approx(0, abs=1e-9))


def test_what_lies_across_is_something_else() -> None:
    edit = edit_of(BEFORE, GREY)
    aim = OTHER_GREY - OTHER
    noise = RNG.normal(size=aim.shape)
    across = noise - aim * (noise * aim).sum() / np.square(aim).sum()
    across *= np.sqrt(np.square(aim).sum() / np.square(across).sum())
    found = moved(edit, OTHER, OTHER + across)
    assert (found.towards, found.else_) == (pytest.approx(0, abs=1e-9), pytest.approx(1))


def test_a_change_in_one_place_is_expected_there_alone() -> None:
    after = BEFORE.copy()
    after[4:8, 3:6] = RNG.uniform(0, 255, (4, 3, 3))
    edit = edit_of(BEFORE, after)
    assert not edit.is_rule
    found = moved(edit, OTHER, OTHER + (after - BEFORE))
    assert (found.towards, found.else_) == (pytest.approx(1), pytest.approx(0, abs=1e-9))
