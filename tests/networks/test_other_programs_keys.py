"""No key of a file is left over by the loaders of ComfyUI, Forge and A1111: they pass over what they do
not know, and only warn.

The rules are those of ComfyUI's key map, which Forge shares: a weight of the U-Net is called by its path with
"_" for ".", a weight of CLIP by its layer's number and one of six names; what may stand behind a name is a
fixed list per kind of network. Any other key is passed over, and a part of the LoRA with it.
"""

import pytest

from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import AdapterSpec

_ENDS = {
    "lora": {"lora_up.weight", "lora_down.weight"},
    "dora": {"lora_up.weight", "lora_down.weight", "dora_scale"},
    "loha": {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"},
    "lokr": {"lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b"},
}
_CLIP = ("mlp_fc1", "mlp_fc2", *(f"self_attn_{part}_proj" for part in ("k", "q", "v", "out")))


def looked_up(unet, encoders) -> set[str]:
    """The names that a loader looks up: SD1's, of the U-Net in diffusers' spelling, of CLIP by number."""
    paths = [key.removesuffix(".weight") for key in unet.state_dict() if key.endswith(".weight")]
    found = {"lora_unet_" + path.replace(".", "_") for path in paths}
    for prefix, encoder in encoders.items():
        layers = range(encoder.config.num_hidden_layers)
        found |= {f"{prefix}_text_model_encoder_layers_{layer}_{end}" for layer in layers for end in _CLIP}
    return found


def spec(form: str) -> AdapterSpec:
    return AdapterSpec(4, 2.0, conv_dim=2, conv_alpha=1.0, form=form, preset="full")


def left_over(tensors, names: set[str], form: str) -> list[str]:
    """The keys of which a loader would say "not loaded"."""
    known = {f"{name}.{end}" for name in names for end in (*_ENDS[form], "alpha")}
    return sorted(tensors.keys() - known)


@pytest.mark.parametrize("form", _ENDS)
def test_sd1(unet, text_encoder, form):
    pack = Pack(unet, [text_encoder], "sd1", [spec(form)])
    pack.occupy(0, spec(form))
    tensors = pack.export(0)
    assert {key.split(".")[0].split("_")[1] for key in tensors} == {"unet", "te"}
    assert left_over(tensors, looked_up(unet, {"lora_te": text_encoder}), form) == []


@pytest.mark.parametrize("form", _ENDS)
def test_text_encoders_of_sdxl(sdxl_models, form):
    """The U-Net's names, which are of Stability's spelling, are held to golden ones in test_targets.py."""
    unet, encoders = sdxl_models
    pack = Pack(unet, encoders, "sdxl", [spec(form)])
    pack.occupy(0, spec(form))
    tensors = {key: value for key, value in pack.export(0).items() if not key.startswith("lora_unet_")}
    names = looked_up(unet, dict(zip(("lora_te1", "lora_te2"), encoders, strict=True)))
    assert {key.split("_")[1] for key in tensors} == {"te1", "te2"}
    assert left_over(tensors, names, form) == []


def test_a_key_of_another_spelling_is_seen(unet, text_encoder):
    """The rules here do leave something over."""
    names = looked_up(unet, {"lora_te": text_encoder})
    odd = ["lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha", "lora_unet_conv_in.hada_w1_a"]
    assert left_over(dict.fromkeys(odd), names, "lora") == odd
