"""What a model learns to undo: the noise process behind one protocol. Importable without torch.

A process decides how times are drawn, how noise is added, what the model should answer and how a sample's
loss is weighted. Times are the model's own: whole numbers under `ddpm`, sigma times a thousand under `flow`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lora_lab.config.schema import LossConfig
from lora_lab.losses.settings import FLOW, PredictionType

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True)
class ProcessFacts:
    """What can be said of a noise process before anything runs.

    Attributes:
        predictions: What a model of it may predict.
        samplers: Previews are rendered with one of these, by the field's names.
    """

    name: str
    predictions: tuple[str, ...]
    samplers: tuple[str, ...]


PROCESSES = {
    "ddpm": ProcessFacts(
        "ddpm", ("epsilon", "v_prediction"), ("ddim", "euler", "euler_a", "dpm++_2m", "unipc")
    ),
    "flow": ProcessFacts("flow", (FLOW,), ("euler",)),
}
"""By the name that a family's row says."""


class NoiseProcess(Protocol):
    """The noise process of a run. Shapes: B samples, then the latents' own sides."""

    @property
    def name(self) -> str:
        """A key of `PROCESSES`."""

    @property
    def prediction_type(self) -> PredictionType:
        """What the model predicts."""

    def draw_times(self, settings: LossConfig, generators: Sequence[Generator]) -> Tensor:
        """A time for each generator, (B,), on the CPU: one draw from each, whatever the settings."""

    def times(self, steps: Sequence[int]) -> Tensor:
        """The times (B,) that are called by these numbers from 0 up to 1000, as in settings."""

    def add_noise(self, latents: Tensor, noise: Tensor, times_B: Tensor) -> Tensor:
        """The noisy latents."""

    def target(self, latents: Tensor, noise: Tensor, times_B: Tensor) -> Tensor:
        """What the model should answer."""

    def weights(self, settings: LossConfig, times_B: Tensor, like: Tensor) -> Tensor | None:
        """Each sample's factor in the loss, (B,), as `like` is; None where all are 1."""

    def huber_c(self, settings: LossConfig, times_B: Tensor, like: Tensor) -> Tensor | None:
        """Each sample's huber_c, (B,), as `like` is; None where the loss type has none."""


def noise_process(
    name: str, betas: Tensor, prediction_type: PredictionType, zero_terminal_snr: bool = False
) -> NoiseProcess:
    """The noise process of a model.

    Args:
        name: A key of `PROCESSES`.
        betas: The model's noise schedule as it states it, (T,); not used by flows.
        prediction_type: What the model predicts.
        zero_terminal_snr: Whether the schedule is rescaled so; a flow ends in pure noise anyway.
    """
    if name == "flow":
        from lora_lab.losses.flow import Flow

        return Flow()
    from lora_lab.losses.ddpm import Ddpm
    from lora_lab.losses.schedule import schedule_from_betas

    return Ddpm(schedule_from_betas(betas, prediction_type, zero_terminal_snr))
