"""A made-up sweep with everything that can go wrong, and names that a page must not take for markup."""

from __future__ import annotations

import json
from pathlib import Path

from lora_lab.store import Checkpoint, SweepFolder
from tests.review.made_up import anchors, checkpoint, write_run

REASON = "loss is not a number at step 57 <b>&amp;"
STEPS = 120


def _flagged(item: Checkpoint, flag: str) -> Checkpoint:
    item.flags.append(flag)
    for shot in item.previews:
        shot.flags.append(flag)
    return item


def make_troubled(folder: Path) -> SweepFolder:
    """Runs: good, diverged, failed, cancelled, black, waiting, without its worker, and a twin."""
    sweep = SweepFolder(folder)
    plan = {
        "good": ([], ("000005", "000010"), {}),
        "diverged": (["optimizer.learning_rate=0.5"], ("000005",), {"status": "diverged", "reason": REASON}),
        "failed": (["train.train_batch_size=64"], (), {"status": "failed", "reason": "out of memory"}),
        "stopped": (["train.seed=2"], ("000005",), {"status": "cancelled", "reason": "Ctrl-C at step 70"}),
        "black": (["optimizer.name=lion"], ("000005", "000010"), {}),
        "waiting": (["network.network_alpha=4"], (), {"status": "planned"}),
        "orphan": (["network.network_alpha=2"], ("000005",), {"status": "running", "total_steps": 100}),
    }
    for number, (name, (overrides, tags, record)) in enumerate(plan.items()):
        run = write_run(sweep, name, overrides)
        made = [checkpoint(run, tag, 30 * number + 10 * place) for place, tag in enumerate(tags)]
        if name == "black":
            made = [_flagged(item, "black") for item in made]
        write_run(sweep, name, overrides, checkpoints=made, **record)
    write_run(sweep, "twin", ["optimizer.name=lion", "train.seed=9"], same_as="good", status="planned")
    sweep.plan_file.write_text(json.dumps({"rows": [{"name": name} for name in (*plan, "twin")]}))
    write_steps(sweep, "good")
    write_steps(sweep, "diverged", last=57)
    anchors(sweep, sweep.run("good"))
    return sweep


def write_steps(sweep: SweepFolder, name: str, last: int = STEPS) -> None:
    """A step log whose loss falls from 1 by a hundredth per update, with two learning rates."""
    rows = [
        {
            "step": step,
            "epoch": (step - 1) // 12 + 1,
            "samples": 2 * step,
            "loss": 1 - step / 200,
            "learning_rates": {"unet": 1e-4, "text_encoder": 5e-5},
            "grad_norm": 0.5,
            "seconds": 0.5,
        }
        for step in range(1, last + 1)
    ]
    rows[-1]["loss"] = None if last < STEPS else rows[-1]["loss"]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    sweep.run(name).steps_file.write_text(text + '{"step": torn')
