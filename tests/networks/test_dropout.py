"""sd-scripts' three dropouts: rates and scales, independence of pack-mates, and recomputation."""

import pytest
import torch
from torch import nn

from lora_lab.networks.dropout import Draw
from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import AdapterSpec

PLAIN = AdapterSpec(4, 4.0, seed=1)


def mask_of(seed, shape=(3, 500, 16), rank_dim=2, **dropouts):
    draw = Draw(AdapterSpec(8, 8.0, **dropouts), seed)
    return draw.mask("lora_unet_x", "linear", torch.empty(shape, dtype=torch.float64), rank_dim, 0)


def test_network_dropout_is_elementwise_and_scaled():
    mask = mask_of(1, network_dropout=0.25)
    assert mask.shape == (3, 500, 8)  # the run's own 8 of 16 padded ranks
    assert sorted(mask.unique().tolist()) == [0.0, 1 / 0.75]
    assert abs((mask == 0).double().mean().item() - 0.25) < 0.02
    assert abs(mask.mean().item() - 1) < 0.02


def test_rank_dropout_takes_ranks_of_samples():
    masks = torch.cat([mask_of(seed, rank_dropout=0.5) for seed in range(200)])
    assert masks.shape == (600, 1, 8)
    assert sorted(masks.unique().tolist()) == [0.0, 2.0]
    assert abs((masks == 0).double().mean().item() - 0.5) < 0.03


def test_rank_dropout_of_maps_lies_on_the_rank_dimension():
    assert mask_of(1, shape=(3, 16, 500), rank_dim=1, rank_dropout=0.5).shape == (3, 8, 1)


def test_module_dropout_takes_whole_modules():
    taken = sum(mask_of(seed, module_dropout=0.3) is None for seed in range(2000)) / 2000
    assert abs(taken - 0.3) < 0.03


def test_masks_depend_on_module_and_draw():
    draw = Draw(AdapterSpec(8, 8.0, network_dropout=0.5), 5)
    empty = torch.empty(2, 30, 8)
    first = draw.mask("a", "linear", empty, 2, 0)
    assert torch.equal(first, draw.mask("a", "linear", empty, 2, 0))
    assert not torch.equal(first, draw.mask("b", "linear", empty, 2, 0))
    assert not torch.equal(first, Draw(draw.spec, 6).mask("a", "linear", empty, 2, 0))


class Layer(nn.Module):
    """One linear layer that a text-encoder preset finds."""

    def __init__(self):
        super().__init__()
        self.mlp = type("CLIPMLP", (nn.Module,), {})()
        self.mlp.fc1 = nn.Linear(12, 10, bias=False).double()


@pytest.mark.parametrize("kind", ["network_dropout", "rank_dropout", "module_dropout"])
def test_forward_and_gradients_follow_the_mask(kind):
    """y = x W + scale (mask * x A') B', for the mask that the draw gives, forwards and backwards."""
    model, spec = Layer(), AdapterSpec(4, 2.0, **{kind: 0.5})
    pack = Pack(model, [model], "sd1", [spec], compute_dtype=torch.float64, master_dtype=torch.float64)
    pack.attach().occupy(0, spec)
    pack.parameters.masters.uniform_(-1, 1)
    tensors = pack.export(0)
    down = tensors["lora_te_text_model_mlp_fc1.lora_down.weight"].requires_grad_()
    up = tensors["lora_te_text_model_mlp_fc1.lora_up.weight"].requires_grad_()
    for seed in range(6):
        x = torch.randn(3, 7, 12, dtype=torch.float64, requires_grad=True)
        pack.zero_grad()
        pack.new_draw({0: seed})
        pack.route([0, 0, 0])
        mine = model.mlp.fc1(x)
        (grad,) = torch.autograd.grad(mine.square().sum(), x)
        mask = Draw(spec, seed).mask("lora_te_text_model_mlp_fc1", "linear", torch.empty(3, 7, 4), 2, 0)
        hidden = (x @ down.T) * (0 if mask is None else mask.double())
        theirs = x @ model.mlp.fc1.weight.T + 0.5 * hidden @ up.T
        expected = torch.autograd.grad(theirs.square().sum(), (x, down, up))
        assert torch.allclose(mine, theirs, rtol=0, atol=1e-12)
        assert torch.allclose(grad, expected[0], rtol=0, atol=1e-11)
        groups = {group.side: group.params[0].grad for group in pack.param_groups(0, "tensors")}
        assert torch.allclose(groups["down"], expected[1], rtol=0, atol=1e-11)
        assert torch.allclose(groups["up"].T, expected[2], rtol=0, atol=1e-11)


def gradients(unet, text_encoder, specs, sizes, seeds, checkpointing=False):
    pack = Pack(
        unet,
        [text_encoder],
        "sd1",
        [*specs, AdapterSpec(16, 1.0, conv_dim=8)],
        slots=len(specs),
        compute_dtype=torch.float64,
        master_dtype=torch.float64,
    )
    pack.attach()
    for slot, spec in enumerate(specs):
        pack.occupy(slot, spec)
        for group in pack.param_groups(slot, "tensors"):
            if group.side == "up":
                for param in group.params:
                    param.data.fill_(0.05)
    batches = []
    for spec, size in zip(specs, sizes, strict=True):
        g = torch.Generator().manual_seed(spec.seed)
        noisy = torch.randn(size, 4, 8, 8, generator=g, dtype=torch.float64)
        batches.append((noisy, torch.randint(0, 98, (size, 8), generator=g)))
    pack.new_draw(dict(enumerate(seeds)))
    pack.route([slot for slot, size in enumerate(sizes) for _ in range(size)])
    for model in (unet, text_encoder):
        if checkpointing:
            model.train()
            model.enable_gradient_checkpointing() if model is unet else model.gradient_checkpointing_enable()
    noisy, ids = (torch.cat(parts) for parts in zip(*batches, strict=True))
    calls = []
    watched = (
        unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1.to_q"),
        text_encoder.get_submodule("encoder.layers.0.mlp.fc1"),
    )
    hooks = [module.register_forward_hook(lambda *_: calls.append(1)) for module in watched]
    hidden = text_encoder(ids).last_hidden_state
    unet(noisy, torch.full((len(noisy),), 500), hidden).sample.square().sum().backward()
    for hook in hooks:
        hook.remove()
    assert len(calls) == (4 if checkpointing else 2)  # recomputed once, or not
    for model in (unet, text_encoder):
        model.eval()
        model.disable_gradient_checkpointing() if model is unet else model.gradient_checkpointing_disable()
    pack.detach()
    return [
        {
            name: p.grad
            for g in pack.param_groups(slot, "tensors")
            for name, p in zip(map(lambda n: (g.side, n[0]), g.names), g.params, strict=True)
        }
        for slot in range(len(specs))
    ]


DROPPED = AdapterSpec(4, 2.0, conv_dim=2, seed=2, network_dropout=0.3, rank_dropout=0.2, module_dropout=0.1)


def test_masks_do_not_depend_on_pack_mates(unet, text_encoder):
    """A run's gradients with dropout are the same beside others (with and without dropout) as alone."""
    mate = AdapterSpec(8, 1.0, seed=3, network_dropout=0.5)
    (alone,) = gradients(unet, text_encoder, [DROPPED], [2], [77])
    crowd = gradients(unet, text_encoder, [PLAIN, DROPPED, mate], [1, 2, 1], [1, 77, 3])[1]
    assert alone.keys() == crowd.keys()
    for name, grad in alone.items():
        assert torch.allclose(grad, crowd[name], rtol=0, atol=1e-12 * max(1, grad.abs().max().item())), name


def test_gradient_checkpointing_sees_the_same_masks(unet, text_encoder):
    specs = [PLAIN, DROPPED]
    plain = gradients(unet, text_encoder, specs, [1, 2], [0, 5])
    recomputed = gradients(unet, text_encoder, specs, [1, 2], [0, 5], checkpointing=True)
    other = gradients(unet, text_encoder, specs, [1, 2], [0, 6])
    for slot in range(2):
        assert all(torch.equal(plain[slot][name], recomputed[slot][name]) for name in plain[slot])
    assert not all(torch.equal(plain[1][name], other[1][name]) for name in plain[1])


def test_no_dropout_without_a_draw(unet, text_encoder):
    pack = Pack(
        unet, [text_encoder], "sd1", [DROPPED], compute_dtype=torch.float64, master_dtype=torch.float64
    )
    pack.attach().occupy(0, DROPPED)
    pack.parameters.masters.uniform_(-0.1, 0.1)
    noisy, ids = torch.randn(1, 4, 8, 8, dtype=torch.float64), torch.randint(0, 98, (1, 8))

    def predict():
        with torch.no_grad():
            return unet(noisy, 500, text_encoder(ids).last_hidden_state).sample

    pack.route([0])
    plain = predict()
    pack.new_draw({0: 1})
    assert not torch.equal(predict(), plain)
    pack.new_draw({})
    assert torch.equal(predict(), plain)
    pack.detach()
