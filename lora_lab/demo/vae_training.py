"""Stage one: the VAE, 64 x 64 pixels to latents (4, 16, 16)."""

# Shapes: B images, C channels, H and W pixels (64), h and w latent cells (16).

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from pathlib import Path
from random import Random

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from lora_lab.demo.base_training import Clock, Peers, Schedule, load_state, log_line, save_state, set_rate
from lora_lab.demo.drawing import render
from lora_lab.demo.portraits import sample, subject
from lora_lab.demo.vae_images import to_array, to_image, vae_image

KL_WEIGHT = 1e-4
EDGE_WEIGHT = 0.5


@dataclass(frozen=True)
class VaeSettings:
    """How long and how fast the VAE is trained; `batch` is per process."""

    minutes: float
    batch: int = 8
    learning_rate: float = 2.5e-3
    seed: int = 0


def build_vae() -> AutoencoderKL:
    """0.65 M weights; residual branches start small, latents almost without noise: that trains far faster."""
    vae = AutoencoderKL(
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
    )
    with torch.no_grad():
        for name, parameter in vae.named_parameters():
            if name.endswith("conv2.weight"):
                parameter.mul_(0.1)
        vae.quant_conv.weight[4:].mul_(0.1)
        vae.quant_conv.bias[4:].fill_(-6.0)
    return vae


def images_to_tensor(images: list[Image.Image]) -> Tensor:
    """(B, 3, H, W) from -1 to 1."""
    return torch.from_numpy(np.stack([to_array(p) for p in images]))


def vae_loss(vae: AutoencoderKL, pixels_BCHW: Tensor) -> Tensor:
    """L1 + squared error + L1 of the differences between neighbours (edges) + a little KL, all as means."""
    posterior = vae.encode(pixels_BCHW).latent_dist
    error_BCHW = vae.decode(posterior.sample()).sample - pixels_BCHW
    edges = error_BCHW.diff(dim=2).abs().mean() + error_BCHW.diff(dim=3).abs().mean()
    kl = 0.5 * (posterior.mean.square() + posterior.var - 1.0 - posterior.logvar).mean()
    return error_BCHW.abs().mean() + error_BCHW.square().mean() + EDGE_WEIGHT * edges + KL_WEIGHT * kl


def train_vae(settings: VaeSettings, folder: Path, peers: Peers) -> None:
    """Trains until `minutes` of training are over, in as many runs as it takes; `folder` holds the state."""
    torch.manual_seed(settings.seed)
    vae = build_vae()
    optimizer = torch.optim.AdamW(
        vae.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.0
    )
    step, trained = 0, 0.0
    state = load_state(folder / "vae.pt")
    if state is not None:
        vae.load_state_dict(state["vae"])
        optimizer.load_state_dict(state["optimizer"])
        step, trained = state["step"], state["seconds"]
    end = settings.minutes * 60
    schedule = Schedule(settings.learning_rate, 50, end, 0.5 * end)
    clock, saved = Clock.resume(trained), trained
    torch.manual_seed(1000 * peers.rank + step)
    rng = Random(f"vae {settings.seed} {peers.rank} {step}")
    while not schedule.over(trained):
        pixels_BCHW = images_to_tensor([vae_image(rng) for _ in range(settings.batch)])
        set_rate(optimizer, schedule.rate(step, trained))
        loss, trained = _step(vae, optimizer, pixels_BCHW, peers, clock)
        step += 1
        if peers.rank == 0 and (trained - saved > 60 or schedule.over(trained)):
            saved = trained
            _checkpoint(vae, optimizer, folder, {"step": step, "seconds": trained, "loss": loss})


def _step(
    vae: AutoencoderKL, optimizer: torch.optim.Optimizer, pixels_BCHW: Tensor, peers: Peers, clock: Clock
) -> tuple[float, float]:
    optimizer.zero_grad()
    loss = vae_loss(vae, pixels_BCHW)
    loss.backward()
    parameters = list(vae.parameters())
    mean_loss, trained = peers.average(parameters, [loss.item(), clock.now()])
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    return mean_loss, trained


def _checkpoint(
    vae: AutoencoderKL, optimizer: torch.optim.Optimizer, folder: Path, record: dict[str, float]
) -> None:
    rng = Random("vae validation")
    domain = images_to_tensor([render(sample(rng)) for _ in range(32)])
    unseen = images_to_tensor([render(subject(rng)) for _ in range(16)])
    log_line(folder / "vae.jsonl", {**record, "psnr": psnr(vae, domain), "psnr_subject": psnr(vae, unseen)})
    rows = torch.cat([domain[:12], unseen[:12]])
    save_grid(torch.stack([rows, reconstruct(vae, rows)], 1).flatten(0, 1), folder / "vae.png", columns=12)
    save_state(folder / "vae.pt", {"vae": vae.state_dict(), "optimizer": optimizer.state_dict(), **record})


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, pixels_BCHW: Tensor) -> Tensor:
    """Through the latent mean and back."""
    return vae.decode(vae.encode(pixels_BCHW).latent_dist.mean).sample.clamp(-1, 1)


def psnr(vae: AutoencoderKL, pixels_BCHW: Tensor) -> float:
    """Peak signal to noise in dB, over all pixels of all images together."""
    error = F.mse_loss((reconstruct(vae, pixels_BCHW) + 1) / 2, (pixels_BCHW + 1) / 2).item()
    return -10 * log10(error)


def save_grid(pixels_BCHW: Tensor, path: Path, columns: int) -> None:
    """A PNG of images, twice their size, row by row."""
    rows = -(-len(pixels_BCHW) // columns)
    grid = Image.new("RGB", (columns * 130, rows * 130))
    for i, pixels in enumerate(pixels_BCHW):
        tile = to_image(pixels.numpy()).resize((128, 128), Image.Resampling.NEAREST)
        grid.paste(tile, ((i % columns) * 130, (i // columns) * 130))
    grid.save(path)
