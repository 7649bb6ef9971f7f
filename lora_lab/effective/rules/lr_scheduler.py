"""Rules of the group `lr_scheduler`."""

from __future__ import annotations

from typing import Any

from lora_lab.config.schema import LrSchedulerConfig
from lora_lab.effective.rules.flat_values import (
    Reasons,
    Values,
    group_of,
    optimizer_of,
    probed,
    trained_parts,
)
from lora_lab.errors import ConfigError
from lora_lab.findings import Findings
from lora_lab.optim import registry
from lora_lab.optim.schedules import check, check_company, is_share, steps_of
from lora_lab.resolved import Facts

_OTHER: dict[str, Any] = {
    "lr_warmup_steps": "7",
    "lr_decay_steps": "7",
    "num_cycles": 7.0,
    "power": 7.0,
    "min_lr_ratio": 0.7,
    "timescale": 7.0,
    "step_rules": "0.7:7,0.07",
}
"""A value other than the default, for asking the schedule's check whether the setting would act."""


def no_effect(v: Values, facts: Facts) -> Reasons:
    """What the schedule's own check says, or everything where the optimizer follows no schedule."""
    reason = _no_schedule(v)
    if reason:
        for name in ("name", *_OTHER, "args"):
            yield f"lr_scheduler.{name}", reason
        return
    yield from probed("lr_scheduler", group_of(v, "lr_scheduler", LrSchedulerConfig), _OTHER, check)


def _no_schedule(v: Values) -> str | None:
    entry, values = optimizer_of(v)
    if entry is not None and entry.ignores_learning_rate(values):
        return f"{entry.name} with relative_step sets its own learning rate"
    if entry is not None and entry.schedule_free:
        return f"{entry.name} averages instead of following a schedule"
    return None


def findings(asked: Values, v: Values, facts: Facts, total_steps: int) -> Findings:
    """What the schedule's own check says of the run's length and rate."""
    settings = group_of(v, "lr_scheduler", LrSchedulerConfig)
    company = check_company(group_of(asked, "lr_scheduler", LrSchedulerConfig), v["optimizer.name"])
    both, of_unet, _ = (v[key] for key in registry.RATE_KEYS)
    unet, _ = trained_parts(v)
    rate = both if of_unet is None or not unet else of_unet
    found = company + check(settings, total_steps, rate)
    return Findings(found.refusals, found.warnings)


def spelled(v: Values, facts: Facts) -> dict[str, Any]:
    """Lengths as steps or shares, and schedules that are constant as that."""
    now: dict[str, Any] = {}
    for name in ("lr_warmup_steps", "lr_decay_steps"):
        now[f"lr_scheduler.{name}"] = _length(v[f"lr_scheduler.{name}"])
    name, warmup = v["lr_scheduler.name"], now["lr_scheduler.lr_warmup_steps"]
    if name == "adafactor" or (name == "constant_with_warmup" and warmup == "0"):
        now["lr_scheduler.name"] = "constant"
    return now


def _length(text: str) -> str:
    try:
        # Shares keep their form, so that runs of different length still differ in one setting.
        return f"{steps_of(text, 10**9) / 10**9:g}" if is_share(text) else str(steps_of(text, 1))
    except ConfigError:
        return text  # refused by the schedule's check
