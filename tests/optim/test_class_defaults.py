"""The defaults of optimizer classes, held to the classes that are installed."""

import importlib
import inspect

import pytest

from lora_lab.config import compose
from lora_lab.effective import Facts, resolve
from lora_lab.optim.entries import ENTRIES


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_what_the_table_says_is_what_the_class_takes(name: str) -> None:
    entry = ENTRIES[name]
    module, _, cls = entry.target.rpartition(".")
    signature = inspect.signature(getattr(importlib.import_module(module), cls).__init__)
    taken = {
        argument: given.default
        for argument, given in signature.parameters.items()
        if given.default is not inspect.Parameter.empty and argument in (entry.arguments or {})
    }
    assert taken.items() <= entry.class_defaults.items()


WRITTEN_OUT = [
    ("adamw", "weight_decay", "0.01"),
    ("adamw", "eps", "1e-8"),
    ("adamw", "betas", "[0.9,0.999]"),
    ("adamw8bit", "weight_decay", "0.01"),
    ("lion", "betas", "[0.9,0.99]"),
    ("prodigy", "d_coef", "1.0"),
    ("adafactor", "clip_threshold", "1.0"),
    ("adafactor", "relative_step", "true"),
    ("sgdnesterov", "momentum", "0.9"),
]


@pytest.mark.parametrize(("optimizer", "argument", "value"), WRITTEN_OUT)
def test_a_default_written_out_is_the_same_experiment(optimizer: str, argument: str, value: str) -> None:
    base = ["base_model=demo", "dataset.path=d", f"optimizer={optimizer}", "optimizer.args={}"]
    plain, written, other = (
        resolve(compose([*base, *more]), Facts(), {"dataset": "d"})
        for more in ([], *([f"++optimizer.args.{argument}={text}"] for text in (value, OTHER[argument])))
    )
    assert plain.fingerprint == written.fingerprint and plain.acting == written.acting
    assert plain.fingerprint != other.fingerprint


OTHER = {
    "weight_decay": "0.5", "eps": "1e-5", "betas": "[0.5,0.6]", "d_coef": "2", "clip_threshold": "2",
    "relative_step": "false", "momentum": "0.5",
}  # fmt: skip
