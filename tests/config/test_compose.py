"""Laying a plain group file over a composition gives what Hydra itself composes."""

import pytest
from omegaconf import OmegaConf

from lora_lab.config import CONF_DIR, compose, flat, groups
from lora_lab.config.assigning import WHICH
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


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        (["optimizer.name=adamw", "optimizer=lion"], "optimizer.name", "lion"),
        (["network.type=lora", "network=loha"], "network.type", "loha"),
        (["stop.name=hopeless", "stop=off"], "stop.name", "off"),
        (["lr_scheduler.name=constant", "lr_scheduler=cosine"], "lr_scheduler.name", "cosine"),
        (["engine.name=slurm", "engine=local"], "engine.name", "local"),
        (["base_model.family=sdxl", "base_model=sd2"], "base_model.family", "sd2"),
        (["optimizer=lion", "optimizer.name=adamw"], "optimizer.name", "adamw"),
        (["stop=hopeless", "stop.name=off", "stop.judge=likeness"], "stop.name", "off"),
    ],
)
def test_the_later_of_a_choice_and_its_name_counts(overrides: list[str], key: str, value: str) -> None:
    assert flat(compose(overrides, checked=False))[key] == value


def test_other_settings_stand_over_a_later_choice() -> None:
    made = compose(["optimizer.learning_rate=7e-4", "optimizer.name=adamw", "optimizer=lion"])
    assert (made.optimizer.name, made.optimizer.learning_rate) == ("lion", 7e-4)


def test_every_choice_says_which_it_is() -> None:
    for key in WHICH:
        group, _, name = key.partition(".")
        files = list((CONF_DIR / group).glob("*.yaml"))
        assert len(files) > 1
        for file in files:
            assert OmegaConf.load(file)[name], file
