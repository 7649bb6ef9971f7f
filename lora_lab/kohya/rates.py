"""Optimizer, learning rates, schedule and warmup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lora_lab.errors import ConfigError
from lora_lab.kohya.entries import GUI
from lora_lab.kohya.lines import CONTRADICTORY
from lora_lab.kohya.values import arguments, number, off
from lora_lab.optim import registry, schedules

if TYPE_CHECKING:
    from lora_lab.kohya.convert import Work

UNET, TEXT = "network.train_unet", "network.train_text_encoder"


def take(work: Work) -> None:
    """Take the keys of the optimizer, the learning rates and their schedule."""
    _optimizer(work)
    _rates(work)
    _schedule(work)
    _warmup(work)
    if off(work.value("loraplus_lr_ratio")) and "loraplus_lr_ratio" in work.given:
        work.compute("loraplus_lr_ratio", "optimizer.loraplus_lr_ratio", 1.0, "0 or empty is off: 1")


def _optimizer(work: Work) -> None:
    name = work.value("optimizer_type")
    if not off(work.value("use_8bit_adam")) and name is None:
        work.compute("use_8bit_adam", "optimizer.name", "adamw8bit", "the switch of early 2023")
    work.ignore("use_8bit_adam", "off" if name is None else "the optimizer is given by name")
    args = arguments(work.value("optimizer_args"))
    if name is not None and "optimizer_type" in work.given:
        try:
            row = registry.find(str(name))
        except ConfigError as error:
            work.ignore("optimizer_type", str(error), CONTRADICTORY)
        else:
            known = "." not in str(name)
            spelled = row.name if known else str(name)
            why = ""
            if row.name == "adafactor" and args.get("relative_step", True) is not False:
                why = "without relative_step=False it sets its own rate: learning rates have no effect"
            work.compute("optimizer_type", "optimizer.name", spelled, why)
            try:
                registry.arguments(row, args)
            except ConfigError as error:
                work.ignore("optimizer_args", str(error), CONTRADICTORY)
    if args:
        work.keep("optimizer_args", "optimizer.args")
    elif work.value("optimizer_args") is None:
        work.ignore("optimizer_args", "empty")
    else:
        work.ignore("optimizer_args", "holds no pair such as weight_decay=0.01", CONTRADICTORY)


def _rates(work: Work) -> None:
    """A rate of 0 for one part means that the other part is trained alone."""
    only_unet, only_text = (
        _only(work, "network_train_unet_only"),
        _only(work, "network_train_text_encoder_only"),
    )
    values = {name: number(work.value(name)) for name in ("unet_lr", "text_encoder_lr")}
    gui = work.kind == GUI
    if gui and "text_encoder_lr" in work.given and off(work.value("text_encoder_lr")) and values["unet_lr"]:
        only_unet = True
        work.compute("text_encoder_lr", TEXT, False, "0 there: the U-Net is trained alone")
    if gui and "unet_lr" in work.given and off(work.value("unet_lr")) and values["text_encoder_lr"]:
        only_text = True
        work.compute("unet_lr", UNET, False, "0 there: the text encoder is trained alone")
    if only_unet and only_text:
        label = work.label("network_train_unet_only") or work.label("unet_lr")
        work.ignore("network_train_text_encoder_only", f"{label or 'another key'} excludes it", CONTRADICTORY)
        only_text = False
    _part(work, "network_train_unet_only", only_unet, TEXT)
    _part(work, "network_train_text_encoder_only", only_text, UNET)
    work.settings |= {TEXT: False} if only_unet else {UNET: False} if only_text else {}
    if only_unet and work.settings.get(UNET) is False:
        del work.settings[UNET]
    for name in values:
        if "," in str(work.value(name)) or isinstance(work.value(name), list):
            _several(work, name)
        elif gui and off(work.value(name)) and name in work.given:
            work.ignore(name, "0 or empty: learning_rate counts for this part")


def _only(work: Work, name: str) -> bool:
    return not off(work.value(name))


def _part(work: Work, name: str, on: bool, setting: str) -> None:
    if on and not off(work.value(name)):
        work.compute(name, setting, False, "the other part is trained alone")
    work.ignore(name, "off")


def _several(work: Work, name: str) -> None:
    """sd-scripts takes one rate per text encoder; here they have one."""
    raw = work.value(name)
    words = raw if isinstance(raw, list) else str(raw).split(",")
    if len(numbers := {number(word) for word in words}) == 1:
        work.compute(name, f"optimizer.{name}", words[0], "the same for each text encoder")
    else:
        work.ignore(name, f"{len(numbers)} rates; here all text encoders have one", CONTRADICTORY)


def _schedule(work: Work) -> None:
    name, dotted = work.value("lr_scheduler"), work.value("lr_scheduler_type")
    if dotted is not None:
        text = str(dotted)
        full = text if "." in text else f"torch.optim.lr_scheduler.{text}"
        why = "a class goes before lr_scheduler"
        work.compute("lr_scheduler_type", "lr_scheduler.name", full, why)
        work.ignore("lr_scheduler", "lr_scheduler_type is given, too, and wins", CONTRADICTORY)
    elif name is not None and str(name).lower() not in {*schedules.FORMULAS, "adafactor"}:
        why = f"no such schedule; known: {', '.join(schedules.FORMULAS)}"
        work.ignore("lr_scheduler", why, CONTRADICTORY)
    elif name is not None:
        work.compute("lr_scheduler", "lr_scheduler.name", str(name).lower(), "")
    args = arguments(work.value("lr_scheduler_args"))
    if args and dotted is None:
        work.ignore("lr_scheduler_args", "they are for a class (lr_scheduler_type), and there is none")


def _warmup(work: Work) -> None:
    """The GUI's lr_warmup is a percentage; lr_warmup_steps goes before it."""
    percent, steps = number(work.value("lr_warmup")), number(work.value("lr_warmup_steps"))
    setting = "lr_scheduler.lr_warmup_steps"
    schedule = work.settings.get("lr_scheduler.name", "constant")
    if schedule in ("constant", "adafactor") and (percent or steps):
        for name in ("lr_warmup_steps", "lr_warmup"):
            why = f"lr_scheduler={schedule} has no warmup (sd-scripts stops with an error)"
            if not off(work.value(name)):
                work.ignore(name, why, CONTRADICTORY)
        work.settings[setting] = "0"
    elif steps:
        text = f"{steps:g}" if steps < 1 else f"{steps:.0f}"
        work.compute("lr_warmup_steps", setting, text, "steps" if steps >= 1 else "a share of all steps")
        if percent:
            work.ignore("lr_warmup", "lr_warmup_steps is given, too, and wins", CONTRADICTORY)
    elif percent:
        work.compute("lr_warmup", setting, f"{percent:g}%", "the GUI's number is a percentage of all steps")
    for name in ("lr_warmup", "lr_warmup_steps"):
        if off(work.value(name)) and name in work.given:
            if setting in work.settings:
                work.ignore(name, "0; the other key says the warmup")
            else:
                work.compute(name, setting, "0", "no warmup")
    for name in ("lr_warmup", "lr_warmup_steps"):
        text = str(work.value(name))
        if text.endswith("%"):
            work.keep(name, setting)
        work.ignore(name, "is no number", CONTRADICTORY)
