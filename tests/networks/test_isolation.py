"""Runs of a pack do not touch each other or the base: bitwise, also when one of them is full of NaN."""

import copy

import pytest
import torch

from lora_lab.errors import ModelError
from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import AdapterSpec

SPECS = [AdapterSpec(4, 2.0, conv_dim=2, seed=i) for i in range(3)]


@pytest.fixture
def pack(unet, text_encoder):
    pack = Pack(unet, [text_encoder], "sd1", SPECS, compute_dtype=torch.float64, master_dtype=torch.float64)
    for slot, spec in enumerate(SPECS):
        pack.occupy(slot, spec)
    fill_ups(pack)
    yield pack.attach()
    pack.detach()


def fill_ups(pack):
    """Ups as after some training."""
    generator = torch.Generator().manual_seed(7)
    for slot, spec in enumerate(pack.specs):
        if spec is not None:
            for group in pack.param_groups(slot, "tensors"):
                if group.side == "up":
                    for param in group.params:
                        param.data.copy_(
                            torch.randn(param.shape, generator=generator, dtype=torch.float64) * 0.3
                        )
    pack.sync()


def inputs(count=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    noisy = torch.randn(count, 4, 8, 8, generator=g, dtype=torch.float64)
    return noisy, torch.randint(0, 1000, (count,), generator=g), torch.randint(0, 98, (count, 8), generator=g)


def predict(models, noisy, times, ids):
    return models[0](noisy, times, models[1](ids).last_hidden_state).sample


def test_nan_neighbour_disturbs_nobody(unet, text_encoder, pack):
    def train():
        pack.zero_grad()
        pack.route([0, 1, 2])
        out = predict((unet, text_encoder), *inputs())
        for loss in out.square().mean((1, 2, 3)):
            loss.backward(retain_graph=True)
        pack.collect_grads()
        return out.detach().clone(), pack.parameters.grads.clone()

    clean_out, clean_grads = train()
    pack.parameters.masters[1].fill_(float("nan"))
    out, grads = train()
    assert not out[1].isfinite().any() and grads[1].isnan().any()
    for healthy in (0, 2):
        assert torch.equal(out[healthy], clean_out[healthy])
        assert torch.equal(grads[healthy], clean_grads[healthy])


def test_detach_restores_the_base_bit_for_bit(unet, text_encoder, pack):
    pack.route([0, 1, 2])
    adapted = predict((unet, text_encoder), *inputs())
    pack.detach()
    bare = predict((unet, text_encoder), *inputs())
    assert not any("forward" in module.__dict__ for module in unet.modules())
    pack.attach()
    pack.route([-1, -1, -1])
    assert torch.equal(predict((unet, text_encoder), *inputs()), bare)
    assert not torch.equal(adapted, bare)


def test_slot_minus_one_strength_zero_and_empty_slots_are_the_bare_base(unet, text_encoder, pack):
    models, data = (unet, text_encoder), inputs()
    with torch.no_grad():
        pack.route([-1, -1, -1])
        bare = predict(models, *data)
        pack.parameters.masters[0].fill_(float("nan"))
        pack.sync()
        pack.vacate(2)
        pack.route([-1, 0, 2], [1.0, 0.0, 1.0])
        assert torch.equal(predict(models, *data), bare)


def test_strength_scales_the_adapter(unet, text_encoder, pack, reference):
    """A preview batch of strengths and adapters equals single adapters with scaled ups."""
    noisy, times, ids = (t[:1].expand(6, *t.shape[1:]) for t in inputs())
    slots, strengths = [0, 0, 2, -1, 1, 2], [0.5, 1.0, -0.7, 1.0, 2.0, 1.0]
    with torch.no_grad():
        pack.route(slots, strengths)
        batch = predict((unet, text_encoder), noisy, times, ids)
        exported = [pack.export(slot) for slot in range(3)]
        pack.detach()
        for sample, (slot, strength) in enumerate(zip(slots, strengths, strict=True)):
            tensors = {
                key: value * strength if "lora_up" in key else value for key, value in exported[slot].items()
            }
            with reference((unet, text_encoder), "sd1", SPECS[slot], tensors) as lora:
                if slot < 0:
                    lora.__exit__()
                single = predict((unet, text_encoder), noisy[:1], times[:1], ids[:1])
                if slot < 0:
                    lora.__enter__()
            assert torch.allclose(batch[sample], single[0], rtol=0, atol=1e-12)


def test_parts_may_see_other_batches(unet, text_encoder, pack):
    """Captions of several chunks are several samples to the text encoder only."""
    noisy, times, ids = inputs(2)
    pack.route([0, 1])
    expected = predict((unet, text_encoder), noisy, times, ids)
    pack.route([0, 0, 1, 1], parts=["te1"])
    hidden = text_encoder(ids.repeat_interleave(2, 0)).last_hidden_state[::2]
    assert torch.allclose(unet(noisy, times, hidden).sample, expected, rtol=0, atol=1e-12)


def test_a_leaving_run_leaves_the_others_alone(unet, text_encoder, pack):
    before = pack.parameters.masters.clone()
    pack.route([0, 2])
    data = inputs(2)
    with torch.no_grad():
        expected = predict((unet, text_encoder), *data)
        pack.vacate(1)
        assert torch.equal(pack.parameters.masters[[0, 2]], before[[0, 2]])
        assert not pack.parameters.masters[1].any()
        pack.route([0, 2])
        assert torch.equal(predict((unet, text_encoder), *data), expected)


def test_initial_weights_depend_on_seed_and_module_only(unet, text_encoder):
    spec = AdapterSpec(4, 2.0, seed=11)
    alone = Pack(unet, [text_encoder], "sd1", [spec])
    crowd = Pack(unet, [text_encoder], "sd1", [*SPECS, AdapterSpec(16, 1.0, preset="full"), spec])
    alone.occupy(0, spec)
    crowd.occupy(3, spec)
    mine, theirs = alone.export(0), crowd.export(3)
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)
    other = Pack(unet, [text_encoder], "sd1", [spec])
    other.occupy(0, AdapterSpec(4, 2.0, seed=12))
    key = next(key for key in mine if "lora_down" in key)
    assert not torch.equal(other.export(0)[key], mine[key])


def test_initial_weights_are_kaiming_uniform(unet, text_encoder):
    """kaiming_uniform(a = sqrt 5) is uniform in +-1 / sqrt(fan-in); ups are zero."""
    pack = Pack(unet, [text_encoder], "sd1", [AdapterSpec(64, 1.0, conv_dim=64)])
    pack.occupy(0, AdapterSpec(64, 1.0, conv_dim=64))
    for key, value in pack.export(0).items():
        if key.endswith("lora_up.weight"):
            assert not value.any()
        elif key.endswith("lora_down.weight"):
            bound = value[0].numel() ** -0.5
            assert value.abs().max() <= bound and value.abs().max() > 0.98 * bound
            assert abs(value.std().item() / (bound / 3**0.5) - 1) < 0.1


def test_two_packs_in_one_process_do_not_influence_each_other(unet, text_encoder, pack):
    pack.route([0, 1, 2])
    with torch.no_grad():
        expected = predict((unet, text_encoder), *inputs())
        other = Pack(unet, [text_encoder], "sd1", [AdapterSpec(2, 1.0, preset="full")])
        other.occupy(0, AdapterSpec(2, 1.0, preset="full"))
        assert torch.equal(predict((unet, text_encoder), *inputs()), expected)


def test_under_autocast_and_inference_mode(unet, text_encoder):
    """Autocast casts the base; adapters stay in their own dtype, and their gradients arrive."""
    models = copy.deepcopy(unet).float(), copy.deepcopy(text_encoder).float()
    pack = Pack(models[0], [models[1]], "sd1", SPECS)
    for slot, spec in enumerate(SPECS):
        pack.occupy(slot, spec)
    fill_ups(pack)
    pack.attach().route([0, 1, 2])
    noisy, times, ids = inputs()
    with torch.inference_mode():
        plain = predict(models, noisy.float(), times, ids)
    grads = []
    for enabled in (False, True):
        pack.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            out = predict(models, noisy.float(), times, ids)
        out.float().square().mean().backward()
        assert (out - plain).norm() < (0.05 if enabled else 1e-6) * plain.norm()
        grads.append(pack.parameters.grads.clone())
    assert 0 < (grads[1] - grads[0]).norm() < 0.1 * grads[0].norm()


def test_misuse_is_named(unet, text_encoder, pack):
    with pytest.raises(ValueError, match="slot 3 is not in"):
        pack.route([3])
    with pytest.raises(ValueError, match="2 slots, but 1 strengths"):
        pack.route([0, 1], [1.0])
    pack.route([0, 1])
    with pytest.raises(ValueError, match="got 3 samples, but the route has 2"):
        predict((unet, text_encoder), *inputs())
    with pytest.raises(ModelError, match="not built for this adapter"):
        pack.occupy(0, AdapterSpec(64, 1.0))
    with pytest.raises(ValueError, match="slot 1 is empty"):
        pack.vacate(1)
        pack.export(1)
