"""Texts that users read say it in the field's words: no word of this project's own stands in them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import lora_lab
from lora_lab.config import settings
from lora_lab.words import TEXTS

PACKAGE = Path(lora_lab.__file__).parent
ROOT = PACKAGE.parent

PRIVATE = {
    r"\bpictures?\b": "images",
    r"\bbare (base )?model\b": "base model without LoRA",
    r"\bthe peer\b|\bpeer's\b": "sd-scripts",
    r"“moves by”": "repeatability (SD)",
    r"\bcannot act\b|\bdoes not act\b": "has no effect",
    r"so not told apart\b": "confounded (always changed together)",
    r"\b(made|logged|every) (an )?updates?\b|\bsingle updates\b": "steps",
}
"""Words of ours, and the field's."""
STORED = {"like a training picture"}
"""A flag in the records of older runs, which is read and never shown anew."""


def texts_of(module: Path) -> Iterator[str]:
    """The strings of a module that are sentences: no docstrings, and nothing without a space."""
    tree = ast.parse(module.read_text())
    unread = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in unread else None
        if isinstance(text, str) and " " in text.strip() and text not in STORED:
            # A format's placeholder is a name of the code.
            yield re.sub(r"\{[^{}]*\}", "", text)


def words_of(page: Path) -> str:
    """What a template shows: its text, and the attributes that are read out."""
    text = re.sub(r"\{[{%#].*?[}%#]\}", "", page.read_text(), flags=re.S)
    shown = re.findall(r'(?:alt|title|aria-label|placeholder)="([^"]*)"', text)
    return re.sub(r"<[^>]*>", " ", text) + " ".join(shown)


def private_in(text: str) -> list[str]:
    return [f"{found[0]} (say: {better})" for word, better in PRIVATE.items() if (found := _find(word, text))]


def _find(word: str, text: str) -> re.Match[str] | None:
    return re.search(word, " ".join(text.split()), re.IGNORECASE)


def test_a_private_word_is_found() -> None:
    assert private_in("30\npictures") == ["pictures (say: images)"]
    assert private_in("the bare base model") and not private_in("a base model without LoRA")


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_messages_say_it_in_the_fields_words(module: Path) -> None:
    found = [(text, words) for text in texts_of(module) if (words := private_in(text))]
    assert not found


def test_settings_say_it_in_the_fields_words() -> None:
    for key, setting in settings().items():
        said = f"{setting.label} {setting.doc} {setting.source}"
        assert not private_in(said), key
        # An update of the weights is a step, whatever is accumulated for it.
        assert not re.search(r"\bupdates?\b", said), key


PAGES = [*PACKAGE.rglob("*.html"), *PACKAGE.rglob("templates/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda file: file.name)
def test_pages_say_it_in_the_fields_words(page: Path) -> None:
    assert not private_in(words_of(page))


SCRIPTS = sorted((PACKAGE / "review/static").glob("*.js"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.name)
def test_keys_and_notices_say_it_in_the_fields_words(script: Path) -> None:
    said = [
        text
        for line in script.read_text().splitlines()
        if "says:" in line or "notice(" in line
        for text in re.findall(r'"([^"]*)"|`([^`]*)`', line)
    ]
    assert not [text for text in said if private_in(" ".join(text))]


DOCUMENTS = [
    ROOT / "README.md",
    *(file for file in (ROOT / "docs").glob("*.md") if file.name != "architecture.md"),
    *(ROOT / "conf").rglob("*.yaml"),
    *(ROOT / "sweeps").rglob("*.yaml"),
]


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_documents_say_it_in_the_fields_words(file: Path) -> None:
    # Links and paths are names.
    assert not private_in(re.sub(r"\]\([^)]*\)|`[^`]*`", "", file.read_text()))


def test_the_verdict_names_the_pareto_front_and_confounding() -> None:
    assert "Pareto front" in TEXTS["en"]["title_costs_more"]
    assert TEXTS["en"]["settings_together"].startswith("confounded (always change")
