"""What the loop has to know of one run, as flat values."""

from collections.abc import Mapping
from dataclasses import dataclass

from lora_lab.config.schema import LossConfig, LrSchedulerConfig
from lora_lab.networks.spec import AdapterSpec


@dataclass(frozen=True)
class Job:
    """One run of a pack. Lengths count updates (optimizer steps), never micro-batches.

    `seed` decides weights, data order, noise, timesteps and dropout. `loss_scaling` is on for fp16 only.
    A learning rate of None or 0 leaves that part untrained.
    """

    name: str
    seed: int
    adapter: AdapterSpec
    total_updates: int
    updates_per_epoch: int
    gradient_accumulation_steps: int
    optimizer: str
    optimizer_args: Mapping[str, object]
    unet_lr: float | None
    text_encoder_lr: float | None
    loraplus_lr_ratio: float
    schedule: LrSchedulerConfig
    loss: LossConfig
    clip_skip: int
    max_grad_norm: float
    scale_weight_norms: float
    loss_scaling: bool
    weighted_captions: bool = False

    @property
    def trains_text_encoder(self) -> bool:
        """Whether captions have to pass through the text encoders at every step."""
        return self.adapter.train_text_encoder
