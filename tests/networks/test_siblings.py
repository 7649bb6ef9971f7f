"""Queries, keys and values in shared products, against each layer's own."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from lora_lab.networks import siblings
from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import AdapterSpec

SPECS = [AdapterSpec(4, 2.0, seed=1), AdapterSpec(8, 8.0, seed=2), AdapterSpec(2, 1.0, seed=3)]


def make(unet, text_encoder, count):
    pack = Pack(
        unet, [text_encoder], "sd1", SPECS, compute_dtype=torch.float64, master_dtype=torch.float64
    ).attach()
    for slot in range(count):
        pack.occupy(slot, SPECS[slot])
    pack.parameters.masters[:count].add_(0.05)  # ups are zero at first
    return pack


def passed(pack, models, slots, monkeypatch):
    """Output, and gradients of adapters, of one pass; and how many shared products there were."""
    calls = []
    original = siblings.SiblingFunction.forward
    monkeypatch.setattr(
        siblings.SiblingFunction, "forward", staticmethod(lambda *a: calls.append(1) or original(*a))
    )
    generator = torch.Generator().manual_seed(5)
    noisy = torch.randn(len(slots), 4, 8, 8, generator=generator, dtype=torch.float64)
    ids = torch.randint(0, 98, (len(slots), 8), generator=generator)
    pack.route(slots)
    pack.zero_grad()
    out = models[0](noisy, torch.full((len(slots),), 500), models[1](ids).last_hidden_state).sample
    out.square().mean().backward()
    return out.detach(), pack.parameters.grads.clone(), len(calls)


@pytest.mark.parametrize("slots", [[0], [0, 0], [0, 1, 2], [0, 0, 1, 1]], ids=str)
def test_shared_products_give_what_single_ones_give(unet, text_encoder, monkeypatch, slots):
    pack = make(unet, text_encoder, max(slots) + 1)
    out, grads, calls = passed(pack, (unet, text_encoder), slots, monkeypatch)
    for layer in pack._layers.values():
        layer.siblings = None
    expected, expected_grads, none = passed(pack, (unet, text_encoder), slots, monkeypatch)
    pack.detach()
    attentions = sum(name.endswith(("attn1", "attn2")) for name, _ in unet.named_modules())
    assert calls == attentions + 2, "every attention of the U-Net, and both layers of the text encoder"
    assert none == 0
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(grads, expected_grads, rtol=1e-12, atol=1e-15)
    assert expected_grads.abs().max() > 1e-6


def test_frozen_weights_are_kept_once_and_read_anew_when_they_change(unet, text_encoder, monkeypatch):
    attention = unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1
    pack = make(unet, text_encoder, 1)
    before, _, _ = passed(pack, (unet, text_encoder), [0], monkeypatch)
    storages = {getattr(attention, name).weight.untyped_storage().data_ptr() for name in ("to_q", "to_v")}
    assert len(storages) == 1
    old = attention.to_k.weight.data
    attention.to_k.weight.data = -old
    changed, _, _ = passed(pack, (unet, text_encoder), [0], monkeypatch)
    attention.to_k.weight.data = old.clone()
    restored, _, _ = passed(pack, (unet, text_encoder), [0], monkeypatch)
    pack.detach()
    assert not torch.allclose(before, changed)
    assert torch.equal(before, restored)


def test_layers_called_with_other_inputs_part(unet, text_encoder, monkeypatch):
    """An attention whose queries see something else than its keys and values."""
    pack = make(unet, text_encoder, 1)
    attention = unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1
    width = attention.to_q.in_features
    queries, others = torch.randn(2, 1, 5, width, dtype=torch.float64)
    pack.route([0])
    modules = [attention.to_q, attention.to_k, attention.to_v]
    inputs = [queries, others, others]
    for _ in range(2):
        shared = [module(x) for module, x in zip(modules, inputs, strict=True)]
    for layer in pack._layers.values():
        layer.siblings = None
    alone = [module(x) for module, x in zip(modules, inputs, strict=True)]
    pack.detach()
    for one, other in zip(shared, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


def test_the_first_pass_is_made_of_the_same_products_as_the_later_ones(text_encoder, monkeypatch):
    """Where the text is as wide as an attention block, only the block itself says that its queries differ."""
    torch.manual_seed(0)
    width = text_encoder.config.hidden_size
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(width,),
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        layers_per_block=1,
        cross_attention_dim=width,
        attention_head_dim=2,
        norm_num_groups=4,
    ).double()
    pack = make(unet, text_encoder, 2)
    first, first_grads, calls = passed(pack, (unet, text_encoder), [0, 1], monkeypatch)
    again, again_grads, later = passed(pack, (unet, text_encoder), [0, 1], monkeypatch)
    pack.detach()
    assert calls == later > 0
    assert torch.equal(first, again) and torch.equal(first_grads, again_grads)
