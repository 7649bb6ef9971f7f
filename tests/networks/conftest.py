"""Small base models with everything that adapters meet: attention, 1 x 1, 3 x 3 and strided convolutions."""

from collections.abc import Callable

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from lora_lab.networks.targets import find_targets

TOKENS, WIDTH = 8, 24


def small_unet(**changes) -> UNet2DConditionModel:
    settings = dict(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    return UNet2DConditionModel(**{**settings, **changes})


def small_clip(kind=CLIPTextModel, width: int = WIDTH) -> nn.Module:
    return kind(
        CLIPTextConfig(
            vocab_size=100,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            bos_token_id=98,
            eos_token_id=99,
            projection_dim=16,
        )
    ).eval()


@pytest.fixture(scope="session")
def _models() -> tuple[UNet2DConditionModel, CLIPTextModel]:
    torch.manual_seed(0)
    return small_unet().double(), small_clip().double()


@pytest.fixture
def unet(_models) -> UNet2DConditionModel:
    """A float64 U-Net of 16 and 32 channels; patches left behind by a failed test are removed."""
    return _clean(_models[0])


@pytest.fixture
def text_encoder(_models) -> CLIPTextModel:
    """A float64 text encoder of 2 layers."""
    return _clean(_models[1])


@pytest.fixture
def sdxl_models() -> tuple[UNet2DConditionModel, list[nn.Module]]:
    """An SDXL-shaped U-Net and its two text encoders, float32."""
    torch.manual_seed(0)
    unet = small_unet(
        block_out_channels=(16, 16, 32),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        cross_attention_dim=WIDTH + 16,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
    )
    return unet.eval(), [small_clip(), small_clip(CLIPTextModelWithProjection, 16)]


def _clean(model):
    for module in model.modules():
        module.__dict__.pop("forward", None)
    return model.eval().requires_grad_(False)


class ReferenceLora:
    """LoRA as the field writes it: one small module per target, plain autograd, one adapter at a time."""

    def __init__(self, models, family, spec, tensors) -> None:
        self.spec, self.layers = spec, {}
        for target in find_targets(models[0], models[1:], family, spec):
            down = tensors[f"{target.name}.lora_down.weight"].clone().requires_grad_()
            up = tensors[f"{target.name}.lora_up.weight"].clone().requires_grad_()
            self.layers[target.name] = (target.module, down, up, spec.scale(target.kind))

    def __enter__(self):
        for module, down, up, scale in self.layers.values():
            module.forward = _added(module, module.forward, down, up, scale)
        return self

    def __exit__(self, *exc) -> None:
        for module, *_ in self.layers.values():
            del module.forward

    def parameters(self) -> list[torch.Tensor]:
        return [p for _, down, up, _ in self.layers.values() for p in (down, up)]

    def tensors(self) -> dict[str, torch.Tensor]:
        found = {}
        for name, (_, down, up, _) in self.layers.items():
            found[f"{name}.lora_down.weight"] = down.detach()
            found[f"{name}.lora_up.weight"] = up.detach()
        return found


def _added(module, base: Callable, down, up, scale):
    def forward(x):
        if isinstance(module, nn.Linear):
            term = nn.functional.linear(nn.functional.linear(x, down), up)
        else:
            hidden = nn.functional.conv2d(x, down, None, module.stride, module.padding)
            term = nn.functional.conv2d(hidden, up)
        return base(x) + scale * term

    return forward


@pytest.fixture
def reference() -> type[ReferenceLora]:
    """The independent implementation that packs are compared with."""
    return ReferenceLora
