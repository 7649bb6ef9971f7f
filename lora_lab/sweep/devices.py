"""What runs will train on, asked of the system and not of torch."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from lora_lab.engines.slots import gpus

if TYPE_CHECKING:
    from lora_lab.sweep.plan import PlannedRun


def device_type(asked: str) -> str:
    """What runs will train on, cuda, cpu or mps, without asking torch.

    'auto' is CUDA where there is a GPU and the installed torch is not a CPU build.
    """
    kind = asked.split(":")[0]
    if kind != "auto":
        return kind
    if _cpu_build():
        return "cpu"
    if gpus():
        return "cuda"
    return "mps" if _apple() else "cpu"


def not_here(rows: Sequence[PlannedRun]) -> list[str]:
    """Devices that rows ask for and that this machine, which trains them, does not have."""
    asked = dict.fromkeys(row.config.device for row in rows if row.config.engine.name == "local")
    lacking = []
    for name in asked:
        kind, _, number = name.partition(":")
        there = gpus() if kind == "cuda" and not _cpu_build() else []
        if (kind == "cuda" and int(number or 0) >= len(there)) or (kind == "mps" and not _apple()):
            lacking.append(name)
    way_out = "so runs will fail; device=auto takes what there is"
    return [f"device={name}: this machine has no such device, {way_out}" for name in lacking]


def _cpu_build() -> bool:
    with suppress(PackageNotFoundError):
        return version("torch").endswith("+cpu")
    return False


def _apple() -> bool:
    return platform.system() == "Darwin" and platform.machine() == "arm64"
