"""Rules of the group `optimizer`: learning rates by part, arguments, packages."""

from __future__ import annotations

from typing import Any

from lora_lab.effective.rules.flat_values import Reasons, Values, optimizer_of, trained_parts
from lora_lab.findings import Findings
from lora_lab.optim import registry
from lora_lab.resolved import Facts


def no_effect(v: Values, facts: Facts) -> Reasons:
    """Learning rates under an optimizer that sets its own, and those that another one takes the place of."""
    entry, values = optimizer_of(v)
    if entry is None:
        return
    unet, text = trained_parts(v)
    if entry.ignores_learning_rate(values):
        reason = f"{entry.name} with relative_step sets its own learning rate"
        for key in (*registry.RATE_KEYS, "optimizer.loraplus_lr_ratio"):
            # A rate of 0 leaves its part out under every optimizer.
            if v[key] != 0:
                yield key, reason
    else:
        yield from _of_parts(v, unet, text)
    for name, reason in entry.ignored.items():
        yield f"optimizer.args.{name}", reason


def _of_parts(v: Values, unet: bool, text: bool) -> Reasons:
    both, of_unet, of_text = (v[key] for key in registry.RATE_KEYS)
    if not unet and of_unet != 0:
        yield "optimizer.unet_lr", "the U-Net is not trained"
    elif of_unet is not None and of_unet == both:
        yield "optimizer.unet_lr", "it equals optimizer.learning_rate"
    if not text and of_text != 0:
        yield "optimizer.text_encoder_lr", "the text encoders are not trained"
    elif of_text is not None and of_text == both:
        yield "optimizer.text_encoder_lr", "it equals optimizer.learning_rate"
    own = [rate for rate, trained in ((of_unet, unet), (of_text, text)) if trained]
    if None not in own and any(rate != both for rate in own):
        yield "optimizer.learning_rate", "every part that is trained has a rate of its own"


def findings(asked: Values, v: Values, facts: Facts, total_steps: int) -> Findings:
    """What the registry says of name, rates, arguments and device."""
    rates = [v[key] for key in registry.RATE_KEYS]
    unet, text = trained_parts(v)
    # A part that is not trained needs no rate, and its rate is held to no rule.
    parts = [rates[1] if unet else 0, rates[2] if text else 0]
    found = registry.check(
        v["optimizer.name"],
        rates[0],
        parts[0],
        parts[1],
        v["optimizer.args"],
        facts.device_type,
        v["optimizer.loraplus_lr_ratio"],
    )
    return Findings(found.refusals, found.warnings)


def spelled(v: Values, facts: Facts) -> dict[str, Any]:
    """Nothing: arguments are spelled where acting settings are listed."""
    return {}
