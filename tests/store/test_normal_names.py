"""Names of raters and tags of checkpoints in one normal form."""

import pytest

from lora_lab.store.normal_names import find_tag, rater_key, rater_name

TAGS = ["000005", "000010", "000020", "step00000200", "final"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("000020", "000020"), ("20", "000020"), ("020", "000020"), ("20.0", "000020"), (" 20 ", "000020"),
        ("\uff12\uff10", "000020"), ("0000000020", "000020"), ("step200", "step00000200"),
        ("Step 200", "step00000200"), ("step00000200", "step00000200"), ("final", "final"),
        ("200", None), ("step20", None), ("20.5", None), ("", None), ("-20", None), ("2e1", None),
        ("last", None), ("9" * 400, None),
    ],
)  # fmt: skip
def test_tags_are_found_however_they_are_written(asked: str, found: str | None) -> None:
    assert find_tag(asked, TAGS) == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("AB", "ab"), ("Stra\u00dfe", "STRASSE"), ("\u00e9", "e\u0301"), ("a  b", " a b "),
        ("a\u3000b", "a b"), ("a\u00a0b", "a b"), ("\u00c9", "e\u0301"),
    ],
)  # fmt: skip
def test_spellings_of_one_name(one: str, other: str) -> None:
    assert rater_key(one) == rater_key(other)
    assert rater_name(other, [one]) == one


@pytest.mark.parametrize(("one", "other"), [("Ann", "Anna"), ("ab", "a b"), ("e", "\u00e9")])
def test_other_names_stay_apart(one: str, other: str) -> None:
    assert rater_key(one) != rater_key(other)
    assert rater_name(other, [one]) == other
