"""A flow-matching family as one module: a denoiser of linear layers, its row, and a tiny random model.

What a new family takes stands here: the row, the denoiser's class, how it is asked. `registered` puts it into
the registry for a test; `folder` writes a model of it.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import ConfigMixin, FlowMatchEulerDiscreteScheduler, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from lora_lab.models.families import FAMILIES
from lora_lab.models.family import Denoiser, EncoderSpec, Family, FileNames
from tests import tiny

CHANNELS, WIDTH, BLOCKS = 4, 16, 3


class LinearBlock(nn.Module):
    """Two linear layers over every latent pixel, told the time and the caption."""

    def __init__(self, width: int, text: int) -> None:
        super().__init__()
        self.to_hidden = nn.Linear(width, 2 * width)
        self.to_text = nn.Linear(text, 2 * width)
        self.to_out = nn.Linear(2 * width, width)

    def forward(self, pixels_BNW: Tensor, text_BT: Tensor) -> Tensor:
        hidden = torch.tanh(self.to_hidden(pixels_BNW) + self.to_text(text_BT)[:, None])
        return pixels_BNW + self.to_out(hidden)


class LinearFlow(ModelMixin, ConfigMixin):
    """A denoiser without convolution or attention; its answer is the flow's velocity."""

    @register_to_config
    def __init__(self, in_channels: int = CHANNELS, width: int = WIDTH, text: int = 24, depth: int = BLOCKS):
        super().__init__()
        self.embed = nn.Linear(in_channels + 1, width)
        self.blocks = nn.ModuleList(LinearBlock(width, text) for _ in range(depth))
        self.project = nn.Linear(width, in_channels)

    def forward(self, latents_BChw: Tensor, sigma_B: Tensor, text_BTD: Tensor) -> Tensor:
        pixels = latents_BChw.flatten(2).transpose(1, 2)
        times = sigma_B.to(pixels)[:, None, None].expand(-1, pixels.shape[1], 1)
        hidden = self.embed(torch.cat([pixels, times], dim=-1))
        for block in self.blocks:
            hidden = block(hidden, text_BTD.mean(dim=1))
        return self.project(hidden).transpose(1, 2).reshape(latents_BChw.shape)


def ask(base: Any, noisy: Tensor, times: Tensor, text: Any, sizes: Tensor | None) -> Tensor:
    """How the denoiser is asked; the row names it."""
    return base.unet(noisy.to(base.dtype), times / 1000, text.hidden.to(base.dtype))


FAMILY = Family(
    name="linear",
    title="Linear Flow",
    conf="linear",
    encoders=(
        EncoderSpec(
            component="text_encoder",
            tokenizer="tokenizer",
            prefixes=(),
            layout="hf",
            pad_id=None,
            lora_prefix="lora_te_",
            width=tiny.WIDTHS["text_encoder"],
            depth=tiny.LAYERS["text_encoder"],
        ),
    ),
    denoiser=Denoiser(
        title="transformer",
        component="transformer",
        kind="tests.flow_family.LinearFlow",
        predict="tests.flow_family.ask",
        layers={"transformer": frozenset({"LinearBlock"})},
    ),
    files=FileNames(
        base_versions={"flow_prediction": "linear_v1"},
        architectures={"flow_prediction": "linear-v1"},
        implementation="tests",
        starts=("linear",),
        predictions={},
    ),
    configs={"flow_prediction": "sd1"},
    pipeline_classes=("LinearFlowPipeline",),
    width=tiny.WIDTHS["text_encoder"],
    hidden_act="quick_gelu",
    process="flow",
)


@contextmanager
def registered() -> Iterator[Family]:
    """The family is in the registry meanwhile."""
    FAMILIES[FAMILY.name] = FAMILY
    try:
        yield FAMILY
    finally:
        del FAMILIES[FAMILY.name]


@cache
def folder() -> Path:
    """A tiny random model of the family; text encoder, tokenizer and VAE are those of the tiny SD 1.x."""
    place = Path(tempfile.mkdtemp(prefix="flow-")) / "linear-flow"
    whole = tiny.folder("sd1")
    for part in ("text_encoder", "tokenizer", "vae"):
        (place / part).mkdir(parents=True)
        for file in (whole / part).iterdir():
            (place / part / file.name).write_bytes(file.read_bytes())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LinearFlow().save_pretrained(place / "transformer")
    FlowMatchEulerDiscreteScheduler().save_pretrained(place / "scheduler")
    (place / "model_index.json").write_text(json.dumps({"_class_name": "LinearFlowPipeline"}))
    return place
