"""One run inside a pack: its slot, optimizer, place in the data and loss scale; stored and restored exactly."""

from typing import Any

import torch
from torch import Tensor

from lora_lab.data.order import Batch as Draws
from lora_lab.data.order import sample_seed
from lora_lab.networks import Pack
from lora_lab.optim import build as optimizers
from lora_lab.optim.schedules import lr_factor
from lora_lab.train.job import Job
from lora_lab.train.scaling import LossScale
from lora_lab.train.source import Batch, Source


class Runner:
    """The state of one run in its slot of a pack.

    Attributes:
        update: Updates done.
        samples: Samples seen.
        losses: Mean losses of the micro-batches since the last update, on the device.
    """

    def __init__(self, job: Job, slot: int, pack: Pack, source: Source) -> None:
        self.job = job
        self.slot = slot
        self.source = source
        self.update = 0
        self.samples = 0
        self.epoch = 1
        self.scale = LossScale(job.loss_scaling)
        self.losses: list[Tensor] = []
        self._waiting: list[Draws] = []
        self._pack = pack
        self._dropout = torch.Generator(pack.device)
        pack.occupy(slot, job.adapter)
        self._layout = optimizers.layout(job.optimizer, job.optimizer_args)
        self.optimizer = optimizers.build(job.optimizer, self._groups(), job.optimizer_args)

    def _groups(self) -> list[dict[str, Any]]:
        """One group per part and rate; LoRA+ gives the up weights a rate of their own."""
        found: dict[tuple[str, float | None], dict[str, Any]] = {}
        for group in self._pack.param_groups(self.slot, self._layout):
            part = "unet" if group.part == "unet" else "text_encoder"
            rate = self.job.unet_lr if part == "unet" else self.job.text_encoder_lr
            if rate is not None and group.side == "up":
                rate *= self.job.loraplus_lr_ratio
            row = found.setdefault((part, rate), {"part": part, "lr": rate, "params": []})
            row["params"].extend(group.params)
        return list(found.values())

    def next_batch(self) -> Batch:
        """The next micro-batch of the present update."""
        if not self._waiting:
            self._waiting = self.source.micro_batches(self.update, self.job.gradient_accumulation_steps)
        draws, *self._waiting = self._waiting
        self._dropout.manual_seed(sample_seed(self.job.seed, draws.draws[0].sample_index, "dropout"))
        self.samples += len(draws.draws)
        self.epoch = draws.epoch
        return self.source.batch(draws, self.update)

    @property
    def dropout_generator(self) -> torch.Generator | None:
        """Seeded for the present micro-batch; None where nothing drops out."""
        return self._dropout if self.job.adapter.has_dropout else None

    @property
    def update_due(self) -> bool:
        """Whether all micro-batches of the update are in."""
        return not self._waiting

    @property
    def finished(self) -> bool:
        """Whether all updates are done."""
        return self.update >= self.job.total_updates

    def set_learning_rate(self) -> None:
        """Set the rates of the coming update."""
        job = self.job
        optimizers.set_lrs(self.optimizer, lr_factor(self.update, job.schedule, job.total_updates))

    def advance(self) -> None:
        """Count the update that was just made."""
        self.update += 1
        self.losses.clear()

    def weights(self, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """The adapter as a LoRA file holds it; schedule-free optimizers give the weights meant for use."""
        optimizers.eval_mode(self.optimizer)
        try:
            return self._pack.export(self.slot, dtype)
        finally:
            optimizers.train_mode(self.optimizer)

    def state(self) -> dict[str, Any]:
        """All that resuming needs, between two updates, independent of slot, pack-mates and padding."""
        return {
            "update": self.update,
            "samples": self.samples,
            "scale": self.scale.state(),
            "adapter": self._pack.masters(self.slot),
            "optimizer": _map_state(self.optimizer, self.optimizer.state_dict(), self._pack.unpad, self.slot),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same job."""
        self.update = int(state["update"])
        self.samples = int(state["samples"])
        self.scale = LossScale(**state["scale"])
        self._pack.load_masters(self.slot, state["adapter"])
        self.optimizer.load_state_dict(
            _map_state(self.optimizer, state["optimizer"], self._pack.pad, self.slot)
        )
