"""diffusers loads our files with no key left over, and then computes what the pack computes."""

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import CLIPTextModelWithProjection

from lora_lab.lora_files.disk import save_lora
from lora_lab.networks.metadata import standard_metadata
from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import AdapterSpec

from .conftest import TOKENS, WIDTH, small_clip, small_unet

PRESETS = {
    "standard": AdapterSpec(4, 2.0),
    "locon": AdapterSpec(4, 2.0, conv_dim=2, conv_alpha=1.0),
    "lycoris full": AdapterSpec(4, 2.0, conv_dim=2, conv_alpha=1.0, preset="full"),
    "unet only": AdapterSpec(4, 2.0, preset="unet-only", conv_dim=3),
    "text encoder only": AdapterSpec(4, 2.0, train_unet=False),
}


def saved(path, unet, encoders, family, spec):
    """A pack with random weights (a mate beside it), its file, and its exported tensors."""
    pack = Pack(unet, encoders, family, [spec, AdapterSpec(8, 1.0)])
    pack.occupy(1, spec)
    pack.parameters.masters[1] *= 3
    for group in pack.param_groups(1, "tensors"):
        if group.side == "up":
            for param in group.params:
                param.data.normal_(0, 0.3)
    tensors = pack.export(1)
    save_lora(path, tensors, standard_metadata(spec, family, "x"))
    return pack, tensors


@pytest.mark.parametrize("label", PRESETS)
def test_sd1(tmp_path, label):
    torch.manual_seed(0)
    unet, encoder, spec = small_unet().eval(), small_clip(), PRESETS[label]
    pack, tensors = saved(tmp_path / "x.safetensors", unet, [encoder], "sd1", spec)
    noisy, times, ids = torch.randn(2, 4, 8, 8), torch.tensor([10, 700]), torch.randint(0, 98, (2, TOKENS))

    def predict():
        with torch.no_grad():
            hidden = encoder(ids).last_hidden_state
            return hidden, unet(noisy, times, hidden).sample

    bare = predict()
    pack.attach().route([1, 1])
    mine = predict()
    pack.detach()
    pipe = StableDiffusionPipeline(
        vae=AutoencoderKL(),
        text_encoder=encoder,
        tokenizer=None,
        unet=unet,
        scheduler=DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.load_lora_weights(str(tmp_path), weight_name="x.safetensors")
    theirs = predict()
    assert adapted(unet, encoder) == sum("lora_down" in key for key in tensors)
    for ours, other, base, trained in zip(mine, theirs, bare, (spec.train_text_encoder, True), strict=True):
        assert torch.allclose(ours, other, rtol=1e-4, atol=1e-5)
        if trained and "unet-only" not in spec.preset:
            assert not torch.allclose(ours, base, rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_sdxl(tmp_path, sdxl_models):
    unet, encoders = sdxl_models
    spec = PRESETS["locon"]
    pack, tensors = saved(tmp_path / "x.safetensors", unet, encoders, "sdxl", spec)
    noisy, ids = torch.randn(2, 4, 8, 8), torch.randint(0, 98, (2, TOKENS))

    def predict():
        with torch.no_grad():
            first = encoders[0](ids, output_hidden_states=True)
            second = encoders[1](ids, output_hidden_states=True)
            hidden = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
            extra = {"text_embeds": second.text_embeds, "time_ids": torch.ones(2, 6)}
            return unet(noisy, torch.tensor([10, 700]), hidden, added_cond_kwargs=extra).sample

    bare = predict()
    pack.attach().route([1, 1])
    mine = predict()
    pack.detach()
    pipe = StableDiffusionXLPipeline(
        vae=AutoencoderKL(),
        text_encoder=encoders[0],
        text_encoder_2=encoders[1],
        tokenizer=None,
        tokenizer_2=None,
        unet=unet,
        scheduler=DDIMScheduler(),
    )
    pipe.load_lora_weights(str(tmp_path), weight_name="x.safetensors")
    assert adapted(unet, *encoders) == sum("lora_down" in key for key in tensors)
    assert torch.allclose(predict(), mine, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(mine, bare, rtol=1e-2, atol=1e-3)


def adapted(*models) -> int:
    """Modules that diffusers put an adapter on."""
    return sum(isinstance(module, BaseTunerLayer) for model in models for module in model.modules())


def test_the_models_here_show_both_kinds_of_encoder(sdxl_models):
    """One encoder without the `text_model` level and one with it (transformers 5.6)."""
    _, (first, second) = sdxl_models
    assert isinstance(second, CLIPTextModelWithProjection) and hasattr(second, "text_model")
    assert first.config.hidden_size == WIDTH
