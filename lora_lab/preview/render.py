"""Rendering: one classifier-free-guidance batch for any mix of adapters, strengths, prompts and seeds.

Shapes: B shots, C latent channels, h x w latent pixels, H x W pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from PIL import Image

from lora_lab.losses.process import NoiseProcess
from lora_lab.models import BaseModel, TextStates, decode, encode_text, predict, tokenize
from lora_lab.models.text import chunks_of
from lora_lab.preview.samplers import build, first, scaled


class Router(Protocol):
    """What rendering needs of a pack: choosing the adapter and strength of each sample."""

    def route(
        self,
        slots: Sequence[int],
        strengths: Sequence[float] | None = None,
        parts: Sequence[str] | None = None,
    ) -> None:
        """Choose for every sample of the coming forward passes; slot -1 is the bare base model."""

    def new_draw(self, seeds: dict[int, int]) -> None:
        """Dropout masks of the coming passes; none for {}."""


@dataclass(frozen=True)
class Shot:
    """One image to render: `slot` is the adapter's slot in the pack, -1 for the bare base model."""

    slot: int
    prompt: str
    seed: int
    strength: float
    clip_skip: int = 1
    negative_prompt: str = ""


@dataclass(frozen=True)
class RenderSettings:
    """What all shots share. `size` is (width, height) in pixels.

    `prediction_type` and `zero_terminal_snr` are the model's own where they are not given.
    """

    steps: int
    guidance_scale: float
    sampler: str
    size: tuple[int, int]
    batch_size: int
    max_token_length: int = 75
    zero_terminal_snr: bool | None = None
    prediction_type: str = ""
    flow_shift: float = 1.0

    def process(self, base: BaseModel) -> NoiseProcess:
        """The noise process that is undone."""
        return base.process(self.prediction_type, self.zero_terminal_snr)


@torch.no_grad()
def render(
    base: BaseModel, router: Router | None, shots: Sequence[Shot], settings: RenderSettings
) -> Iterator[Image.Image]:
    """Render the shots in their order, `settings.batch_size` at a time.

    Args:
        base: The base model, with the pack of `router` attached to it.
        router: The pack, or None when every shot is of the bare base model.
        shots: What to render.
        settings: What they share.
    """
    for start in range(0, len(shots), settings.batch_size):
        chunk = shots[start : start + settings.batch_size]
        pixels_BCHW = _render_batch(base, router, chunk, settings)
        for pixels_CHW in pixels_BCHW.float().cpu():
            # A non-finite image is shown as black, which is what other tools make of it.
            values = torch.nan_to_num((pixels_CHW.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
            yield Image.fromarray(values.permute(1, 2, 0).numpy())


def _render_batch(
    base: BaseModel, router: Router | None, shots: Sequence[Shot], settings: RenderSettings
) -> torch.Tensor:
    guided = settings.guidance_scale > 1
    text = _text_states(base, router, shots, settings, guided)
    width, height = (_fit(side, base.latent_factor) for side in settings.size)
    process = settings.process(base)
    scheduler = build(settings.sampler, process, settings.steps, base.device, settings.flow_shift)
    generators = [torch.Generator().manual_seed(shot.seed) for shot in shots]
    shape = (base.latent_channels, height // base.latent_factor, width // base.latent_factor)
    noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
    latents_BChw = first(scheduler, noise.to(base.device, torch.float32))
    copies = 2 if guided else 1
    sizes = torch.tensor([[height, width, 0, 0, height, width]] * (len(shots) * copies), device=base.device)
    _route(router, shots, copies, ("unet",))
    for timestep in scheduler.timesteps:
        seen = scaled(scheduler, latents_BChw, timestep)
        steps_B = timestep.expand(len(shots) * copies)
        noise_pred = predict(base, torch.cat([seen] * copies).to(base.dtype), steps_B, text, sizes).float()
        if guided:
            uncond, cond = noise_pred.chunk(2)
            noise_pred = uncond + settings.guidance_scale * (cond - uncond)
        latents_BChw = _step(scheduler, noise_pred, timestep, latents_BChw, generators)
    return decode(base, latents_BChw)


def _fit(side: int, factor: int) -> int:
    # A U-Net halves its input up to three times; A1111, too, renders multiples of 8 latents' worth of pixels.
    return max(side // (factor * 2), 1) * factor * 2


def _step(
    scheduler: Any,
    noise_pred: torch.Tensor,
    timestep: torch.Tensor,
    latents: torch.Tensor,
    generators: list[Any],
) -> torch.Tensor:
    ancestral = type(scheduler).__name__ == "EulerAncestralDiscreteScheduler"
    extra = {"generator": generators} if ancestral else {}
    result: torch.Tensor = scheduler.step(noise_pred, timestep, latents, **extra).prev_sample
    return result


def _route(
    router: Router | None, shots: Sequence[Shot], copies: int, parts: Sequence[str], chunks: int = 1
) -> None:
    if router is not None:
        rows = [shot for shot in shots for _ in range(chunks)] * copies
        router.new_draw({})
        router.route([shot.slot for shot in rows], [shot.strength for shot in rows], parts)


def _text_states(
    base: BaseModel, router: Router | None, shots: Sequence[Shot], settings: RenderSettings, guided: bool
) -> TextStates:
    # The text encoders' adapters act on the negative prompt, too, as in A1111 and ComfyUI.
    captions = ([shot.negative_prompt for shot in shots] if guided else []) + [shot.prompt for shot in shots]
    copies = 2 if guided else 1
    _route(router, shots, copies, base.spec.text_parts, chunks_of(settings.max_token_length))
    ids = tokenize(base, captions, settings.max_token_length)
    return encode_text(base, ids, [shot.clip_skip for shot in shots] * copies)
