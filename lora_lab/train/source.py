"""What a run draws its samples from: latents, noise, timesteps, captions, as functions of the sample index.

Everything random about a sample comes from generators seeded by (run's seed, sample index, purpose). So
nothing has to be replayed on resuming, a run does not depend on its pack-mates, and runs with one seed see
the same images, noise and timesteps at the same sample index, whatever else differs between them.

Shapes: B samples of one batch, C latent channels, h x w latent pixels.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_lab.config.schema import LossConfig
from lora_lab.data.captions import process
from lora_lab.data.image_set import CaptionedImage
from lora_lab.data.order import Batch as Draws
from lora_lab.data.order import Draw, Stream, sample_rng, sample_seed
from lora_lab.losses.noise import draw
from lora_lab.losses.process import NoiseProcess
from lora_lab.models import TextStates


@dataclass(frozen=True)
class Batch:
    """One micro-batch on the device. `text` is given where the text encoders are not trained.

    `sizes_B6` is SDXL's conditioning: original height and width, crop top and left, target height and width.
    `mask_B1hw` multiplies the loss where `alpha_mask` is on.
    `weights_B` is each sample's factor in the loss: 1, or `prior_loss_weight` for regularisation images.
    """

    noisy_BChw: Tensor
    target_BChw: Tensor
    times_B: Tensor
    sizes_B6: Tensor
    weights_B: Tensor
    captions: list[str]
    text: TextStates | None
    mask_B1hw: Tensor | None = None


@dataclass(frozen=True)
class Latent:
    """An image as the VAE sees it, on the CPU: scaled mean and deviation, (C, h, w), and its six sizes.

    `mask_hw` is how much of each latent pixel counts in the loss; None for all of it.
    """

    mean_Chw: Tensor
    std_Chw: Tensor
    sizes: tuple[int, int, int, int, int, int]
    mask_hw: Tensor | None = None


LatentOf = Callable[[int, bool, random.Random], Latent]
"""Takes the image's index, whether it is mirrored, and the draw's generator for a random crop."""
TextOf = Callable[[Sequence[str]], TextStates]


@dataclass(frozen=True)
class Source:
    """The samples of one run.

    Args:
        stream: Order of draws.
        items: The images that the stream's indices mean.
        latent_of: Gives an image's latent.
        text_of: Gives captions' states where the text encoders are not trained, else None.
        process: The noise process of the run.
    """

    stream: Stream
    items: Sequence[CaptionedImage]
    latent_of: LatentOf
    text_of: TextOf | None
    process: NoiseProcess
    loss: LossConfig
    seed: int
    max_token_length: int
    total_updates: int
    device: torch.device

    def micro_batches(self, update: int, accumulation: int) -> list[Draws]:
        """The draws of one update, as many batches as are accumulated."""
        return self.stream.update(update, accumulation)

    def batch(self, draws: Draws, update: int) -> Batch:
        """Make the tensors of one micro-batch. `update` counts the updates done (for token warmup)."""
        found = [self._latent(item) for item in draws.draws]
        latents_BChw = torch.stack([self._sampled(*pair) for pair in zip(found, draws.draws, strict=True)])
        generators = [self._generator(item, "noise") for item in draws.draws]
        drawn = draw(latents_BChw, self.loss, self.process, generators)
        noisy = self.process.add_noise(latents_BChw, drawn.input_noise_BCHW, drawn.times_B)
        goal = self.process.target(latents_BChw, drawn.noise_BCHW, drawn.times_B)
        captions = [self._caption(item, update) for item in draws.draws]
        weights = [
            self.loss.prior_loss_weight if self.items[item.image].is_reg else 1.0 for item in draws.draws
        ]
        return Batch(
            noisy.to(self.device),
            goal.to(self.device),
            drawn.times_B.to(self.device),
            torch.tensor([item.sizes for item in found], dtype=torch.float32, device=self.device),
            torch.tensor(weights, device=self.device),
            captions,
            self.text_of(captions) if self.text_of else None,
            self._mask(found),
        )

    def _mask(self, found: Sequence[Latent]) -> Tensor | None:
        if all(item.mask_hw is None for item in found):
            return None
        whole = torch.ones(found[0].mean_Chw.shape[1:])
        masks = [whole if item.mask_hw is None else item.mask_hw for item in found]
        return torch.stack(masks)[:, None].to(self.device)

    def _generator(self, item: Draw, purpose: str) -> torch.Generator:
        return torch.Generator().manual_seed(sample_seed(self.seed, item.sample_index, purpose))

    def _latent(self, item: Draw) -> Latent:
        mirrored = self.items[item.image].settings.flip_aug and self._rng(item, "flip").random() < 0.5
        return self.latent_of(item.image, mirrored, self._rng(item, "crop"))

    def _sampled(self, found: Latent, item: Draw) -> Tensor:
        noise = torch.randn(found.mean_Chw.shape, generator=self._generator(item, "latent"))
        return found.mean_Chw + found.std_Chw * noise

    def _rng(self, item: Draw, purpose: str) -> random.Random:
        return sample_rng(self.seed, item.sample_index, purpose)

    def _caption(self, item: Draw, update: int) -> str:
        image = self.items[item.image]
        rng = self._rng(item, "caption")
        return process(
            image.caption,
            image.settings.captions,
            rng,
            item.epoch,
            step=update,
            max_train_steps=self.total_updates,
        )
