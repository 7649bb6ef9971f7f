"""What optimizers get: views without copies, without padding where promised, and a portable state."""

import pytest
import torch

from lora_lab.errors import ConfigError
from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import PRESETS, AdapterSpec

SPECS = [
    AdapterSpec(4, 2.0, conv_dim=2, seed=1),
    AdapterSpec(6, 1.0, seed=2),
    AdapterSpec(3, 1.0, preset="full"),
]


@pytest.fixture
def pack(unet, text_encoder):
    pack = Pack(unet, [text_encoder], "sd1", SPECS)
    for slot, spec in enumerate(SPECS):
        pack.occupy(slot, spec)
    return pack


@pytest.mark.parametrize("layout", ["flat", "stacked", "tensors"])
@pytest.mark.parametrize("slot", range(3))
def test_leaves_are_views_of_all_own_numbers(pack, slot, layout):
    """Writing 1 to every leaf writes 1 to exactly the run's numbers; the same holds for gradients."""
    exported = pack.export(slot)
    for group in pack.param_groups(slot, layout):
        for param in group.params:
            assert param.is_leaf and param.requires_grad and param.grad.shape == param.shape
            param.data.fill_(1.0)
            param.grad.fill_(2.0)
    own = sum(t.numel() for key, t in exported.items() if not key.endswith("alpha"))
    touched = pack.parameters.masters[slot] == 1
    assert torch.equal(touched, pack.parameters.grads[slot] == 2)
    if layout == "flat":  # whole segments, padding included
        assert touched.sum() == sum(s.stop - s.start for s in pack.layouts["lora"].segments.values())
    else:
        assert touched.sum() == own
    assert all((t == 1).all() for key, t in pack.export(slot).items() if not key.endswith("alpha"))
    assert not (pack.parameters.masters[(slot + 1) % 3] == 1).any()


def test_tensor_shapes(pack):
    for group in pack.param_groups(0, "tensors"):
        exported = pack.export(0)
        for param, (name,) in zip(group.params, group.names, strict=True):
            stored = exported[f"{name}.lora_{group.side}.weight"]
            mine = param.data if group.side == "down" else param.data.transpose(0, 1)
            assert param.is_contiguous() and torch.equal(mine, stored)


def test_stacks_hold_the_modules_of_one_shape(pack):
    tensors = {
        (g.part, g.side, name): p
        for g in pack.param_groups(0, "tensors")
        for p, (name,) in zip(g.params, g.names, strict=True)
    }
    seen = set()
    for group in pack.param_groups(0, "stacked"):
        for stack, names in zip(group.params, group.names, strict=True):
            for matrix, name in zip(stack, names, strict=True):
                assert matrix.data_ptr() == tensors[group.part, group.side, name].data_ptr()
                assert matrix.shape == tensors[group.part, group.side, name].shape
                seen.add((group.part, group.side, name))
    assert seen == tensors.keys()


@pytest.mark.parametrize("preset", PRESETS)
def test_each_shape_is_one_stack_whatever_the_pack_holds(unet, text_encoder, preset):
    """Modules of a preset are neighbours also in a pack that was built for all presets."""
    spec = AdapterSpec(4, 2.0, conv_dim=2, preset=preset)
    everything = [AdapterSpec(8, 2.0, conv_dim=4, preset=name) for name in PRESETS]
    alone, crowd = (
        Pack(unet, [text_encoder], "sd1", specs, slots=1) for specs in ([spec], [spec, *everything])
    )
    found = []
    for pack in (alone, crowd):
        pack.occupy(0, spec)
        found.append([(g.part, g.side, g.names) for g in pack.param_groups(0, "stacked")])
    assert found[0] == found[1]


def test_flat_state_moves_between_packs(unet, text_encoder, pack):
    """unpad in one pack, pad in another with other dims and mates; numbers stay with their modules."""
    spec = SPECS[0]
    small = Pack(unet, [text_encoder], "sd1", [spec])
    small.occupy(0, spec)
    fill = torch.Generator().manual_seed(3)
    for group in small.param_groups(0, "flat"):
        group.params[0].grad.copy_(torch.rand(group.params[0].shape, generator=fill))
    tensors = {
        (g.side, n[0]): p
        for g in small.param_groups(0, "tensors")
        for p, n in zip(g.params, g.names, strict=True)
    }
    for group in small.param_groups(0, "flat"):
        canonical = small.unpad(0, group.part, group.side, group.params[0].grad)
        padded = pack.pad(0, group.part, group.side, canonical)
        (own,) = (
            g.params[0] for g in pack.param_groups(0, "flat") if (g.part, g.side) == (group.part, group.side)
        )
        assert padded.shape == own.shape
        own.grad.copy_(padded)
        assert torch.equal(pack.unpad(0, group.part, group.side, padded), canonical)
    for group in pack.param_groups(0, "tensors"):
        for param, (name,) in zip(group.params, group.names, strict=True):
            assert torch.equal(param.grad, tensors[group.side, name].grad)
    with pytest.raises(ValueError, match="numbers, but the run has"):
        pack.pad(0, group.part, group.side, canonical[:-1])


def test_parts_without_modules_have_no_group(unet, text_encoder):
    spec = AdapterSpec(4, 1.0, train_text_encoder=False)
    pack = Pack(unet, [text_encoder], "sd1", [spec, AdapterSpec(4, 1.0)])
    pack.occupy(0, spec)
    assert [(g.part, g.side) for g in pack.param_groups(0)] == [("unet", "down"), ("unet", "up")]


def test_unknown_layout(pack):
    with pytest.raises(ConfigError, match="known: flat, stacked, tensors"):
        pack.param_groups(0, "flta")
