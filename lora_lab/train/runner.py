"""One run inside a pack: slot, optimizer, place in the data and loss scale; stored and restored exactly."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lora_lab.data.order import Batch as Draws
from lora_lab.data.order import sample_seed
from lora_lab.networks.groups import ParamGroup, usable_layout
from lora_lab.networks.pack import Pack
from lora_lab.optim import build as optimizers
from lora_lab.optim.schedules import factor_function
from lora_lab.optim.together import joins
from lora_lab.train.job import Job
from lora_lab.train.portable import Portable, leaves_of
from lora_lab.train.scaling import LossScale
from lora_lab.train.source import Batch, Source


class Runner:
    """The state of one run in its slot of a pack.

    Attributes:
        update: Updates done.
        samples: Samples seen, and `reg_samples` those of regularisation images among them.
        epoch: Epoch of the last batch, from 1.
        dropout_seed: Decides the dropout masks of the last batch.
        losses: Mean losses of the micro-batches since the last update, on the device.
        joins: Whether the optimizer can step together with those of other runs.
    """

    def __init__(self, job: Job, slot: int, pack: Pack, source: Source) -> None:
        self.job = job
        self.slot = slot
        self.source = source
        self.update = 0
        self.samples = 0
        self.reg_samples = 0
        self._trained = (0, 0)
        self.epoch = 1
        self.scale = LossScale(job.loss_scaling)
        self.losses: list[Tensor] = []
        self._waiting: list[Draws] = []
        self.dropout_seed = 0
        self._pack = pack
        pack.occupy(slot, job.adapter)
        layout = usable_layout(optimizers.layout(job.optimizer, job.optimizer_args), job.adapter)
        groups = pack.param_groups(slot, layout)
        self.optimizer = optimizers.build(job.optimizer, self._rows(groups), job.optimizer_args)
        self.joins = joins(self.optimizer)
        self._portable = Portable(pack, slot, layout, leaves_of(self.optimizer, groups))
        self._factors = [
            factor_function(job.schedule, job.total_updates, group["initial_lr"])
            for group in self.optimizer.param_groups
        ]

    def _rows(self, groups: Sequence[ParamGroup]) -> list[dict[str, Any]]:
        """One group per part and rate; LoRA+ gives the up weights a rate of their own."""
        found: dict[tuple[str, float | None], dict[str, Any]] = {}
        for group in groups:
            part = "unet" if group.part == "unet" else "text_encoder"
            rate = self.job.unet_lr if part == "unet" else self.job.text_encoder_lr
            if rate is not None:
                rate *= group.rate * (self.job.loraplus_lr_ratio if group.side == "up" else 1.0)
            row = found.setdefault((part, rate), {"part": part, "lr": rate, "params": []})
            row["params"].extend(group.params)
        return list(found.values())

    def next_batch(self) -> Batch:
        """The next micro-batch of the present update."""
        if not self._waiting:
            self._waiting = self.source.micro_batches(self.update, self.job.gradient_accumulation_steps)
        draws, *self._waiting = self._waiting
        self.dropout_seed = sample_seed(self.job.seed, draws.draws[0].sample_index, "dropout")
        self.samples += len(draws.draws)
        self.reg_samples += sum(self.source.items[item.image].is_reg for item in draws.draws)
        self.epoch = draws.epoch
        return self.source.batch(draws, self.update)

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
        optimizers.set_lrs(self.optimizer, [factor(self.update) for factor in self._factors])

    def advance(self) -> None:
        """Count the update that was just made."""
        self.update += 1
        self._trained = (self.samples, self.reg_samples)
        self.losses.clear()

    def weights(self, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """The adapter as a LoRA file holds it; schedule-free optimizers give the weights meant for use."""
        optimizers.eval_mode(self.optimizer)
        try:
            return self._pack.export(self.slot, dtype)
        finally:
            optimizers.train_mode(self.optimizer)

    def state(self) -> dict[str, Any]:
        """All that resuming needs, independent of slot, pack-mates and padding.

        It is the state after the last update, and, where another one is under way, what has been accumulated
        for it.
        """
        pending = {
            "losses": torch.stack(self.losses).cpu(),
            "samples": self.samples,
            "reg_samples": self.reg_samples,
            "gradients": self._pack.gradients(self.slot),
        } if self.losses else {}  # fmt: skip
        return {
            "pending": pending,
            "update": self.update,
            "samples": self._trained[0],
            "reg_samples": self._trained[1],
            "scale": self.scale.state(),
            "adapter": self._pack.export(self.slot),
            "optimizer": self._portable.store(self.optimizer),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same job."""
        self.update = int(state["update"])
        self.samples, self.reg_samples = int(state["samples"]), int(state["reg_samples"])
        self._trained = (self.samples, self.reg_samples)
        self.scale = LossScale(**state["scale"])
        self._pack.load(self.slot, state["adapter"])
        self._portable.restore(self.optimizer, state["optimizer"])
        if pending := state.get("pending"):
            self._accumulate_from(pending)

    def _accumulate_from(self, pending: dict[str, Any]) -> None:
        """Go on within an update."""
        self.losses = list(pending["losses"].to(self._pack.parameters.grads.device))
        draws = self.source.micro_batches(self.update, self.job.gradient_accumulation_steps)
        self._waiting = draws[len(self.losses) :]
        self.samples, self.reg_samples = pending["samples"], pending["reg_samples"]
        self._pack.set_gradients(self.slot, pending["gradients"])

    def rest(self) -> None:
        """Put the weights meant for use in place, for previews; only schedule-free optimizers have others."""
        optimizers.eval_mode(self.optimizer)
        self._pack.sync()

    def go_on(self) -> None:
        """Back to the weights that training goes on from."""
        optimizers.train_mode(self.optimizer)
        self._pack.sync()
