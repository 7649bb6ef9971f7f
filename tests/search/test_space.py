"""Spaces as sweep files have them."""

import numpy as np
import pytest
import yaml

from lora_lab.errors import ConfigError
from lora_lab.search.space import Choices, Range, read_space

TEXT = """
network.network_dim: [32, 4, 8]
optimizer:
  lion: {optimizer.learning_rate: {low: 1e-6, high: 1e-4, log: true}}
  adafactor: {}
train.max_train_epochs: {low: 5, high: 20, step: 5}
"""


def test_a_space_is_read_with_what_belongs_to_a_choice() -> None:
    space = read_space(yaml.safe_load(TEXT))
    dim, optimizer, epochs = space.parts
    assert isinstance(dim, Choices) and dim.values == (4, 8, 32)
    assert isinstance(optimizer, Choices) and optimizer.values == ("lion", "adafactor")
    assert isinstance(epochs, Range) and epochs.grid() == (5, 10, 15, 20)
    assert space.keys() == (
        "network.network_dim", "optimizer", "optimizer.learning_rate", "train.max_train_epochs",
    )  # fmt: skip
    assert space.size() == 3 * (13 + 1) * 4


def test_candidates_are_all_combinations_and_a_rate_belongs_to_its_optimizer() -> None:
    found = read_space(yaml.safe_load(TEXT)).candidates(np.random.default_rng(0))
    assert len(found) == len({repr(item) for item in found}) == 168
    assert all(("optimizer.learning_rate" in item) == (item["optimizer"] == "lion") for item in found)


def test_a_large_space_is_drawn_from() -> None:
    space = read_space({f"a.{name}": list(range(10)) for name in "abcdef"})
    found = space.candidates(np.random.default_rng(0), most=500)
    assert 450 < len(found) <= 500
    assert {item["a.c"] for item in found} == set(range(10))


def test_a_logarithmic_range_has_even_steps_of_three_digits() -> None:
    (part,) = read_space({"optimizer.learning_rate": {"low": "1e-5", "high": "1e-2", "log": True}}).parts
    grid = part.grid()
    assert len(grid) == 13 and grid[0] == 1e-5 and grid[-1] == 1e-2 and grid[4] == 1e-4
    assert max(b / a for a, b in zip(grid, grid[1:], strict=False)) < 1.79


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "must map settings to values"),
        ({"a.b": 3}, "needs a list of values"),
        ({"a.b": []}, "each of them once"),
        ({"a.b": [1, 1.0, "1"]}, "each of them once"),
        ({"a.b": [[1], [2]]}, "[1] is several values; a search chooses among words and numbers"),
        ({"a.b": [{"c": 1}, 2]}, "is several values"),
        ({"a.b": {"low": 1}}, "range of low and high"),
        ({"a.b": {"low": 1, "high": 2, "stp": 1}}, "range of low and high"),
        ({"a.b": {"low": 2, "high": 1}}, "low must be below high"),
        ({"a.b": {"low": 0, "high": 1, "log": True}}, "above 0 with log"),
        ({"a.b": {"low": 0, "high": float("inf")}}, "range of low and high"),
        ({"a.b": {"low": 1, "high": 4, "step": 0}}, "a step above 0"),
        ({"a.b": [1]}, "one combination only"),
        ({"optimizer": {"lion": {"x": 3}, "adamw": {}}}, "search.space: optimizer=lion: x needs a list"),
    ],
)
def test_mistakes_are_named(value: object, said: str) -> None:
    with pytest.raises(ConfigError, match=r"search\.space") as error:
        read_space(value)
    assert said in str(error.value)
