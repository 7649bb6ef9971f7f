"""Timing what a plan would train: some twenty steps of each kind of run, alone, and once in a pack.

The runs are ordinary ones in the cache, where `timings.recorded` finds them; they are no part of any sweep.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from lora_lab import config
from lora_lab.engines import Local, Pack, Report, Supervisor
from lora_lab.resolved import digest
from lora_lab.store import SweepFolder
from lora_lab.sweep.plan import Plan, PlannedRun
from lora_lab.sweep.timings import CALIBRATION, kinds_of

STEPS = 20


def calibrate(plan: Plan, report: Report) -> int:
    """Train a little of what a plan waits to train, on this machine; returns how many runs that took.

    Raises:
        RunFolderError: The cache cannot be written to.
    """
    packs = [
        _pack(plan.row(name), Path(plan.base.cache).expanduser() / CALIBRATION, size)
        for name, size in _samples(plan)
    ]
    Supervisor(Local(plan.base.engine)).run(packs, report)
    return sum(len(pack.runs) for pack in packs)


def _samples(plan: Plan) -> list[tuple[str, int]]:
    """The runs to be timed: one of every kind alone, and the first of every way of training in a pack."""
    alone: dict[object, str] = {}
    together: dict[object, tuple[str, int]] = {}
    for names in plan.packs:
        for name in names:
            kinds = kinds_of(plan.row(name).resolved)
            alone.setdefault(kinds[0], name)
            if len(names) > 1:
                together.setdefault(kinds[1], (name, len(names)))
    return [*((name, 1) for name in alone.values()), *together.values()]


def _pack(row: PlannedRun, root: Path, size: int) -> Pack:
    """Copies of a run, cut to a few steps and one preview; those of an earlier calibration are replaced."""
    sweep = SweepFolder(root / f"{digest(repr(kinds_of(row.resolved)[0]))[:12]}-{size}")
    shutil.rmtree(sweep.path, ignore_errors=True)
    folders = [sweep.run(f"{row.name}-{number}") for number in range(1, size + 1)]
    for number, folder in enumerate(folders):
        folder.path.mkdir(parents=True, exist_ok=True)
        config.dump(_short(row, folder.name, number, sweep), folder.config_file)
    return Pack(tuple(folders), row.config.device)


def _short(row: PlannedRun, name: str, number: int, sweep: SweepFolder) -> config.RunConfig:
    own = row.config
    train = replace(
        own.train,
        seed=own.train.seed + number,
        max_train_steps=min(STEPS, row.total_steps),
        save_every_n_epochs=0,
        save_every_n_steps=0,
        save_state=False,
        keep_state=False,
    )
    shown = own.preview
    preview = replace(shown, prompts=shown.prompts[:1], seeds=shown.seeds[:1], strengths=shown.strengths[:1])
    return replace(
        own, name=name, sweep=sweep.name, results=str(sweep.path.parent), train=train, preview=preview
    )
