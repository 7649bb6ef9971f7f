import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from lora_lab.data import captions
from lora_lab.data.settings import CaptionSettings

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "captions.json").read_text())
TEXT = "sks girl, solo, long hair, blue eyes"


def _process(text: str, seed: int = 0, epoch: int = 1, **settings) -> str:
    return captions.process(text, CaptionSettings(**settings), random.Random(seed), epoch)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda c: c["tag"])
def test_prompts_are_the_peers(case):
    settings = CaptionSettings(**case["settings"])
    for seed, expected in enumerate(case["outputs_for_seed_0_to_n"]):
        rng = random.Random(seed)
        got = captions.process(
            case["caption"],
            settings,
            rng,
            case["epoch"],
            step=case["step"],
            max_train_steps=case["max_train_steps"],
        )
        assert got == expected


def test_empty_tags_survive_a_shuffle():
    got = _process("a,b,,c,d", shuffle_caption=True)
    assert sorted(got.split(", ")) == ["", "a", "b", "c", "d"]


def test_prefix_and_suffix_travel_with_their_tag():
    got = {_process("a, b, c", seed, shuffle_caption=True, caption_suffix="z") for seed in range(20)}
    assert all("c z" in one for one in got) and len(got) > 3


def test_secondary_separator_keeps_tags_together():
    got = {_process("a;;b, c", s, shuffle_caption=True, secondary_separator=";;") for s in range(9)}
    assert got == {"a,b, c", "c, a,b"}


def test_one_of_several_lines():
    text = "first\nsecond {x|y}"
    assert _process(text) == "first"
    drawn = {_process(text, s, enable_wildcard=True, caption_suffix="end") for s in range(30)}
    assert drawn == {"first end", "second x end", "second y end"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a girl, smile", "mikocat, a girl, smile"),
        ("mikocat girl, smile", "mikocat girl, smile"),
        ("1girl, Mikocat", "1girl, Mikocat"),
        ("mikocats", "mikocat, mikocats"),
        ("", "mikocat"),
    ],
)
def test_trigger_word_is_put_in_front_where_it_is_missing(text, expected):
    assert _process(text, trigger_word="mikocat") == expected


def test_trigger_word_is_dropped_with_the_caption():
    assert _process(TEXT, trigger_word="mikocat", caption_dropout_rate=1.0) == ""


def test_dropout_share():
    dropped = sum(_process(TEXT, seed, caption_dropout_rate=0.25) == "" for seed in range(2000))
    assert 420 < dropped < 580  # 4 standard deviations


@pytest.mark.parametrize(
    "settings",
    [{"shuffle_caption": True}, {"enable_wildcard": True}, {"caption_tag_dropout_rate": 0.1}],
)
def test_settings_that_draw_are_not_deterministic(settings):
    assert not captions.deterministic(CaptionSettings(**settings))
    assert captions.prompts(TEXT, CaptionSettings(**settings)) is None


def test_deterministic_prompts_are_all_that_can_come():
    settings = CaptionSettings(caption_dropout_rate=0.5, caption_prefix="photo of", trigger_word="miko")
    expected = captions.prompts(TEXT, settings)
    drawn = {captions.process(TEXT, settings, random.Random(s), 1) for s in range(40)}
    assert expected is not None and drawn == set(expected) == {f"photo of miko, {TEXT}", ""}
    assert captions.prompts(TEXT, replace(settings, caption_dropout_rate=0.0)) == [f"photo of miko, {TEXT}"]


def test_tag_frequency_counts_draws():
    got = captions.tag_frequency([("a, b", 10), ("b,, c", 2)])
    assert got == {"b": 12, "a": 10, "c": 2} and next(iter(got)) == "b"


def test_pony_tags_behind_the_trigger_stay_in_front():
    """What the style recipe advises: trigger first, four quality tags, keep_tokens=5."""
    settings = CaptionSettings(
        caption_prefix="hokusaistyle, score_9, score_8_up, score_7_up, source_anime,",
        keep_tokens=5,
        shuffle_caption=True,
        trigger_word="hokusaistyle",
    )
    for seed in range(20):
        tags = captions.process("sea, boat, sky, wave", settings, random.Random(seed), 1).split(", ")
        assert tags[:5] == ["hokusaistyle", "score_9", "score_8_up", "score_7_up", "source_anime"]
        assert sorted(tags[5:]) == ["boat", "sea", "sky", "wave"]
