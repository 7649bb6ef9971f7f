"""Stage two: U-Net and text encoder together, on latents of the finished VAE."""

# Shapes: B samples, C = 4 latent channels, h and w latent cells (16).

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from lora_lab.demo.base_training import (
    Clock,
    Ema,
    Peers,
    Schedule,
    load_state,
    log_line,
    save_state,
    set_rate,
)
from lora_lab.demo.denoiser import (
    Denoiser,
    build_denoiser,
    decode,
    noise_scheduler,
    sample_latents,
    save_pipeline,
)
from lora_lab.demo.drawing import render
from lora_lab.demo.portraits import Portrait, sample, tags
from lora_lab.demo.tokens import build_tokenizer
from lora_lab.demo.vae_training import build_vae, images_to_tensor, save_grid

CAPTION_DROPOUT = 0.1
TAG_DROPOUT = 0.08
SHUFFLED_SHARE = 0.5
MIN_SNR_GAMMA = 5.0
PREVIEW_SECONDS = 600
FINISH_EMA_DECAY = 0.99  # a falling rate averages by itself: a long mean would only lag behind


@dataclass(frozen=True)
class DenoiserSettings:
    """`minutes` ends a stable training at the full rate; `finish` means a fall to rate zero over its minutes.

    A finish leaves the stable state as it is, so that the stable training can go on afterwards.
    """

    minutes: float
    finish: float = 0.0
    batch: int = 16
    learning_rate: float = 1.2e-3
    ema_decay: float = 0.999
    images: int = 10_000
    fixed_order_samples: int = 60_000
    seed: int = 0


@dataclass
class Corpus:
    """Portraits and their latents (images, C, h, w), scaled to unit variance."""

    portraits: list[Portrait]
    latents_PChw: Tensor


@dataclass
class _Training:
    denoiser: Denoiser
    optimizer: torch.optim.Optimizer
    ema: Ema
    step: int = 0
    seconds: float = 0.0

    def state(self) -> dict[str, Any]:
        return {
            "unet": self.denoiser.unet.state_dict(),
            "text_encoder": self.denoiser.text_encoder.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state(),
            "step": self.step,
            "seconds": self.seconds,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self.denoiser.unet.load_state_dict(state["unet"])
        self.denoiser.text_encoder.load_state_dict(state["text_encoder"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema.load(state["ema"])
        self.step, self.seconds = state["step"], state["seconds"]


def caption(portrait: Portrait, rng: Random, *, fixed_order: bool) -> str:
    """Tags joined by commas: all in order at first; later some left out, half of the captions shuffled."""
    if rng.random() < CAPTION_DROPOUT:
        return ""
    own = tags(portrait)
    if not fixed_order:
        own = [tag for tag in own if rng.random() >= TAG_DROPOUT]
        if rng.random() < SHUFFLED_SHARE:
            rng.shuffle(own)
    return ", ".join(own)


def min_snr_weights(alphas_bar_B: Tensor) -> Tensor:
    """min(SNR, gamma) / SNR, for a network that predicts the noise (Hang et al. 2023, equation 6)."""
    snr_B = alphas_bar_B / (1 - alphas_bar_B)
    return snr_B.clamp(max=MIN_SNR_GAMMA) / snr_B


def load_vae(folder: Path) -> AutoencoderKL:
    """The VAE of stage one, in evaluation mode, frozen."""
    state = load_state(folder / "vae.pt")
    if state is None:
        raise SystemExit(f"{folder / 'vae.pt'} is not there: run --stage vae first")
    vae = build_vae()
    vae.load_state_dict(state["vae"])
    return vae.eval().requires_grad_(False)


@torch.no_grad()
def set_scaling_factor(vae: AutoencoderKL) -> None:
    """Makes latents of unit variance on average; the same sample of portraits decides in every process."""
    rng = Random("scaling factor")
    latents = vae.encode(images_to_tensor([render(sample(rng)) for _ in range(256)])).latent_dist.mean
    vae.register_to_config(scaling_factor=round(1.0 / latents.std().item(), 5))


@torch.no_grad()
def build_corpus(vae: AutoencoderKL, count: int, seed: str) -> Corpus:
    """Draws `count` portraits and encodes them."""
    rng = Random(seed)
    portraits = [sample(rng) for _ in range(count)]
    latents = []
    for i in range(0, count, 32):
        pixels_BCHW = images_to_tensor([render(p) for p in portraits[i : i + 32]])
        latents.append(vae.encode(pixels_BCHW).latent_dist.mean)
    return Corpus(portraits, torch.cat(latents) * vae.config.scaling_factor)


def export(folder: Path) -> None:
    """Saves the averaged weights of the last checkpoint as `folder/base`, with an image of previews."""
    training = _start(DenoiserSettings(minutes=0.0), folder)
    vae = load_vae(folder)
    set_scaling_factor(vae)
    _save(training, vae, folder)


def train_denoiser(settings: DenoiserSettings, folder: Path, peers: Peers) -> None:
    """Trains, checkpoints every minute, and at the end saves the averaged weights as `folder/base`."""
    torch.manual_seed(settings.seed)
    training = _start(settings, folder)
    finishing = settings.finish > 0
    if finishing:
        training.ema.decay = FINISH_EMA_DECAY
    vae = load_vae(folder)
    set_scaling_factor(vae)
    corpus = build_corpus(vae, settings.images, f"corpus {settings.seed} {peers.rank}")
    end = training.seconds + 60 * settings.finish if finishing else 60 * settings.minutes
    schedule = Schedule(settings.learning_rate, 100, end, 60 * settings.finish)
    clock = Clock.resume(training.seconds)
    torch.manual_seed(1000 * peers.rank + training.step)
    rng = Random(f"denoiser {settings.seed} {peers.rank} {training.step}")
    saved = shown = training.seconds
    running = 0.0
    while not schedule.over(training.seconds):
        set_rate(training.optimizer, schedule.rate(training.step, training.seconds))
        fixed_order = training.step * settings.batch * peers.world < settings.fixed_order_samples
        loss = _step(training, _batch(corpus, settings.batch, rng, fixed_order), peers, clock)
        running = loss if running == 0.0 else 0.98 * running + 0.02 * loss
        if peers.rank != 0 or training.seconds - saved < 60:
            continue
        saved = training.seconds
        samples = training.step * settings.batch * peers.world
        log_line(folder / "denoiser.jsonl", {"samples": samples, "seconds": saved, "loss": running})
        if not finishing:
            save_state(folder / "denoiser.pt", training.state())
        if training.seconds - shown > PREVIEW_SECONDS:
            shown = training.seconds
            preview(training, vae, folder / f"previews-{samples:07d}.png")
    if peers.rank == 0:
        if not finishing:
            save_state(folder / "denoiser.pt", training.state())
        _save(training, vae, folder)


def _start(settings: DenoiserSettings, folder: Path) -> _Training:
    denoiser = build_denoiser(build_tokenizer())
    denoiser.unet.to(memory_format=torch.channels_last)  # a fifth faster on a CPU
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=1e-3)
    training = _Training(denoiser, optimizer, Ema(denoiser.modules, settings.ema_decay))
    state = load_state(folder / "denoiser.pt")
    if state is not None:
        training.load(state)
    return training


def _batch(corpus: Corpus, size: int, rng: Random, fixed_order: bool) -> tuple[Tensor, list[str]]:
    chosen = [rng.randrange(len(corpus.portraits)) for _ in range(size)]
    captions = [caption(corpus.portraits[i], rng, fixed_order=fixed_order) for i in chosen]
    return corpus.latents_PChw[chosen], captions


def _step(training: _Training, batch: tuple[Tensor, list[str]], peers: Peers, clock: Clock) -> float:
    training.optimizer.zero_grad()
    loss = denoising_loss(training.denoiser, *batch)
    loss.backward()
    parameters = training.denoiser.parameters()
    mean_loss, training.seconds = peers.average(parameters, [loss.item(), clock.now()])
    nn.utils.clip_grad_norm_(parameters, 1.0)
    training.optimizer.step()
    training.ema.update(training.step)
    training.step += 1
    return mean_loss


def denoising_loss(denoiser: Denoiser, latents_BChw: Tensor, captions: list[str]) -> Tensor:
    """Min-SNR-weighted squared error of the predicted noise; timesteps are spread evenly over the batch."""
    size = len(captions)
    t_B = ((torch.arange(size) + torch.rand(size)) * 1000 / size).long().clamp(max=999)
    alphas_bar_B = noise_scheduler().alphas_cumprod[t_B]
    noise_BChw = torch.randn_like(latents_BChw)
    a = alphas_bar_B.view(-1, 1, 1, 1)
    noisy_BChw = (a.sqrt() * latents_BChw + (1 - a).sqrt() * noise_BChw).to(memory_format=torch.channels_last)
    predicted_BChw = denoiser.unet(noisy_BChw, t_B, denoiser.encode(captions)).sample
    error_B = (predicted_BChw - noise_BChw).square().mean(dim=(1, 2, 3))
    return (min_snr_weights(alphas_bar_B) * error_B).mean()


def preview(training: _Training, vae: AutoencoderKL, path: Path) -> None:
    """Pairs of a true image and what the averaged weights make of its tags."""
    rng = Random("preview")
    wanted = [replace(sample(rng), dx=0.0, dy=0.0, scale=1.0) for _ in range(24)]
    training.ema.swap()
    made = decode(vae, sample_latents(training.denoiser, [", ".join(tags(p)) for p in wanted], seed=0))
    training.ema.swap()
    truth = images_to_tensor([render(p) for p in wanted])
    save_grid(torch.stack([truth, made], 1).flatten(0, 1), path, columns=12)


def _save(training: _Training, vae: AutoencoderKL, folder: Path) -> None:
    preview(training, vae, folder / "previews-final.png")
    training.ema.swap()
    training.denoiser.unet.to(memory_format=torch.contiguous_format)
    save_pipeline(training.denoiser, vae, folder / "base")
