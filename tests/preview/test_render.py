"""Rendering: batches equal single images, strength 0 is the bare base, and diffusers draws the same."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lora_lab.models import BaseModel, encode_text, pipeline, tokenize
from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import AdapterSpec
from lora_lab.preview import RenderSettings, Shot, render
from lora_lab.preview.samplers import SAMPLERS
from tests import tiny

QUICK = RenderSettings(2, 4.0, "ddim", (32, 32), 8)
SPECS = [AdapterSpec(network_dim=2, network_alpha=2.0), AdapterSpec(network_dim=4, network_alpha=4.0, seed=5)]


def packed(base: BaseModel, specs: Sequence[AdapterSpec] = SPECS) -> Pack:
    """A pack whose adapters do something."""
    pack = Pack(base.unet, base.text_encoders, base.family, specs).attach()
    for slot, spec in enumerate(specs):
        pack.occupy(slot, spec)
        tensors = pack.export(slot)
        generator = torch.Generator().manual_seed(slot)
        for name, tensor in tensors.items():
            if "lora_up" in name:
                tensors[name] = torch.randn(tensor.shape, generator=generator) * 0.3
        pack.load(slot, tensors)
    return pack


@pytest.fixture(scope="module")
def sd1() -> Iterator[tuple[BaseModel, Pack]]:
    """A tiny model with two adapters, whose images span the whole range of brightness."""
    base = tiny.base("sd1")
    pack = packed(base)
    yield base, pack
    pack.detach()


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float32)


def apart(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(pixels(one) - pixels(other)).max())


MIXED = [
    Shot(0, "a cat", 1, 1.0),
    Shot(1, "a cat", 1, 1.0),
    Shot(0, "a dog", 2, 0.5, clip_skip=2),
    Shot(-1, "a cat", 1, 1.0, negative_prompt="bad"),
    Shot(1, "", 3, -0.7, negative_prompt="bad"),
]


@pytest.mark.parametrize("length", [75, 150])
def test_a_mixed_batch_equals_one_by_one(sd1: tuple[BaseModel, Pack], length: int) -> None:
    settings = replace(QUICK, max_token_length=length, sampler="euler_a")
    together = list(render(*sd1, MIXED, settings))
    alone = [next(iter(render(*sd1, [shot], settings))) for shot in MIXED]
    chunked = list(render(*sd1, MIXED, replace(settings, batch_size=2)))
    for one, other, third in zip(together, alone, chunked, strict=True):
        assert one.size == (32, 32) and one.mode == "RGB"
        assert apart(one, other) <= 1 and apart(one, third) <= 1
    assert apart(together[0], together[1]) > 1, "the adapters differ"
    assert apart(together[0], together[3]) > 1


def test_strength_0_is_the_bare_base_exactly(sd1: tuple[BaseModel, Pack]) -> None:
    shots = [Shot(0, "a cat", 1, 0.0), Shot(-1, "a cat", 1, 1.0), Shot(1, "a cat", 1, 0.0)]
    one, two, three = render(*sd1, shots, QUICK)
    assert apart(one, two) == apart(one, three) == 0
    base, pack = sd1
    pack.detach()
    try:
        (bare,) = render(base, None, [Shot(-1, "a cat", 1, 0.0)], QUICK)
    finally:
        pack.attach()
    assert apart(one, bare) <= 1


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_draws(sd1: tuple[BaseModel, Pack], name: str) -> None:
    shots = [Shot(0, "a cat", 1, 1.0), Shot(0, "a cat", 2, 1.0)]
    one, two = render(*sd1, shots, replace(QUICK, sampler=name, steps=3))
    assert apart(one, two) > 1, "seeds count"
    again, _ = render(*sd1, shots, replace(QUICK, sampler=name, steps=3))
    assert apart(one, again) == 0, "and nothing else is random"


def test_guidance_1_needs_no_negative_prompt(sd1: tuple[BaseModel, Pack]) -> None:
    plain = replace(QUICK, guidance_scale=1.0)
    one, two = render(*sd1, [Shot(0, "a", 1, 1.0), Shot(0, "a", 1, 1.0, negative_prompt="b")], plain)
    assert apart(one, two) <= 1
    (guided,) = render(*sd1, [Shot(0, "a", 1, 1.0, negative_prompt="b")], QUICK)
    assert apart(one, guided) > 1


def test_clip_skip_and_long_prompts_count(sd1: tuple[BaseModel, Pack]) -> None:
    first, skipped = render(*sd1, [Shot(0, "a cat", 1, 1.0), Shot(0, "a cat", 1, 1.0, clip_skip=2)], QUICK)
    assert apart(first, skipped) > 1
    long = "a very long prompt " * 8  # the tiny tokenizer has a token per letter
    for length, equal in ((75, True), (150, False)):
        settings = replace(QUICK, max_token_length=length)
        one, two = render(*sd1, [Shot(0, long, 1, 1.0), Shot(0, long[:100] + "zzz", 1, 1.0)], settings)
        assert (apart(one, two) <= 1) == equal


def test_diffusers_draws_the_same(sd1: tuple[BaseModel, Pack]) -> None:
    base, pack = sd1
    pack.route([-1, -1])
    text = encode_text(base, tokenize(base, ["a cat", ""]), 1)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(11))
    made = pipeline(base)(
        prompt_embeds=text.hidden[:1],
        negative_prompt_embeds=text.hidden[1:],
        latents=noise,
        num_inference_steps=3,
        guidance_scale=4.0,
        output_type="pil",
    ).images[0]
    (own,) = render(*sd1, [Shot(-1, "a cat", 11, 1.0)], replace(QUICK, steps=3))
    assert apart(own, made) <= 1


def test_sdxl_renders_with_its_sizes() -> None:
    base = tiny.base("sdxl")
    pack = packed(base)
    shots = [Shot(0, "a cat", 1, 1.0), Shot(-1, "a cat", 1, 1.0), Shot(1, "a dog", 1, 0.8)]
    settings = replace(QUICK, size=(32, 48))
    together = list(render(base, pack, shots, settings))
    alone = [next(iter(render(base, pack, [shot], settings))) for shot in shots]
    assert together[0].size == (32, 48)
    assert max(apart(one, other) for one, other in zip(together, alone, strict=True)) <= 1
    assert apart(together[0], together[1]) > 1


def test_v_prediction_is_rendered_as_such(sd1: tuple[BaseModel, Pack]) -> None:
    shots = [Shot(0, "a cat", 1, 1.0)]
    (as_noise,) = render(*sd1, shots, QUICK)
    (as_velocity,) = render(*sd1, shots, replace(QUICK, prediction_type="v_prediction"))
    assert apart(as_noise, as_velocity) > 1
    zero = replace(QUICK, prediction_type="v_prediction", zero_terminal_snr=True)
    for name in SAMPLERS:
        (image,) = render(*sd1, shots, replace(zero, sampler=name, steps=4))
        assert np.asarray(image).std() > 5, name


def test_nothing_to_render(sd1: tuple[BaseModel, Pack]) -> None:
    assert list(render(*sd1, [], QUICK)) == []
