"""What updates the weights."""

from dataclasses import dataclass
from typing import Any

from lora_lab.config.fields import above, at_least, setting, tried


@dataclass
class OptimizerConfig:
    """What updates the weights."""

    name: str = setting(
        "adamw",
        "an optimizer of the registry, or a dotted class",
        label="optimizer",
        ja="オプティマイザー",
        peer="--optimizer_type optimizer",
        source="sd-scripts, get_optimizer",
        trial=tried("lion"),
    )
    learning_rate: float | None = setting(
        None,
        "learning rate of all parts",
        at_least(0),
        scale="log",
        ja="学習率",
        peer="--learning_rate",
        source="sd-scripts",
        trial=tried("1e-3"),
    )
    unet_lr: float | None = setting(
        None,
        "learning rate of the U-Net, null = learning_rate",
        at_least(0),
        scale="log",
        label="U-Net learning rate",
        ja="U-Netの学習率",
        peer="--unet_lr",
        source="sd-scripts",
        trial=tried("1e-3"),
    )
    text_encoder_lr: float | None = setting(
        None,
        "learning rate of the text encoders, null = learning_rate",
        at_least(0),
        scale="log",
        label="text encoder learning rate",
        ja="テキストエンコーダーの学習率",
        peer="--text_encoder_lr",
        source="sd-scripts",
        trial=tried("1e-3"),
    )
    loraplus_lr_ratio: float = setting(
        1.0,
        "LoRA+: learning rate of lora_up as a multiple of lora_down's",
        above(0),
        scale="log",
        peer="loraplus_lr_ratio",
        source="LoRA+, arXiv 2402.12354",
        trial=tried("4"),
    )
    args: dict[str, Any] = setting(
        {},
        "arguments by name: weight_decay, betas, d_coef, relative_step, ...",
        peer="--optimizer_args",
        source="sd-scripts",
        trial=tried("{{weight_decay: 0.9}}"),
    )
