"""Numbers of things: one thing has no plural, and no other code makes plurals."""

import re
from pathlib import Path

import pytest

import lora_lab
from lora_lab.counts import counted, filled, whole, whole_number
from lora_lab.words import said

PACKAGE = Path(lora_lab.__file__).parent


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0 runs"), (1, "1 run"), ("1", "1 run"), (2, "2 runs"), (1234, "1234 runs")]
)
def test_one_thing_has_no_plural(number: object, shown: str) -> None:
    assert counted(number, "run") == shown
    assert filled("{n:run|runs}", n=number) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(80.5, "81"), (80.4, "80"), (81.5, "82"), (0.5, "1"), (0.0, "0"), (-0.3, "0"), (100, "100")],
)
def test_halves_go_up(value: float, shown: str) -> None:
    assert whole(value) == shown


def test_what_agrees_with_a_number_agrees() -> None:
    assert counted(1, "caption lacks", "captions lack") == "1 caption lacks"
    assert counted(3, "caption lacks", "captions lack") == "3 captions lack"


def test_other_values_are_as_in_any_text() -> None:
    assert filled("{a} {b:.1f} {{c}}", a="x", b=2.25) == "x 2.2 {c}"


def test_sentences_of_the_verdict_count() -> None:
    assert said("scores_n", n=1) == "1 score" and said("scores_n", n=2) == "2 scores"
    assert said("runs_judged", n=1, rule="x").startswith("1 run with a score")


def test_nobody_else_makes_plurals() -> None:
    makes = re.compile(r"""(?<!\w)['"]s['"] if |if [^'"\n]* else ['"]s['"]""")
    found = [
        f"{file.relative_to(PACKAGE)}: {line.strip()}"
        for file in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.html")])
        for line in file.read_text(encoding="utf-8").splitlines()
        if makes.search(line) and "shots_" not in line
    ]
    assert not found


@pytest.mark.parametrize(
    ("text", "number"),
    [("12", 12), ("000010", 10), ("\uff11\uff12", 12), ("", None), (" 1", None), ("-1", None), ("1.0", None),
     ("\u00b2", None), ("9" * 12, 10**12 - 1), ("9" * 13, None), ("9" * 5000, None)],
)  # fmt: skip
def test_a_whole_number_is_decimal_digits_and_few(text: str, number: int | None) -> None:
    assert whole_number(text) == number
