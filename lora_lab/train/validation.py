"""The validation loss: held-back images at fixed timesteps with fixed noise, the same for every run.

It is a yardstick, so it is plain whatever the run trains with: squared error, no weights, no noise variants,
captions without shuffle or dropout, mean latents, no dropout in the adapter. Every image counts the same at
every timestep, whatever batch it falls into. (sd-scripts' validation follows the run's own loss settings.)

Shapes: B samples of one batch, C latent channels, h x w latent pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_lab.data.order import sample_seed
from lora_lab.losses.process import NoiseProcess
from lora_lab.train.source import Batch, TextOf


@dataclass(frozen=True)
class HeldBack:
    """One image that is not trained on.

    `key` decides its noise: the hash of its bytes. `latent_Chw` is the scaled mean of the VAE, on the CPU;
    `sizes` are SDXL's six.
    """

    key: str
    caption: str
    latent_Chw: Tensor
    sizes: tuple[int, int, int, int, int, int]


@dataclass(frozen=True)
class Validation:
    """What one run is measured on. `text_of` is there where its text encoders are not trained."""

    images: Sequence[HeldBack]
    timesteps: Sequence[int]
    process: NoiseProcess
    text_of: TextOf | None
    batch_size: int
    device: torch.device

    def batches(self) -> Iterator[Batch]:
        """All images at all timesteps; what is in a batch shares one latent shape."""
        by_shape: dict[torch.Size, list[tuple[HeldBack, int]]] = {}
        for image in self.images:
            for timestep in self.timesteps:
                by_shape.setdefault(image.latent_Chw.shape, []).append((image, timestep))
        for samples in by_shape.values():
            for start in range(0, len(samples), self.batch_size):
                yield self._batch(samples[start : start + self.batch_size])

    def _batch(self, samples: Sequence[tuple[HeldBack, int]]) -> Batch:
        latents_BChw = torch.stack([image.latent_Chw for image, _ in samples])
        noise_BChw = torch.stack([_noise(image, timestep) for image, timestep in samples])
        times_B = self.process.times([timestep for _, timestep in samples])
        inputs = (latents_BChw, noise_BChw, times_B)
        captions = [image.caption for image, _ in samples]
        return Batch(
            self.process.add_noise(*inputs).to(self.device),
            self.process.target(*inputs).to(self.device),
            times_B.to(self.device),
            torch.tensor([image.sizes for image, _ in samples], dtype=torch.float32, device=self.device),
            torch.ones(len(samples), device=self.device),
            captions,
            self.text_of(captions) if self.text_of else None,
        )


def _noise(image: HeldBack, timestep: int) -> Tensor:
    generator = torch.Generator().manual_seed(sample_seed(0, timestep, f"validation {image.key}"))
    return torch.randn(image.latent_Chw.shape, generator=generator)
