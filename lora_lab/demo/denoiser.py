"""The miniature Stable Diffusion: its parts, its noise schedule, its prompts, and a sampler to look at it."""

# Shapes: B samples, C = 4 latent channels, h and w latent cells (16), N tokens (48), D text width.

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

TEXT_WIDTH = 128
LATENT_CELLS = 16


@dataclass
class Denoiser:
    """What stage two trains, and the tokenizer that it reads captions with."""

    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer

    @property
    def modules(self) -> list[nn.Module]:
        """The networks whose weights are trained."""
        return [self.unet, self.text_encoder]

    def parameters(self) -> list[nn.Parameter]:
        """All weights that are trained."""
        return [p for m in self.modules for p in m.parameters()]

    def encode(self, captions: list[str]) -> Tensor:
        """States (B, N, D) after the last layer and the final norm."""
        ids = self.tokenizer(
            captions,
            padding="max_length",
            truncation=True,
            max_length=self.tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids
        return self.text_encoder(ids).last_hidden_state


def build_denoiser(tokenizer: CLIPTokenizer) -> Denoiser:
    """Freshly initialised; every residual branch of the U-Net starts at zero."""
    unet = UNet2DConditionModel(
        sample_size=LATENT_CELLS,
        block_out_channels=(32, 64, 128),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=(2, 4, 4),  # diffusers reads these as numbers of heads
        norm_num_groups=8,
    )
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if name.endswith(("conv2.weight", "proj_out.weight", "conv_out.weight")):
                parameter.zero_()
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Denoiser(unet, CLIPTextModel(config), tokenizer)


def noise_scheduler() -> DDPMScheduler:
    """Stable Diffusion's own schedule."""
    return DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
    )


@torch.no_grad()
def sample_latents(
    denoiser: Denoiser, prompts: list[str], seed: int, steps: int = 25, scale: float = 4.0
) -> Tensor:
    """Latents (B, C, h, w), scaled as the U-Net sees them, by DDIM with classifier-free guidance.

    The noise of each image depends on `seed` and its place in the list only.
    """
    alphas = noise_scheduler().alphas_cumprod
    states_BND = denoiser.encode([*prompts, *[""] * len(prompts)])
    noise = [torch.Generator().manual_seed(seed + i) for i in range(len(prompts))]
    latents_BChw = torch.stack([torch.randn(4, LATENT_CELLS, LATENT_CELLS, generator=g) for g in noise])
    times = torch.linspace(999, 0, steps + 1).round().long()
    for now, then in zip(times[:-1], times[1:], strict=True):
        both = denoiser.unet(torch.cat([latents_BChw] * 2), now, states_BND).sample
        with_text, without = both.chunk(2)
        eps_BChw = without + scale * (with_text - without)
        clean_BChw = (latents_BChw - (1 - alphas[now]).sqrt() * eps_BChw) / alphas[now].sqrt()
        latents_BChw = alphas[then].sqrt() * clean_BChw + (1 - alphas[then]).sqrt() * eps_BChw
    return latents_BChw


@torch.no_grad()
def decode(vae: AutoencoderKL, latents_BChw: Tensor) -> Tensor:
    """Pixels (B, 3, 64, 64) from -1 to 1."""
    return vae.decode(latents_BChw / vae.config.scaling_factor).sample.clamp(-1, 1)


def save_pipeline(denoiser: Denoiser, vae: AutoencoderKL, folder: Path) -> None:
    """A diffusers folder in fp16 safetensors. The modules come back as fp32, rounded to fp16."""
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=denoiser.text_encoder,
        tokenizer=denoiser.tokenizer,
        unet=denoiser.unet,
        scheduler=noise_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(dtype=torch.float16).save_pretrained(folder)
    pipeline.to(dtype=torch.float32)
