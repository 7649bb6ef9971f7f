"""Rules of the group `metric`. None of its settings acts on weights."""

from __future__ import annotations

from typing import Any

from lora_lab.effective.rules.flat_values import Reasons, Values
from lora_lab.findings import Findings
from lora_lab.metrics.registry import check
from lora_lab.resolved import Facts


def no_effect(v: Values, facts: Facts) -> Reasons:
    """Nothing."""
    yield from ()


def findings(asked: Values, v: Values, facts: Facts, total_steps: int) -> Findings:
    """Metrics that are none, or whose model is not named or not there."""
    return check(v["metric.names"], v)


def spelled(v: Values, facts: Facts) -> dict[str, Any]:
    """Nothing is written in several ways."""
    return {}
