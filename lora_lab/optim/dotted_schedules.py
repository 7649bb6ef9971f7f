"""Schedules given as the dotted path of a torch scheduler class."""

import importlib
import inspect
import warnings
from collections.abc import Mapping

import torch

from lora_lab.errors import ConfigError

_LENGTHS = ("total_steps", "T_max")
"""Arguments of torch's schedulers that are the length of the run; filled in where they are not given."""


def factor_table(
    name: str, args: Mapping[str, object], total_steps: int, learning_rate: float
) -> tuple[float, ...]:
    """The rate of each step as a share of the base rate, found by running the class once.

    Only the rate is taken: a class that also moves momentum (OneCycleLR) moves that of a stand-in.

    Raises:
        ConfigError: The class is not there, refuses its arguments, or follows a metric.
    """
    maker = _class_of(name)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=learning_rate, momentum=0.9)
    known = inspect.signature(maker).parameters
    lengths = {key: total_steps for key in _LENGTHS if key in known and key not in args}
    try:
        scheduler = maker(optimizer, **lengths, **args)
        rates = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(total_steps):
                rates.append(float(optimizer.param_groups[0]["lr"]))
                optimizer.step()
                if len(rates) < total_steps:
                    scheduler.step()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"lr_scheduler.args: {name} refuses them, or follows a metric: {error}") from error
    return tuple(rate / learning_rate for rate in rates)


def _class_of(name: str) -> type:
    module_name, _, class_name = name.rpartition(".")
    try:
        found: type = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"lr_scheduler.name={name}: cannot be imported ({error}); give a class such as "
            "torch.optim.lr_scheduler.OneCycleLR"
        ) from error
    return found
