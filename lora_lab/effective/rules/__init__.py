"""What has no effect, what is refused and how a setting is spelled, one module for each group of settings.

Every module asks the values of a config and the facts about its images, its base model and the machine; never
the config alone where a dataset file or the model may decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lora_lab.effective.rules import (
    base_model,
    dataset,
    loss,
    lr_scheduler,
    metric,
    network,
    optimizer,
    preview,
    train,
)
from lora_lab.effective.rules.flat_values import Values
from lora_lab.findings import Findings
from lora_lab.resolved import Facts

GROUPS = (base_model, dataset, train, network, optimizer, lr_scheduler, loss, preview, metric)
"""In the order in which their reasons count: the first one that is given stands."""


def no_effect(v: Values, facts: Facts) -> dict[str, str]:
    """Every setting that has no effect, with its reason; what a dataset file decides comes first."""
    found: dict[str, str] = {}
    for group in GROUPS:
        for key, reason in group.no_effect(v, facts):
            found.setdefault(key, reason)
    return found


def findings(asked: Values, v: Values, facts: Facts, total_steps: int) -> Findings:
    """Everything that is refused or doubtful, of values as asked for and as spelled."""
    found = Findings()
    for group in GROUPS:
        found += group.findings(asked, v, facts, total_steps)
    return found


def spelled(v: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """The values in one spelling, where they can be written in several ways."""
    now = dict(v)
    for group in GROUPS:
        now |= group.spelled(now, facts)
    return now


def for_device(v: Values, facts: Facts) -> tuple[dict[str, Any], list[str]]:
    """The values with what the device cannot do replaced, and what is to be said of it."""
    return train.for_device(v, facts)
