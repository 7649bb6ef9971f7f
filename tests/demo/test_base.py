"""The shipped base model: loads with diffusers alone, is small, and draws what it is asked for."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from lora_lab.demo import BASE
from lora_lab.demo.denoiser import Denoiser, decode, sample_latents
from lora_lab.demo.drawing import BACKGROUND_RGB, render
from lora_lab.demo.likeness import score
from lora_lab.demo.portraits import TRIGGER, sample, subject, tags
from lora_lab.demo.vae_images import to_image
from lora_lab.demo.vae_training import images_to_tensor, psnr, reconstruct

BACKGROUNDS = ("blue", "green", "pink", "yellow")


@pytest.fixture(scope="module")
def vae():
    return AutoencoderKL.from_pretrained(BASE / "vae", local_files_only=True).float().eval()


@pytest.fixture(scope="module")
def denoiser():
    return Denoiser(
        UNet2DConditionModel.from_pretrained(BASE / "unet", local_files_only=True).float().eval(),
        CLIPTextModel.from_pretrained(BASE / "text_encoder", local_files_only=True).float().eval(),
        CLIPTokenizer.from_pretrained(BASE / "tokenizer", local_files_only=True),
    )


@pytest.fixture(scope="module")
def previews(vae, denoiser):
    torch.manual_seed(0)
    prompts = [
        f"1girl, brown hair, bob cut, fair skin, smile, white shirt, {name} background, simple background"
        for name in BACKGROUNDS
    ]
    pixels = decode(vae, sample_latents(denoiser, prompts, seed=0, steps=10))
    return [to_image(p.numpy()) for p in pixels]


def test_it_is_small_and_half_precision():
    assert sum(f.stat().st_size for f in BASE.rglob("*") if f.is_file()) < 20e6
    assert {f.suffix for f in BASE.rglob("*.*") if f.is_file()} <= {".json", ".safetensors", ".md"}
    assert CLIPTextModel.from_pretrained(BASE / "text_encoder", dtype="auto").dtype == torch.float16


def test_its_schedule_is_that_of_stable_diffusion():
    config = DDPMScheduler.from_pretrained(BASE / "scheduler").config
    assert (config.beta_schedule, config.prediction_type) == ("scaled_linear", "epsilon")
    assert (config.beta_start, config.beta_end) == (0.00085, 0.012)


def test_the_trigger_is_several_unknown_pieces_and_captions_fit(denoiser):
    tokenizer = denoiser.tokenizer
    assert len(tokenizer.tokenize(TRIGGER)) >= 3
    rng = Random(0)
    captions = [", ".join([TRIGGER, *tags(sample(rng))]) for _ in range(300)]
    assert max(len(ids) for ids in tokenizer(captions).input_ids) <= tokenizer.model_max_length


def test_the_vae_keeps_the_domain_and_the_subject(vae):
    rng = Random(1)
    assert psnr(vae, images_to_tensor([render(sample(rng)) for _ in range(8)])) > 28
    real = images_to_tensor([render(subject(rng)) for _ in range(8)])
    assert score([to_image(p.numpy()) for p in reconstruct(vae, real)]) > 70


def test_previews_are_images(previews):
    for image in previews:
        assert 15 < np.asarray(image, dtype=float).std() < 120


def test_previews_follow_the_background(previews):
    for name, image in zip(BACKGROUNDS, previews, strict=True):
        corner = np.asarray(image, dtype=float)[2:14, 2:10].reshape(-1, 3).mean(axis=0)
        distances = {other: np.abs(corner - BACKGROUND_RGB[other]).sum() for other in BACKGROUNDS}
        assert min(distances, key=distances.__getitem__) == name


def test_the_base_does_not_know_the_subject(vae, denoiser):
    rng = Random(2)
    prompts = [", ".join([TRIGGER, *tags(replace(subject(rng), glasses=False))]) for _ in range(4)]
    images = [to_image(p.numpy()) for p in decode(vae, sample_latents(denoiser, prompts, seed=5, steps=10))]
    assert score(images) < 30
