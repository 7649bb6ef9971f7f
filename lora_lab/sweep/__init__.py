"""Sweeps: from a file or a multirun to rows, checks and a plan, and on to the engines."""

from lora_lab.sweep.devices import device_type
from lora_lab.sweep.file import RowSpec, SweepFile, read_sweep, rows_from_overrides, select
from lora_lab.sweep.plan import Plan, PlannedRun, plan
from lora_lab.sweep.status import set_aside

__all__ = [
    "Plan",
    "PlannedRun",
    "RowSpec",
    "SweepFile",
    "device_type",
    "plan",
    "read_sweep",
    "rows_from_overrides",
    "select",
    "set_aside",
]
