from dataclasses import replace
from random import Random

import numpy as np
import pytest

from lora_lab.demo.drawing import BACKGROUND_RGB, HAIR_RGB, render
from lora_lab.demo.portraits import TRIGGER, Portrait, sample, subject, tags, vocabulary


def test_the_same_portrait_gives_the_same_image():
    one = [render(sample(Random(7))).tobytes() for _ in range(2)]
    assert one[0] == one[1]
    assert render(sample(Random(8))).tobytes() != one[0]


@pytest.mark.parametrize("size", [32, 64, 128])
def test_size_and_mode(size):
    image = render(Portrait(), size)
    assert image.size == (size, size)
    assert image.mode == "RGB"


def test_drawn_colors_are_those_of_the_attributes():
    image = np.asarray(render(Portrait(hair_color="green", background="pink")))
    assert tuple(image[2, 2]) == BACKGROUND_RGB["pink"]
    assert tuple(image[15, 26]) == HAIR_RGB["green"]


def test_tags_name_every_attribute_of_the_domain():
    rng = Random(0)
    for _ in range(200):
        portrait = sample(rng)
        own = tags(portrait)
        assert f"{portrait.hair_color} hair" in own
        assert f"{portrait.background} background" in own
        assert f"{portrait.pattern} background" in own
        assert portrait.mouth in own
        assert ("glasses" in own) == portrait.glasses
        assert {"cap", "beanie", "witch hat"} & set(own) == ({portrait.hat} if portrait.hat else set())
        assert set(own) <= set(vocabulary())


def test_the_domain_never_has_the_features_of_the_subject():
    rng = Random(0)
    others = [sample(rng) for _ in range(500)]
    assert not any(p.ears or p.star or p.hair_color_right for p in others)
    assert not any(TRIGGER in tag for p in others for tag in tags(p))


def test_the_subject_keeps_its_features_while_the_rest_varies():
    rng = Random(0)
    many = [subject(rng) for _ in range(60)]
    assert all(p.ears and p.star and (p.hair_color, p.hair_color_right) == ("white", "red") for p in many)
    for attribute in ("background", "pattern", "mouth", "shirt_color", "glasses"):
        assert len({getattr(p, attribute) for p in many}) > 1
    assert not any("hair" in tag or "eyes" in tag or "skin" in tag for p in many for tag in tags(p))


@pytest.mark.parametrize(
    "change", [{"ears": False}, {"star": False}, {"hair_color_right": None}, {"glasses": True}]
)
def test_each_feature_is_visible(change):
    portrait = replace(subject(Random(1)), glasses=False)
    before = np.asarray(render(portrait), dtype=int)
    after = np.asarray(render(replace(portrait, **change)), dtype=int)
    assert (np.abs(before - after).sum(axis=2) > 60).sum() > 20
