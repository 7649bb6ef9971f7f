"""Adapters to tensors with file names and back, in every spelling that is understood."""

import pytest
import torch

from lora_lab.errors import ModelError
from lora_lab.lora_files.keys import split
from lora_lab.networks.merging import difference
from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import AdapterSpec

SPEC = AdapterSpec(4, 2.0, conv_dim=2, conv_alpha=1.0, seed=1)


def make(unet, text_encoders, spec=SPEC, family="sd1", mates=()):
    pack = Pack(unet, text_encoders, family, [spec, *mates])
    pack.occupy(0, spec)
    return pack


def random_file(pack):
    g = torch.Generator().manual_seed(4)
    return {
        key: value if key.endswith("alpha") else torch.randn(value.shape, generator=g)
        for key, value in pack.export(0).items()
    }


def deltas(tensors):
    """alpha / rank * up @ down by module."""
    found = {}
    for key in tensors:
        if key.endswith(".lora_down.weight"):
            name = key.removesuffix(".lora_down.weight")
            down, up = tensors[key].double(), tensors[f"{name}.lora_up.weight"].double()
            scale = tensors[f"{name}.alpha"].double() / len(down)
            found[name] = scale * up.flatten(1) @ down.flatten(1)
    return found


def test_export_and_load_round_trip(unet, text_encoder):
    file = random_file(make(unet, [text_encoder]))
    pack = make(unet, [text_encoder], mates=[AdapterSpec(16, 1.0, preset="full")])
    pack.load(0, file)
    again = pack.export(0)
    assert again.keys() == file.keys() and all(torch.equal(again[key], file[key]) for key in file)


def test_export_shapes_and_dtype(unet, text_encoder):
    tensors = make(unet, [text_encoder]).export(0, torch.float16)
    name = "lora_unet_down_blocks_0_resnets_0_conv1"
    assert tensors[f"{name}.lora_down.weight"].shape == (2, 16, 3, 3)
    assert tensors[f"{name}.lora_up.weight"].shape == (16, 2, 1, 1)
    assert tensors[f"{name}.alpha"].shape == () and tensors[f"{name}.alpha"] == 1.0
    assert {t.dtype for t in tensors.values()} == {torch.float16}
    assert all(t.is_contiguous() for t in tensors.values())


def test_loading_keeps_the_weight_difference(unet, text_encoder):
    """A file of a smaller rank and another alpha acts as it did; the other ranks can still learn."""
    small = AdapterSpec(2, 3.0, conv_dim=1, conv_alpha=4.0)
    file = random_file(make(unet, [text_encoder], small))
    pack = make(unet, [text_encoder])
    fresh = pack.export(0)
    pack.load(0, file)
    mine, theirs = deltas(pack.export(0)), deltas(file)
    assert all(torch.allclose(mine[name], theirs[name], rtol=1e-5, atol=1e-6) for name in theirs)
    key = "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight"
    assert torch.equal(pack.export(0)[key][2:], fresh[key][2:])


def test_alpha_may_be_missing(unet, text_encoder):
    file = {key: t for key, t in random_file(make(unet, [text_encoder])).items() if not key.endswith("alpha")}
    pack = make(unet, [text_encoder])
    pack.load(0, file)
    with_alpha = {
        **file,
        **{
            k.replace("lora_down.weight", "alpha"): torch.tensor(float(len(t)))
            for k, t in file.items()
            if k.endswith("lora_down.weight")
        },
    }
    mine, theirs = deltas(pack.export(0)), deltas(with_alpha)
    assert all(torch.allclose(mine[name], theirs[name], rtol=1e-5, atol=1e-6) for name in theirs)


@pytest.mark.parametrize("style", ["peft", "diffusers", "diffusers-sgm"])
def test_other_spellings(sdxl_models, style):
    """Names of diffusers and PEFT, and SDXL files with diffusers block names."""
    unet, encoders = sdxl_models
    pack = make(unet, encoders, family="sdxl")
    file, renamed = random_file(pack), {}
    roots = {"unet": "unet", "te1": "text_encoder", "te2": "text_encoder_2"}
    for site in pack.sites(0):
        name, target = site.target.name, site.target
        inner = (
            target.path
            if target.part == "unet" or target.path.startswith("text_model")
            else "text_model." + target.path
        )
        if style == "diffusers-sgm":
            prefix = {"unet": "lora_unet", "te1": "lora_te1", "te2": "lora_te2"}[target.part]
            spelled = {s: f"{prefix}_{inner.replace('.', '_')}.lora_{s}.weight" for s in ("down", "up")}
        else:
            ends = (
                {"down": "lora_A.weight", "up": "lora_B.weight"}
                if style == "peft"
                else {"down": "lora.down.weight", "up": "lora.up.weight"}
            )
            spelled = {s: f"{roots[target.part]}.{inner}.{end}" for s, end in ends.items()}
        rank = len(file[f"{name}.lora_down.weight"])
        scale = file[f"{name}.alpha"] / rank
        renamed[spelled["down"]] = file[f"{name}.lora_down.weight"]
        renamed[spelled["up"]] = file[f"{name}.lora_up.weight"] * scale
    pack.load(0, renamed)
    mine, theirs = deltas(pack.export(0)), deltas(file)
    assert mine.keys() == theirs.keys()
    assert all(torch.allclose(mine[name], theirs[name], rtol=1e-4, atol=1e-6) for name in theirs)


def test_sdxl_names(sdxl_models):
    unet, encoders = sdxl_models
    names = {key.split(".")[0] for key in make(unet, encoders, family="sdxl").export(0)}
    assert "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q" in names
    assert {
        "lora_te1_text_model_encoder_layers_1_mlp_fc2",
        "lora_te2_text_model_encoder_layers_1_mlp_fc2",
    } <= names
    assert not any("down_blocks" in name for name in names)


@pytest.mark.parametrize(
    "damage, message",
    [
        (
            lambda f: f.pop("lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight"),
            "lacks lora_down or lora_up",
        ),
        (
            lambda f: [f.pop(k) for k in list(f) if "layers_0_mlp_fc1" in k],
            "layers_0_mlp_fc1: missing in the file",
        ),
        (
            lambda f: f.update(
                {
                    "lora_unet_odd.lora_down.weight": torch.ones(4, 3),
                    "lora_unet_odd.lora_up.weight": torch.ones(3, 4),
                }
            ),
            "lora_unet_odd: not a module",
        ),
        (lambda f: f.update({"lora_unet_x.hada_w1_a": torch.ones(2, 2)}), "LoHa"),
        (
            lambda f: f.update({"lora_te_text_model_encoder_layers_0_mlp_fc1.dora_scale": torch.ones(2)}),
            "the file is a DoRA, the run a LoRA; set network.type=dora",
        ),
        (lambda f: f.update({"lora_unet_x.lora_mid.weight": torch.ones(2)}), "Tucker"),
        (lambda f: f.update({"epoch": torch.ones(1)}), "epoch: not the name of a LoRA tensor"),
    ],
)
def test_what_does_not_fit_is_named(unet, text_encoder, damage, message):
    pack = make(unet, [text_encoder])
    file, before = random_file(pack), pack.parameters.masters.clone()
    damage(file)
    with pytest.raises(ModelError, match=message):
        pack.load(0, file)
    assert torch.equal(pack.parameters.masters, before)


def test_a_larger_rank_names_the_setting(unet, text_encoder):
    file = random_file(make(unet, [text_encoder], AdapterSpec(8, 1.0, conv_dim=2)))
    with pytest.raises(
        ModelError, match=r"rank 8 in the file, network\.network_dim=4; set network\.network_dim=8"
    ):
        make(unet, [text_encoder]).load(0, file)


def test_a_text_encoder_that_is_not_trained_is_named(unet, text_encoder):
    file = random_file(make(unet, [text_encoder]))
    pack = make(unet, [text_encoder], AdapterSpec(4, 2.0, conv_dim=2, train_text_encoder=False))
    with pytest.raises(ModelError, match="the run trains the U-Net only"):
        pack.load(0, file)


@pytest.mark.parametrize("form", ["dora", "loha", "lokr"])
def test_other_forms_round_trip_on_sdxl(sdxl_models, form):
    unet, encoders = sdxl_models
    spec = AdapterSpec(3, 2.0, conv_dim=2, conv_alpha=1.0, form=form, factor=4, wd_on_output=False)
    file = random_file(make(unet, encoders, spec, "sdxl"))
    pack = make(unet, encoders, spec, "sdxl", mates=[AdapterSpec(5, 1.0, preset="full", form=form)])
    pack.load(0, file)
    again = pack.export(0)
    assert again.keys() == file.keys() and all(torch.equal(again[key], file[key]) for key in file)
    assert any("input_blocks" in key for key in file) and any("lora_te2" in key for key in file)


@pytest.mark.parametrize("form", ["dora", "loha"])
def test_a_smaller_rank_keeps_the_weight_difference_and_can_learn(unet, text_encoder, form):
    small, large = AdapterSpec(2, 3.0, form=form), AdapterSpec(5, 2.0, form=form, seed=3)
    file = random_file(make(unet, [text_encoder], small))
    pack = make(unet, [text_encoder], large)
    pack.load(0, file)
    mine = pack.export(0)
    weight = unet.down_blocks[0].attentions[0].proj_in.weight.detach()
    name = "lora_unet_down_blocks_0_attentions_0_proj_in"
    weight = weight.double().reshape(*weight.shape[:2], -1)
    found = [
        difference(
            weight,
            {key.split(".", 1)[1]: value for key, value in leaves.items() if key.startswith(name + ".")},
        )
        for leaves in (rename(mine), rename(file))
    ]
    assert found[0].abs().max() > 0.01
    assert torch.allclose(found[0], found[1], rtol=1e-4, atol=1e-5)
    inner = "lora_down.weight" if form == "dora" else "hada_w2_b"
    assert (mine[f"{name}.{inner}"][2:] != 0).all()


def rename(tensors):
    """Keys with the leaves of `keys.split`."""
    return {f"{found[0]}.{found[1]}": value for key, value in tensors.items() if (found := split(key))}


def test_dora_can_begin_with_a_plain_lora(unet, text_encoder):
    """Its magnitudes are the norms with that LoRA, so that the weights are the LoRA's."""
    file = random_file(make(unet, [text_encoder], AdapterSpec(4, 2.0)))
    for on_output in (True, False):
        pack = make(unet, [text_encoder], AdapterSpec(4, 2.0, form="dora", wd_on_output=on_output))
        pack.load(0, file)
        mine, plain = rename(pack.export(0)), rename(file)
        name = "lora_unet_down_blocks_0_attentions_0_proj_in"
        weight = unet.down_blocks[0].attentions[0].proj_in.weight.detach()
        weight = weight.double().reshape(*weight.shape[:2], -1)
        found = [
            difference(weight, {k.split(".", 1)[1]: v for k, v in t.items() if k.startswith(name + ".")})
            for t in (mine, plain)
        ]
        assert torch.allclose(found[0], found[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", ["dora", "loha", "lokr"])
@pytest.mark.parametrize("shape", [(), (0,), (0, 0), (1,), (7, 5), (2, 2, 2, 2, 2)])
def test_damaged_shapes_are_named(unet, text_encoder, form, shape):
    """Every factor of one module in turn, in a shape that it cannot have: one clear error, nothing loaded."""
    spec = AdapterSpec(3, 2.0, form=form, factor=4)
    pack = make(unet, [text_encoder], spec)
    file, before = random_file(pack), pack.parameters.masters.clone()
    name = "lora_unet_down_blocks_0_attentions_0_proj_in"
    for key in [key for key in file if key.startswith(name)]:
        with pytest.raises(ModelError, match=f"{name}|alpha has shape"):
            if key.endswith("alpha") and shape in ((), (1,)):
                raise ModelError(name)  # one number is what an alpha is
            pack.load(0, {**file, key: torch.ones(shape)})
        assert torch.equal(pack.parameters.masters, before)
    with pytest.raises(ModelError, match=name):
        pack.load(0, {key: value for key, value in file.items() if not key.startswith(name)})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_rounded_alpha_changes_nothing(unet, text_encoder, dtype):
    spec = AdapterSpec(4, 0.1)
    pack = make(unet, [text_encoder], spec)
    file = {key: value.to(dtype) for key, value in random_file(pack).items()}
    pack.load(0, file)
    again = pack.export(0, dtype)
    assert all(torch.equal(again[key], file[key]) for key in file)
    assert all(torch.equal(pack.export(0)[key], file[key].float()) for key in file if "alpha" not in key)
