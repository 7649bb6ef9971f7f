"""A loaded base model, and the four things training and previews ask of it besides text.

Shape legend: B samples, C latent channels, h w latent sides, H W image sides, T text positions,
D text width, P pooled width.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from lora_lab.errors import ModelError
from lora_lab.losses.process import NoiseProcess, noise_process
from lora_lab.losses.settings import PredictionType
from lora_lab.models.families import FAMILIES
from lora_lab.models.family import Family
from lora_lab.models.networks import named


@dataclass
class TextStates:
    """What the U-Net is told of the caption."""

    hidden: Tensor
    """(B, T, D): all encoders' states, side by side in D."""
    pooled: Tensor | None
    """(B, P) where the family has a pooled condition."""


@dataclass
class BaseModel:
    """Frozen networks and what is needed to use them: no weight asks for gradients, dropout is inert."""

    family: str
    name: str
    unet: Any
    """The denoiser, a U-Net or a transformer."""
    vae: Any
    text_encoders: list[Any]
    tokenizers: list[Any]
    scheduler_config: dict[str, Any]
    betas: Tensor
    """(timesteps,) float32, as stated: not rescaled to zero terminal SNR; (0,) for a flow."""
    prediction_type: str
    """`epsilon`, `v_prediction` or `flow_prediction`."""
    zero_terminal_snr: bool
    """Whether the model says that it was trained on betas rescaled to zero terminal SNR."""
    latent_channels: int
    latent_factor: int
    """Image side over latent side."""
    scaling_factor: float
    shift_factor: float
    max_length: int
    """Tokens per chunk, begin and end included."""
    identity: str
    """SHA-256 of the model's files."""
    vae_identity: str
    """SHA-256 over the loaded VAE's tensors, in their type, and its config."""
    text_identity: str
    """SHA-256 over the loaded text encoders' tensors, in their type, their configs and the tokenizers."""

    @property
    def spec(self) -> Family:
        """The family's facts."""
        return FAMILIES[self.family]

    def process(self, prediction_type: str = "", zero_terminal_snr: bool | None = None) -> NoiseProcess:
        """The noise process, as the model says of itself where nothing else is asked for."""
        rescaled = self.zero_terminal_snr if zero_terminal_snr is None else zero_terminal_snr
        predicted = cast(PredictionType, prediction_type or self.prediction_type)
        return noise_process(self.spec.process, self.betas, predicted, rescaled)

    @property
    def device(self) -> torch.device:
        """Where the U-Net is."""
        return self.unet.device

    @property
    def dtype(self) -> torch.dtype:
        """The U-Net's type."""
        return self.unet.dtype


def predict(
    base: BaseModel, noisy: Tensor, timesteps: Tensor, text: TextStates, sizes: Tensor | None = None
) -> Tensor:
    """The denoiser's answer (epsilon, v or the flow's velocity), in the type of `noisy`.

    Args:
        noisy: (B, C, h, w) scaled latents with noise.
        timesteps: (B,) as the family's noise process counts them.
        text: States of the same batch.
        sizes: (B, 6) original height and width, crop top and left, target height and width, in pixels;
            needed by families with size conditioning (SDXL), ignored by others.
    """
    answer: Tensor = named(base.spec.denoiser.predict)(base, noisy, timesteps, text, sizes)
    return answer.to(noisy.dtype)


def encode_images(base: BaseModel, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of the latents of images: float32, unscaled, (B, C, h, w) each.

    Args:
        pixels: (B, 3, H, W) in [-1, 1].
    Raises:
        ModelError: The VAE gives NaN or infinity, as SDXL's own does in fp16.
    """
    vae = base.vae
    latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
    mean, logvar = latents.mean.float(), latents.logvar.float()
    if not torch.isfinite(mean).all():
        raise ModelError(
            f"the VAE of {base.name} gives NaN in {str(vae.dtype).removeprefix('torch.')}; "
            "run it in float32, or give a VAE made for half precision with base_model.vae"
        )
    return mean, logvar


def scale(base: BaseModel, latents: Tensor) -> Tensor:
    """Latents as the U-Net knows them, from latents as the VAE gives them."""
    return (latents - base.shift_factor) * base.scaling_factor


def decode(base: BaseModel, latents: Tensor) -> Tensor:
    """Images (B, 3, H, W) in about [-1, 1], float32, of scaled latents (B, C, h, w)."""
    vae = base.vae
    unscaled = latents.float() / base.scaling_factor + base.shift_factor
    return vae.decode(unscaled.to(vae.device, vae.dtype), return_dict=False)[0].float()


def to_cpu(base: BaseModel) -> None:
    """Free the card of a model that is not needed for now."""
    for network in (base.unet, base.vae, *base.text_encoders):
        network.to("cpu")


def set_gradient_checkpointing(base: BaseModel, enabled: bool, text_encoders: bool = True) -> None:
    """Trade time for memory: recompute activations in the backward pass instead of keeping them.

    The networks are in train mode while it is on, since the libraries ask for it; dropout stays off.
    """
    networks = [base.unet, *(base.text_encoders if text_encoders else [])]
    for network in networks:
        silence_dropout(network)
        network.train(enabled)
    if enabled:
        base.unet.enable_gradient_checkpointing()
        for encoder in networks[1:]:
            encoder.activation_checkpointing_enable({"use_reentrant": False})
    else:
        base.unet.disable_gradient_checkpointing()
        for encoder in networks[1:]:
            encoder.activation_checkpointing_disable()


def silence_dropout(network: nn.Module) -> None:
    """Set every dropout of a frozen network to zero, so that train mode computes what eval mode does."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(vars(module).get("dropout"), float):  # vars: a config's getter warns
            module.dropout = 0.0  # type: ignore[assignment]


def freeze(networks: Iterable[nn.Module]) -> None:
    """Turn off gradients of all weights, and train mode."""
    for network in networks:
        network.requires_grad_(False)
        network.eval()
