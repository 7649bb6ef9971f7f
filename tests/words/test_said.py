"""The two languages say the same things, and nothing that the verdict says is in one of them alone."""

import ast
import pickle
import re
import string
from pathlib import Path

import pytest

import lora_lab
from lora_lab.errors import ConfigError
from lora_lab.verdict import result
from lora_lab.words import LANGUAGES, TEXTS, Label, check_language, in_language, joined, named, said, stage

PACKAGE = Path(lora_lab.__file__).parent
JAPANESE_LETTERS = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
NOT_SAID = {"note_same_why": {"why"}, "cheaper_equal": {"less"}}
"""Places that one language leaves out: reasons why settings cannot act are there in English alone."""
FAMILIES = ("call_", "finding_", "agree_", "cost_", "shots_", "head_")
"""Keys that are put together from what was found."""


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_language_has_every_text_with_the_same_places() -> None:
    english = TEXTS["en"]
    for texts in TEXTS.values():
        assert list(texts) == list(english)
        for key in english:
            left_out = NOT_SAID.get(key, set())
            assert fields(texts[key]) - left_out == fields(english[key]) - left_out, key


def test_nothing_is_left_untranslated() -> None:
    for key, text in TEXTS["ja"].items():
        rest = re.sub(r"\{\w+\}", "", text)
        assert JAPANESE_LETTERS.search(rest) or not re.search(r"[A-Za-z]", rest), key


def test_every_call_has_words() -> None:
    for call in result.CALLS:
        assert {f"call_{call}", f"finding_{call}"} <= set(TEXTS["en"])
    assert {f"call_{call}" for call in (result.INTERACTS, result.SEEMS_TO_INTERACT)} <= set(TEXTS["en"])


def code() -> str:
    files = [file for file in PACKAGE.rglob("*") if file.suffix in (".py", ".html")]
    return "".join(file.read_text() for file in files if file.stem not in ("english", "japanese"))


def test_no_text_is_there_in_vain() -> None:
    text = code()
    unused = [key for key in TEXTS["en"] if f'"{key}"' not in text and not key.startswith(FAMILIES)]
    assert unused == []


def sentences(file: Path) -> list[str]:
    """The texts of a module that read like sentences, but for docstrings and what an error says."""
    tree = ast.parse(file.read_text())
    raised = {id(part) for node in ast.walk(tree) if isinstance(node, ast.Raise) for part in ast.walk(node)}
    documented = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.count(" ") > 2
        if id(node) not in raised | documented
    ]


@pytest.mark.parametrize("file", sorted((PACKAGE / "verdict").glob("*.py")), ids=lambda file: file.stem)
def test_the_verdict_holds_numbers_and_labels_alone(file: Path) -> None:
    assert sentences(file) == []


def test_a_sentence_is_its_own_english_and_knows_its_japanese() -> None:
    text = said("run_score", run="b", score="62")
    assert text == "b (62)" and in_language(text, "en") == "b (62)"
    assert in_language(text, "ja") == "b（62）"
    whole = said("rivals_are", assumed="", runs=joined([text, text]))
    assert whole == "not told apart from it by these scores: b (62), b (62)"
    assert in_language(whole, "ja") == "この点数では差を判別できないもの：b（62）、b（62）"


def test_a_setting_is_called_as_the_language_calls_it() -> None:
    assert named("optimizer.name") == in_language(Label("optimizer.name"), "en") == "optimizer"
    assert in_language(named("optimizer.name"), "ja") == "オプティマイザー"


def test_what_is_no_sentence_stays_as_it_is() -> None:
    assert in_language("out of memory", "ja") == "out of memory"


@pytest.mark.parametrize(
    ("tag", "english", "japanese"),
    [
        ("000010", "epoch 10", "10エポック"),
        ("000000", "epoch 0", "0エポック"),
        ("step00000200", "step 200", "200ステップ"),
        ("step", "step", "step"),
        ("stepping", "stepping", "stepping"),
        ("last", "last", "last"),
        ("\u00b2", "\u00b2", "\u00b2"),
        ("9" * 5000, "9" * 5000, "9" * 5000),
    ],
)
def test_a_tag_is_an_epoch_or_a_step(tag: str, english: str, japanese: str) -> None:
    assert (stage(tag), in_language(stage(tag), "ja")) == (english, japanese)


def test_it_can_be_sent_to_another_process() -> None:
    text = said("runs_one", run="b")
    again = pickle.loads(pickle.dumps(text))
    assert again == text and in_language(again, "ja") == in_language(text, "ja")


def test_an_unknown_language_is_refused() -> None:
    assert [check_language(name) for name in LANGUAGES] == ["en", "ja"]
    with pytest.raises(ConfigError, match="--language de: must be en or ja"):
        check_language("de")
