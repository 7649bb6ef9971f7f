from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from PIL import Image

from lora_lab.demo.drawing import render
from lora_lab.demo.likeness import parts, score, score_each
from lora_lab.demo.portraits import Portrait, sample, subject

OWN = [
    {"skin": "fair skin", "eye_color": "green"},
    {"star": True},
    {"hair_color": "white", "hair_color_right": "red"},
    {"ears": True},
]


def test_real_images_score_high():
    rng = Random(100)
    scores = score_each([render(subject(rng)) for _ in range(30)])
    assert np.mean(scores) > 95
    assert min(scores) > 75


def test_other_characters_score_low():
    rng = Random(101)
    scores = score_each([render(sample(rng)) for _ in range(40)])
    assert np.mean(scores) < 10
    assert max(scores) < 30


@pytest.mark.parametrize("rgb", [(0, 0, 0), (128, 128, 128), (255, 255, 255), (250, 220, 196), (30, 80, 240)])
def test_flat_images_score_about_nothing(rgb):
    assert score([Image.new("RGB", (64, 64), rgb)]) < 8


def test_noise_scores_nothing():
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(4)]
    assert score(noise) < 1


@pytest.mark.parametrize("seed", range(3))
def test_a_blend_scores_the_more_the_more_of_the_subject_it_holds(seed):
    other = sample(Random(seed))
    wanted = replace(subject(Random(seed)), dx=other.dx, dy=other.dy, scale=other.scale)
    blends = [Image.blend(render(other), render(wanted), a) for a in (0.0, 0.25, 0.5, 0.75, 1.0)]
    scores = score_each(blends)
    assert all(later >= earlier for earlier, later in pairwise(scores))
    assert scores[0] < 30 < scores[3]
    assert scores[4] > 90


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_every_feature_added_raises_the_score(order):
    portrait = Portrait(skin="dark skin", hair_color="blonde", eye_color="brown", background="purple")
    scores = [score([render(portrait)])]
    for i in order:
        portrait = replace(portrait, **OWN[i])
        scores.append(score([render(portrait)]))
    assert all(later >= earlier for earlier, later in pairwise(scores))
    assert scores[-1] - scores[0] > 80


def test_position_clothes_and_mood_do_not_matter():
    base = subject(Random(5))
    for change in (
        {"dx": 3.0},
        {"dy": -2.0},
        {"scale": 0.95},
        {"shirt_color": "black"},
        {"mouth": "open mouth"},
    ):
        assert score([render(replace(base, **change))]) > 85


def test_hair_in_one_color_is_not_two_tone():
    white = replace(subject(Random(2)), hair_color_right=None)
    assert parts(render(white))["hair"] < 0.2


def test_size_and_mode_do_not_matter():
    image = render(subject(Random(3)))
    large = image.resize((256, 256), Image.Resampling.NEAREST).convert("RGBA")
    assert score([large]) == pytest.approx(score([image]), abs=0.01)
    assert np.isnan(score([]))
