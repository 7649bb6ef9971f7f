"""Values of a form: what is taken as typed, and what is refused by name."""

import pytest
from starlette.exceptions import HTTPException

from lora_lab.review.web.forms import LONGEST_LINES, Posted


def test_lines_are_kept_as_typed_but_for_their_ends() -> None:
    given = Posted({"a": [" x  = 1 \r\n\r\n\ty\n"], "b": "two  words "})
    assert given.lines("a") == ["x  = 1", "y"]
    assert given.line("b") == "two  words" and given.text("b") == "two words"
    assert given.line("nothing") == "" and given.lines("nothing") == []


@pytest.mark.parametrize("value", [1, ["a", None], "x" * (LONGEST_LINES + 1), "half \ud83d"])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(HTTPException, match="a (must be a text|holds half of a sign)"):
        Posted({"a": value}).lines("a")


def test_one_line_is_one_line() -> None:
    with pytest.raises(HTTPException, match="name must be one line, got 2"):
        Posted({"name": "a\nb"}).line("name")


@pytest.mark.parametrize(("sent", "said"), [([], r"\[\]"), (None, "None"), ([[]], r"\[\]"), ({}, r"\{\}")])
def test_what_is_no_number_is_shown_as_it_was_sent(sent: object, said: str) -> None:
    with pytest.raises(HTTPException, match=f"value must be a number from 0 to 100, got {said}"):
        Posted({"value": sent}).number("value", 0, 100)
