"""Length of the training: three fields that overrule each other, and the GUI's formula for steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lora_lab.kohya.entries import GUI
from lora_lab.kohya.lines import CONTRADICTORY
from lora_lab.kohya.values import number, off

if TYPE_CHECKING:
    from lora_lab.kohya.convert import Work

EPOCHS, STEPS = "train.max_train_epochs", "train.max_train_steps"

FORMULA = (
    "the GUI turns this into ceil(images x repeats / batch / accumulation x epochs) steps, twice that with "
    "regularisation images; buckets that do not fill a batch then cut epochs off. Here all epochs are run"
)
"""kohya_ss lora_gui.py, train_model; sd-scripts counts batches bucket by bucket, each rounded up."""

DEFAULT_STEPS = 1600
"""What sd-scripts trains where nothing is said: train_util.py, --max_train_steps."""


def take(work: Work) -> None:
    """Take epoch, max_train_epochs and max_train_steps, and the cycles that the GUI derives from epoch."""
    epochs, steps = (number(work.value(name)) for name in ("max_train_epochs", "max_train_steps"))
    gui_epochs = number(work.value("epoch")) if work.kind == GUI else None
    _cycles(work, gui_epochs)
    if epochs:
        work.keep("max_train_epochs", EPOCHS)
        _overruled(work, "max_train_steps", steps, "max_train_epochs")
        same = gui_epochs in (None, epochs)
        why = "max_train_epochs says the same" if same else "max_train_epochs is given, too, and wins"
        work.ignore("epoch", why, "ignored" if same else CONTRADICTORY)
        work.settings[STEPS] = None
    elif steps:
        work.keep("max_train_steps", STEPS)
        work.settings[EPOCHS] = None
        if gui_epochs is not None:
            work.ignore(
                "epoch", "max_train_steps is given, too, and wins: no epochs are counted", CONTRADICTORY
            )
    elif gui_epochs:
        work.compute("epoch", EPOCHS, gui_epochs, FORMULA)
        work.settings[STEPS] = None
    elif work.kind != GUI:
        work.settings |= {STEPS: DEFAULT_STEPS, EPOCHS: None}
    for name in ("max_train_epochs", "max_train_steps"):
        if off(work.value(name)):
            work.ignore(
                name, f"not given{'' if STEPS not in work.settings else '; another key says the length'}"
            )
    if work.kind != GUI:
        work.ignore(
            "epoch", "the GUI leaves it in its TOML; sd-scripts has no such argument and passes it over"
        )


def _overruled(work: Work, name: str, value: float | None, by: str) -> None:
    if value:
        work.ignore(name, f"{by} is given, too, and wins in sd-scripts", CONTRADICTORY)


def _cycles(work: Work, epochs: float | None) -> None:
    name = "lr_scheduler_num_cycles"
    if work.kind != GUI or name not in work.given or work.value(name) is not None:
        return
    if work.value("lr_scheduler") == "cosine_with_restarts" and epochs:
        why = "empty: the GUI takes the number of epochs"
        work.compute(name, "lr_scheduler.num_cycles", epochs, why)
