"""Declarations are whole, every test named exists, and docs/parameters.md is what the code says."""

import ast
import importlib.util
import json
from functools import cache
from pathlib import Path

import pytest

from lora_lab.config import Setting, groups, settings
from lora_lab.config.peers import NOT_SETTINGS
from lora_lab.optim.entries import ENTRIES
from lora_lab.optim.schedules import FORMULAS
from tests.held_by import HELD_BY

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests/golden/peer_arguments.json").read_text(encoding="utf-8"))


@cache
def page_maker():
    """docs/make_parameters.py as a module."""
    spec = importlib.util.spec_from_file_location("make_parameters", ROOT / "docs/make_parameters.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def functions(file: str) -> set[str]:
    """The tests of a file, with those of its classes."""
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("item", settings().values(), ids=lambda item: item.key)
def test_a_declaration_is_whole(item: Setting) -> None:
    assert item.doc and item.source
    assert bool(item.trial) == item.trains, "a setting that trains has a trial, another has none"
    assert page_maker().holding(item), "no test holds it: name one in tests/held_by.py"


def test_only_settings_have_tests() -> None:
    assert set(HELD_BY) <= set(settings())


def test_nothing_that_ships_names_a_test() -> None:
    for file in (ROOT / "lora_lab").rglob("*.py"):
        assert "::test_" not in file.read_text(encoding="utf-8"), file


@pytest.mark.parametrize("name", sorted(page_maker().named_tests()))
def test_a_named_test_exists(name: str) -> None:
    file, function = name.split("::")
    assert function.startswith("test_")
    assert function in functions(file)


def test_the_page_is_what_the_code_says() -> None:
    page = (ROOT / "docs/parameters.md").read_text(encoding="utf-8")
    assert page == page_maker().text(), "the settings have changed: write the page anew with `make docs`"


def test_the_page_has_a_row_for_everything_that_has_a_name() -> None:
    page = (ROOT / "docs/parameters.md").read_text(encoding="utf-8")
    for name in [
        *settings(),
        *ENTRIES,
        *FORMULAS,
        *NOT_SETTINGS,
        *(f"recipe={item}" for item in groups()["recipe"]),
    ]:
        assert f"| `{name}` |" in page, name


@pytest.mark.parametrize("argument", GOLDEN["sd-scripts"] + GOLDEN["network_args"] + GOLDEN["dataset files"])
def test_every_argument_of_the_peer_is_a_setting_or_has_a_reason(argument: str) -> None:
    named = {name for item in settings().values() for name in item.peer}
    assert argument in named or argument in NOT_SETTINGS


def test_no_argument_of_the_peer_is_two_settings() -> None:
    named = [name for item in settings().values() for name in item.peer]
    assert sorted(named) == sorted(set(named))
