"""docs/parameters.md: every setting has a row, every test named exists, the page is what the code says."""

import ast
import importlib.util
import json
from functools import cache
from pathlib import Path

import pytest

from lora_lab.config import groups, settings
from lora_lab.config.parameters import ACTS, PARAMETERS
from lora_lab.config.parameters.peers import NOT_SETTINGS
from lora_lab.config.parameters.row import ACTS_ON_PACK, LEAVES
from lora_lab.optim.rows import ROWS
from lora_lab.optim.schedules import FORMULAS
from tests.run.acting import CASES, ELSEWHERE, OWN_PACK, SAME_WEIGHTS

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


def test_every_setting_has_a_row_and_every_row_a_setting() -> None:
    assert sorted(PARAMETERS) == sorted(settings())


@pytest.mark.parametrize("name", sorted(page_maker().named_tests()))
def test_a_named_test_exists(name: str) -> None:
    file, function = name.split("::")
    assert function.startswith("test_")
    assert function in functions(file)


@pytest.mark.parametrize(("test", "tried"), [(ACTS, CASES), (ACTS_ON_PACK, OWN_PACK), (LEAVES, SAME_WEIGHTS)])
def test_rows_name_the_trial_that_a_setting_stands_in(test: str, tried: dict[str, object]) -> None:
    named = {key for key, item in PARAMETERS.items() if test in item.tests}
    assert named <= set(tried)


@pytest.mark.parametrize("key", ELSEWHERE)
def test_what_is_not_tried_is_held_elsewhere(key: str) -> None:
    assert PARAMETERS[key].tests and not {ACTS, ACTS_ON_PACK, LEAVES} & set(PARAMETERS[key].tests)


def test_the_page_is_what_the_code_says() -> None:
    page = (ROOT / "docs/parameters.md").read_text(encoding="utf-8")
    assert page == page_maker().text(), "the settings have changed: write the page anew with `make docs`"


def test_the_page_has_a_row_for_everything_that_has_a_name() -> None:
    page = (ROOT / "docs/parameters.md").read_text(encoding="utf-8")
    for name in [
        *settings(),
        *ROWS,
        *FORMULAS,
        *NOT_SETTINGS,
        *(f"recipe={item}" for item in groups()["recipe"]),
    ]:
        assert f"| `{name}` |" in page, name


@pytest.mark.parametrize("argument", GOLDEN["sd-scripts"] + GOLDEN["network_args"] + GOLDEN["dataset files"])
def test_every_argument_of_the_peer_is_a_setting_or_has_a_reason(argument: str) -> None:
    named = {name for item in PARAMETERS.values() for name in item.peer}
    assert argument in named or argument in NOT_SETTINGS


def test_no_argument_of_the_peer_is_two_settings() -> None:
    named = [name for item in PARAMETERS.values() for name in item.peer]
    assert sorted(named) == sorted(set(named))
