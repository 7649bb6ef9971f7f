"""What is drawn for each sample: time, noise, and the noise's variants.

Every sample has a generator of its own and is drawn alone, so that it does not depend on its batch or pack.
The time is drawn first and the plain noise second: runs that differ in a noise setting share both.

Shape suffixes: B samples, C channels, H and W latent size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from lora_lab.config.schema import LossConfig
from lora_lab.losses.process import NoiseProcess


@dataclass(frozen=True)
class Draw:
    """What was drawn for a batch.

    `noise_BCHW` is what the model is to predict; `input_noise_BCHW` is what is added to the latents, and
    differs from it under input perturbation only.
    """

    times_B: Tensor
    noise_BCHW: Tensor
    input_noise_BCHW: Tensor


def draw(
    latents_BCHW: Tensor, settings: LossConfig, process: NoiseProcess, generators: Sequence[Generator]
) -> Draw:
    """Draw times and noise for a batch, one generator per sample; on the latents' device, in their dtype."""
    times = process.draw_times(settings, generators).to(latents_BCHW.device)
    noise = draw_noise(latents_BCHW, generators)
    noise = offset_noise(noise, latents_BCHW, settings, generators)
    noise = multires_noise(noise, settings, generators)
    return Draw(times, noise, perturbed_noise(noise, settings, generators))


def _normal(shape: Sequence[int], like: Tensor, generator: Generator) -> Tensor:
    """Standard normal numbers, drawn in fp32 on the generator's device whatever `like` is."""
    return torch.randn(tuple(shape), generator=generator, device=generator.device).to(like)


def _uniform(like: Tensor, generator: Generator) -> Tensor:
    return torch.rand((), generator=generator, device=generator.device).to(like)


def draw_noise(latents_BCHW: Tensor, generators: Sequence[Generator]) -> Tensor:
    """Standard normal noise of the latents' shape, (B, C, H, W)."""
    return torch.stack([_normal(latents_BCHW.shape[1:], latents_BCHW, g) for g in generators])


def offset_noise(
    noise_BCHW: Tensor, latents_BCHW: Tensor, settings: LossConfig, generators: Sequence[Generator]
) -> Tensor:
    """Noise plus an offset that is constant over a channel (Guttenberg 2023, "Diffusion with Offset Noise").

    The strength is `noise_offset`, times a uniform number with `noise_offset_random_strength`, plus
    `adaptive_noise_scale` times the absolute mean of the latent's channel, not below 0. The peer draws one
    strength per batch; here each sample has its own.
    """
    if not settings.noise_offset:
        return noise_BCHW
    shifted = []
    for noise_CHW, latents_CHW, generator in zip(noise_BCHW, latents_BCHW, generators, strict=True):
        strength: Tensor | float = settings.noise_offset
        if settings.noise_offset_random_strength:
            strength = strength * _uniform(noise_CHW, generator)
        if settings.adaptive_noise_scale:
            mean_C11 = latents_CHW.mean(dim=(1, 2), keepdim=True).abs()
            strength = (strength + settings.adaptive_noise_scale * mean_C11).clamp(min=0)
        shifted.append(noise_CHW + strength * _normal((len(noise_CHW), 1, 1), noise_CHW, generator))
    return torch.stack(shifted)


def multires_noise(noise_BCHW: Tensor, settings: LossConfig, generators: Sequence[Generator]) -> Tensor:
    """Noise plus coarser and coarser noise, back at unit variance (Whitaker 2023, "Multi-Resolution Noise").

    Level i is drawn at the size divided by r^i, r uniform from 2 to 4, enlarged bilinearly, times
    discount^i; the first level is full size. The peer scales the whole batch to unit variance; here each
    sample is scaled.
    """
    if not settings.multires_noise_iterations:
        return noise_BCHW
    pairs = zip(noise_BCHW, generators, strict=True)
    return torch.stack([_pyramid(noise_CHW, settings, generator) for noise_CHW, generator in pairs])


def _pyramid(noise_CHW: Tensor, settings: LossConfig, generator: Generator) -> Tensor:
    channels, height, width = noise_CHW.shape
    total_CHW = noise_CHW
    for level in range(settings.multires_noise_iterations):
        ratio = 2 + 2 * float(torch.rand((), generator=generator, device=generator.device))
        size = max(1, int(height / ratio**level)), max(1, int(width / ratio**level))
        coarse = _normal((1, channels, *size), noise_CHW, generator)
        fine = functional.interpolate(coarse, size=(height, width), mode="bilinear")[0]
        total_CHW = total_CHW + fine * settings.multires_noise_discount**level
        if 1 in size:
            break
    return total_CHW / total_CHW.std()


def perturbed_noise(noise_BCHW: Tensor, settings: LossConfig, generators: Sequence[Generator]) -> Tensor:
    """The noise that is added to the latents under input perturbation (Ning et al. 2023, arXiv 2301.11706).

    noise + gamma z, with z another standard normal draw and gamma times a uniform number where its strength
    is random; the target stays the plain noise.
    """
    if not settings.ip_noise_gamma:
        return noise_BCHW
    perturbed = []
    for noise_CHW, generator in zip(noise_BCHW, generators, strict=True):
        gamma: Tensor | float = settings.ip_noise_gamma
        if settings.ip_noise_gamma_random_strength:
            gamma = gamma * _uniform(noise_CHW, generator)
        perturbed.append(noise_CHW + gamma * _normal(noise_CHW.shape, noise_CHW, generator))
    return torch.stack(perturbed)
