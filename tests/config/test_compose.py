"""Laying a plain group file over a composition gives what Hydra itself composes."""

import pytest
from omegaconf import OmegaConf

from lora_lab.config import compose, groups
from lora_lab.config.compose import _by_hydra, _with_groups

CHOICES = [f"{group}={name}" for group, names in groups().items() for name in names]


@pytest.mark.parametrize("choice", CHOICES)
def test_a_choice_is_what_hydra_composes(choice: str) -> None:
    ours = OmegaConf.to_container(_with_groups((choice,), ()))
    assert ours == OmegaConf.to_container(_by_hydra((choice,), ()))


def test_the_last_of_two_choices_counts() -> None:
    ours = OmegaConf.to_container(_with_groups(("optimizer=lion", "optimizer=adafactor"), ()))
    assert ours == OmegaConf.to_container(_by_hydra(("optimizer=adafactor",), ()))


def test_values_of_an_earlier_composition_are_not_touched() -> None:
    before = compose(["optimizer=lion"])
    compose(["optimizer=lion", "optimizer.learning_rate=7", "optimizer.args.weight_decay=1"])
    assert compose(["optimizer=lion"]) == before
