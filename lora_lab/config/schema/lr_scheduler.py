"""How the learning rate moves over the run."""

from dataclasses import dataclass
from typing import Any

from lora_lab.config.fields import above, between, setting, tried, warmup


@dataclass
class LrSchedulerConfig:
    """How the learning rate moves over the run."""

    name: str = setting(
        "constant",
        "a schedule of the registry, or a dotted class",
        label="LR schedule",
        ja="学習率スケジューラー",
        peer="--lr_scheduler --lr_scheduler_type",
        source="sd-scripts; transformers",
        trial=tried("linear"),
    )
    lr_warmup_steps: str = setting(
        "0",
        "warmup: steps (100), fraction (0.1) or percentage (10%)",
        warmup,
        label="LR warmup",
        ja="学習率ウォームアップ",
        peer="--lr_warmup_steps lr_warmup",
        source="sd-scripts",
        trial=tried("'2'", "lr_scheduler.name=constant_with_warmup"),
    )
    lr_decay_steps: str = setting(
        "0",
        "decay of warmup_stable_decay: steps, fraction or percentage",
        warmup,
        peer="--lr_decay_steps",
        source="sd-scripts",
        trial=tried("'3'", "lr_scheduler.name=warmup_stable_decay"),
    )
    num_cycles: float = setting(
        1.0,
        "cycles of cosine_with_restarts",
        above(0),
        peer="--lr_scheduler_num_cycles",
        source="transformers",
        trial=tried("2", "lr_scheduler.name=cosine_with_restarts"),
    )
    power: float = setting(
        1.0,
        "exponent of polynomial",
        above(0),
        peer="--lr_scheduler_power",
        source="transformers",
        trial=tried("3", "lr_scheduler.name=polynomial"),
    )
    min_lr_ratio: float = setting(
        0.0,
        "floor as a share of the learning rate",
        between(0, 1),
        peer="--lr_scheduler_min_lr_ratio",
        source="transformers",
        trial=tried("0.5", "lr_scheduler.name=cosine_with_min_lr"),
    )
    timescale: float | None = setting(
        None,
        "time scale of inverse_sqrt in steps",
        above(0),
        peer="--lr_scheduler_timescale",
        source="transformers",
        trial=tried("2", "lr_scheduler.name=inverse_sqrt"),
    )
    step_rules: str = setting(
        "",
        "rules of piecewise_constant, such as '1:10,0.1:20,0.01'",
        peer="step_rules",
        source="diffusers",
        trial=tried("'1:1,0.1'", "lr_scheduler.name=piecewise_constant", "lr_scheduler.step_rules='1:2,0.5'"),
    )
    args: dict[str, Any] = setting(
        {},
        "arguments of a dotted class",
        peer="--lr_scheduler_args",
        source="guide to kohya_ss 21.8.8; sd-scripts",
        trial=tried("{{num_cycles: 2}}", "lr_scheduler.name=cosine"),
    )
