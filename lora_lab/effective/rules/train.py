"""Rules of the group `train`: length, batches, precision."""

from __future__ import annotations

from typing import Any

from lora_lab.counts import counted
from lora_lab.effective.rules.flat_values import Reasons, Values
from lora_lab.findings import Findings
from lora_lab.resolved import Facts


def no_effect(v: Values, facts: Facts) -> Reasons:
    """The epochs or the steps, whichever does not end the run, and what counts epochs."""
    for key in facts.decided:
        if key.startswith("train."):
            yield key, "the dataset file sets it for every image"
    epochs, steps = v["train.max_train_epochs"], v["train.max_train_steps"]
    per_epoch = -(-facts.batches_per_epoch // v["train.gradient_accumulation_steps"])
    total = min(n for n in (epochs and epochs * per_epoch, steps) if n is not None)
    if epochs is not None and steps is not None:
        if epochs * per_epoch <= steps:
            ends = counted(epochs, "epoch ends", "epochs end")
            yield "train.max_train_steps", f"{ends} at step {epochs * per_epoch} already"
        else:
            end = -(-steps // per_epoch)
            yield "train.max_train_epochs", f"train.max_train_steps={steps} ends the run in epoch {end}"
    if not any(facts.in_force("train.validation_split", v["train.validation_split"])):
        yield "train.validation_seed", "train.validation_split is 0: no images are held back"
    every = facts.in_force(
        "dataset.caption_dropout_every_n_epochs", v["dataset.caption_dropout_every_n_epochs"]
    )
    if min(every) > -(-total // per_epoch):
        yield "dataset.caption_dropout_every_n_epochs", f"the run ends before epoch {min(every)}"


def findings(asked: Values, v: Values, facts: Facts, total_steps: int) -> Findings:
    """Nothing beyond the settings' own rules."""
    return Findings()


def spelled(v: Values, facts: Facts) -> dict[str, Any]:
    """Nothing is written in several ways."""
    return {}


def for_device(v: Values, facts: Facts) -> tuple[dict[str, Any], list[str]]:
    """fp16 on a CPU becomes fp32: this is the only place that says so."""
    now = dict(v)
    if facts.device_type != "cpu" or v["train.mixed_precision"] != "fp16":
        return now, []
    now["train.mixed_precision"], now["train.full_fp16"] = "no", False
    both = " and train.full_fp16=true" if v["train.full_fp16"] else ""
    return now, [f"train.mixed_precision=fp16{both}: fp16 is for GPUs, this CPU trains in fp32"]
