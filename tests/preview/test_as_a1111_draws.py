"""What the text of a preview says makes A1111 draw the same image: sampler, schedule, noise, words."""

import math
import re
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from lora_lab.config import compose
from lora_lab.effective import Facts, resolve
from lora_lab.losses.ddpm import Ddpm
from lora_lab.losses.schedule import schedule_from_betas
from lora_lab.models.prompt_weights import parse_weights
from lora_lab.preview import Shot, parameters_text
from lora_lab.preview.png import plain_words
from lora_lab.preview.samplers import SAMPLERS, build
from lora_lab.run import previews

BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
ALPHAS = torch.cumprod(1 - BETAS, 0)
SIGMAS = ((1 - ALPHAS) / ALPHAS).sqrt()
SHAPE = (4, 6, 6)


def noise(latents: Tensor, step: float) -> Tensor:
    """Stands for the U-Net: a smooth function of latents (of unit variance at the last step) and time."""
    return torch.tanh(latents * 0.7 + 0.1) + 0.3 * math.sin(step / 100)


def ours(name: str, steps: int, seed: int) -> Tensor:
    """As `render` does: latents in float32."""
    scheduler = build(name, Ddpm(schedule_from_betas(BETAS, "epsilon")), steps, "cpu")
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(SHAPE, generator=generator)[None] * scheduler.init_noise_sigma
    extra = {"generator": generator} if name == "euler_a" else {}
    for step in scheduler.timesteps:
        guess = noise(scheduler.scale_model_input(x, step), float(step))
        x = scheduler.step(guess, step, x, **extra).prev_sample
    return x.double()


def simple(steps: int) -> list[int]:
    """A1111's `simple_scheduler`, as training steps."""
    return [999 - int(place * 1000 / steps) for place in range(steps)]


def denoised(x: Tensor, step: int) -> Tensor:
    """k-diffusion's view: x = signal + sigma x noise."""
    sigma = SIGMAS[step]
    return x - sigma * noise(x / (sigma**2 + 1).sqrt(), step)


def euler(x: Tensor, path: list[int], draw: Callable[[], Tensor]) -> Tensor:
    for place, step in enumerate(path):
        end = SIGMAS[path[place + 1]] if place + 1 < len(path) else 0.0
        x = x + (x - denoised(x, step)) / SIGMAS[step] * (end - SIGMAS[step])
    return x


def euler_a(x: Tensor, path: list[int], draw: Callable[[], Tensor]) -> Tensor:
    for place, step in enumerate(path):
        start, end = float(SIGMAS[step]), float(SIGMAS[path[place + 1]]) if place + 1 < len(path) else 0.0
        up = min(end, (end**2 * (start**2 - end**2) / start**2) ** 0.5)
        down = (end**2 - up**2) ** 0.5
        x = x + (x - denoised(x, step)) / start * (down - start)
        if end > 0:
            x = x + draw() * up
    return x


def dpm_2m(x: Tensor, path: list[int], draw: Callable[[], Tensor]) -> Tensor:
    """DPM-Solver++(2M), Lu et al. 2022, in sigmas."""
    before, last = None, 0.0
    for place, step in enumerate(path):
        found = denoised(x, step)
        if place + 1 == len(path):
            return found
        start, end = float(SIGMAS[step]), float(SIGMAS[path[place + 1]])
        width = math.log(start / end)
        mean = found if before is None else found + (found - before) * width / (2 * last)
        x = end / start * x - math.expm1(-width) * mean
        before, last = found, width
    return x


def ddim(x: Tensor, steps: int) -> Tensor:
    """A1111's DDIM at eta 0, with x of unit variance."""
    path = [step + 1 for step in range(0, 1000, 1000 // steps)][::-1]
    for place, step in enumerate(path):
        end = ALPHAS[path[place + 1]] if place + 1 < len(path) else ALPHAS[0]
        guess = noise(x, step)
        x = (
            end.sqrt() * (x - (1 - ALPHAS[step]).sqrt() * guess) / ALPHAS[step].sqrt()
            + (1 - end).sqrt() * guess
        )
    return x


@pytest.mark.parametrize("steps", [10, 20, 25, 40])
@pytest.mark.parametrize(
    ("name", "reference"), [("euler", euler), ("euler_a", euler_a), ("dpm++_2m", dpm_2m)]
)
def test_the_named_schedule_and_noise_give_the_same_latents(
    name: str, reference: Callable[[Tensor, list[int], Callable[[], Tensor]], Tensor], steps: int
) -> None:
    assert ("Schedule type", "Simple") in SAMPLERS[name].notes
    generator = torch.Generator().manual_seed(7)  # RNG: CPU
    start = torch.randn(SHAPE, generator=generator)[None].double() * SIGMAS[999]
    path = simple(steps)
    expected = reference(start, path, lambda: torch.randn(SHAPE, generator=generator)[None].double())
    assert torch.allclose(ours(name, steps, 7), expected, rtol=0, atol=2e-3), name


@pytest.mark.parametrize("steps", [10, 20, 25, 50])
def test_ddim_needs_no_schedule(steps: int) -> None:
    start = torch.randn(SHAPE, generator=torch.Generator().manual_seed(7))[None].double()
    assert torch.allclose(ours("ddim", steps, 7), ddim(start, steps), rtol=0, atol=1e-4)


PROMPTS = [
    "a cat, (glasses:1.4)",
    "((detailed)), [blurry], face [a:b:0.5]",
    "miku \\(vocaloid\\), back\\slash",
    "a dog AND a cat BREAK sky",
    "<lora:other:0.8>, hat <hypernet:x:1>",
    "two\nlines, and\tmore",
    "plain words, 3:4 <3, AND_x",
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a1111_reads_plain_words_and_nothing_more(prompt: str) -> None:
    text = plain_words(prompt)
    assert not re.search(r"<(\w+):([^>]+)>", text)
    assert not re.search(r"\bAND\b|\bBREAK\b|\n", text)
    ((words, weight),) = parse_weights(text)
    assert weight == 1.0
    assert words.lower().split() == re.sub(r"<(?=\w+:)", "< ", prompt).lower().split()


def infinite_image_browsing(text: str) -> list[str]:
    """The tags that it finds: split at commas, after each network, without what holds one."""
    text = re.sub(r">\s+", "> , ", text.split("\n")[0])
    tags = [tag.strip() for tag in text.split(",")]
    return [tag for tag in tags if tag and not re.search(r"<lora:[^>]+>", tag)]


def test_other_readers_find_every_tag_and_a1111_the_very_prompt() -> None:
    text = parameters_text("a cat, blue sky, smile", "bad", "run-000001:0.8", {"Steps": 20})
    assert infinite_image_browsing(text) == ["a cat", "blue sky", "smile"]
    assert re.sub(r"<(\w+):([^>]+)>", "", text.split("\n")[0]).strip() == "a cat, blue sky, smile"


def test_a_weight_that_was_drawn_as_words_is_none_in_the_text() -> None:
    text = parameters_text("miko, (glasses:1.4), smile", "(bad:2)", "run-000001:1", {"Steps": 20})
    first, negative, _ = text.split("\n")
    ((words, weight),) = parse_weights(re.sub(r"<lora:[^>]+>", "", first))
    assert (words.strip(), weight) == ("miko, (glasses:1.4), smile", 1.0)
    assert parse_weights(negative.removeprefix("Negative prompt: ")) == [("(bad:2)", 1.0)]


@pytest.mark.parametrize("name", SAMPLERS)
def test_sampler_schedule_and_noise_source_stand_in_the_text(name: str) -> None:
    words = ["base_model=sd15", "base_model.path=m", "dataset.path=d", f"preview.sampler='{name}'"]
    resolved = resolve(compose(words), Facts())
    base = SimpleNamespace(name="mine", zero_terminal_snr=False)
    shot = Shot(0, "a cat", 3, 1.0)
    text = previews._parameters(shot, resolved, base, "run-000001", (512, 768), further=False)
    last = text.split("\n")[-1]
    notes = [f"{key}: {value}" for key, value in SAMPLERS[name].notes]
    for part in (f"Sampler: {SAMPLERS[name].label}", *notes, "RNG: CPU", "Seed: 3", "Size: 512x768"):
        assert part in last
