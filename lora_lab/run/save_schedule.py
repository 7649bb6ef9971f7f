"""After which updates a run saves a checkpoint or its training state."""

from dataclasses import dataclass

from lora_lab.resolved import Resolved
from lora_lab.store import epoch_tag, step_tag


@dataclass(frozen=True)
class SaveSchedule:
    """Which updates are followed by a checkpoint or a state.

    The last update always is. A checkpoint at the end of an epoch is named by the epoch, as sd-scripts does;
    one in between by its step.
    """

    total_updates: int
    updates_per_epoch: int
    every_epochs: int
    every_steps: int
    state_every_steps: int
    save_state: bool
    validate_every_epochs: int = 0
    validate_every_steps: int = 0

    @staticmethod
    def of(resolved: Resolved) -> "SaveSchedule":
        """The save schedule of a run."""
        train = resolved.train
        return SaveSchedule(
            resolved.total_steps,
            resolved.updates_per_epoch,
            train.save_every_n_epochs,
            train.save_every_n_steps,
            train.save_state_every_n_steps,
            train.save_state,
            train.validate_every_n_epochs,
            train.validate_every_n_steps,
        )

    def tag(self, update: int) -> str:
        """The tag of the checkpoint due after `update` updates, or ''."""
        epoch, rest = divmod(update, self.updates_per_epoch)
        last = update == self.total_updates
        if rest == 0 and (last or (self.every_epochs and epoch % self.every_epochs == 0)):
            return epoch_tag(epoch)
        if last or (self.every_steps and update % self.every_steps == 0):
            return step_tag(update)
        return ""

    def state_due(self, update: int) -> bool:
        """Whether the training state is written after `update` updates; none after the last one."""
        if not self.save_state or update == self.total_updates:
            return False
        often = self.state_every_steps and update % self.state_every_steps == 0
        return bool(often or self.tag(update))

    def validation_due(self, update: int) -> bool:
        """Whether the validation loss is measured after `update` updates: as asked, and at checkpoints."""
        epoch, rest = divmod(update, self.updates_per_epoch)
        by_epoch = rest == 0 and self.validate_every_epochs and epoch % self.validate_every_epochs == 0
        by_step = self.validate_every_steps and update % self.validate_every_steps == 0
        return bool(self.tag(update) or by_epoch or by_step)

    def tags(self) -> list[str]:
        """The tags of all checkpoints, in order."""
        candidates = {self.total_updates}
        if self.every_steps:
            candidates |= set(range(self.every_steps, self.total_updates, self.every_steps))
        if self.every_epochs:
            stride = self.every_epochs * self.updates_per_epoch
            candidates |= set(range(stride, self.total_updates, stride))
        return [self.tag(update) for update in sorted(candidates)]
