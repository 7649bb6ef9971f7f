"""The report's languages say the same things."""

import re
import string

import pytest

from lora_lab.report.words import LANGUAGES, TEXTS, Words
from lora_lab.verdict import outcomes

TEMPLATE_CALLS = re.compile(r"w\.say\(\"(\w+)\"")
JAPANESE_LETTERS = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_language_has_every_text_with_the_same_places() -> None:
    english = TEXTS["en"]
    for texts in TEXTS.values():
        assert list(texts) == list(english)
        for key in english:
            assert fields(texts[key]) == fields(english[key]), key


def test_nothing_is_left_untranslated() -> None:
    for key, text in TEXTS["ja"].items():
        rest = re.sub(r"\{\w+\}", "", text)
        assert JAPANESE_LETTERS.search(rest) or not re.search(r"[A-Za-z]", rest), key
        assert text != TEXTS["en"][key] or not rest.strip(), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_call_and_state_has_words(language: str) -> None:
    from lora_lab.store import STATUSES

    keys = [f"status_{name}" for name in STATUSES]
    keys += [
        f"course_{name}" for name in (outcomes.OVER_TRAINED, outcomes.RISING, outcomes.FLAT, outcomes.SETTLED)
    ]
    assert set(keys) <= set(TEXTS[language])


def test_no_text_is_there_in_vain() -> None:
    from pathlib import Path

    import lora_lab.report

    folder = Path(lora_lab.report.__file__).parent
    code = "".join(file.read_text() for file in [*folder.glob("*.py"), *folder.glob("templates/*.html")]
                   if file.stem not in ("english", "japanese"))  # fmt: skip
    built = ("status_", "course_", "rule_", "judged_")
    from lora_lab.report.page import CONTENTS

    unused = [
        key
        for key in TEXTS["en"]
        if f'"{key}"' not in code and not key.startswith(built) and key not in CONTENTS
    ]
    assert unused == []


@pytest.mark.parametrize(
    ("criterion", "value", "signed", "text"),
    [
        ("score", 84.6, False, "85"), ("score", -0.03, False, "0"), ("score", None, False, "–"),
        ("score", -17.2, True, "−17"), ("score", 2.5, True, "+2.5"), ("sharpness", 0.01234, False, "0.0123"),
    ],
)  # fmt: skip
def test_numbers(criterion: str, value: float | None, signed: bool, text: str) -> None:
    assert Words("en", criterion).number(value, signed=signed) == text


def test_settings_are_named_in_the_report_s_language() -> None:
    assert Words("ja").changed({"train.max_train_epochs": 40, "optimizer.name": "lion"}) == (
        "エポック数 40、オプティマイザー lion"
    )
    assert Words("en").changed({"network.network_alpha": 1.0}) == "alpha 1"
