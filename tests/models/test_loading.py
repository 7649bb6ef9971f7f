"""Folder and file of every family load to the same model, offline, and compute what diffusers computes."""

import dataclasses
import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders import single_file_utils as library
from safetensors.torch import load_file, save_file

from lora_lab.errors import ConfigError, ModelError
from lora_lab.models import (
    BaseModel,
    decode,
    encode_images,
    encode_text,
    identify,
    load,
    loading,
    pipeline,
    predict,
    save_folder,
    save_single_file,
    scale,
    set_gradient_checkpointing,
    tokenize,
)
from lora_lab.models.clip_bpe import ClipBpe
from lora_lab.models.families import FAMILIES
from tests import tiny

CAPTIONS = ["mikocat girl, glasses", ""]
SIZES = torch.tensor([[64, 64, 0, 0, 64, 64], [96, 64, 0, 8, 64, 64]])


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def prediction(base: BaseModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn(2, 4, 8, 16, generator=generator)
    text = encode_text(base, tokenize(base, CAPTIONS), 2)
    return predict(base, noisy, torch.tensor([3, 900]), text, SIZES)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_folder_and_single_file_are_one_model(family: str, tmp_path: Path) -> None:
    folder = tiny.base(family)
    file = tmp_path / "model.safetensors"
    save_single_file(folder, file)
    single = load(file)
    assert identify(file).kind == "safetensors"
    assert single.vae_identity == folder.vae_identity
    assert single.text_identity == folder.text_identity
    assert single.prediction_type == folder.prediction_type
    torch.testing.assert_close(prediction(single), prediction(folder), rtol=0, atol=0)


@pytest.fixture
def public_sizes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Pretends that a family's public models are tiny, but for CLIP's vocabulary: configs and width."""

    def pretend(family: str) -> Path:
        place = tiny.write_folder(tmp_path / "configs" / family, family)
        spec = FAMILIES[family]
        for encoder in spec.encoders:
            shutil.rmtree(place / encoder.tokenizer)
            shutil.rmtree(place / encoder.component)
            network = tiny.text_encoder(encoder.component, family, ClipBpe(encoder.pad_id))
            network.save_pretrained(place / encoder.component)
        width = identify_width(place)
        configs = dict.fromkeys(spec.configs, family)
        monkeypatch.setitem(FAMILIES, family, dataclasses.replace(spec, width=width, configs=configs))
        monkeypatch.setattr(loading, "_CONFIGS", place.parent)
        return place

    return pretend


def identify_width(place: Path) -> int:
    return json.loads((place / "unet" / "config.json").read_text())["cross_attention_dim"]


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("kind", ["safetensors", "ckpt", "old ckpt"])
def test_files_of_other_tools_load_by_shipped_configs(
    family: str, kind: str, tmp_path: Path, public_sizes: Callable[[str], Path]
) -> None:
    """No metadata, no tokenizer, extra tensors that other tools leave in, names without a level."""
    folder = load(public_sizes(family))
    save_single_file(folder, tmp_path / "own.safetensors")
    content = load_file(tmp_path / "own.safetensors")
    content["model_ema.decay"] = torch.tensor(0.9)
    first = folder.spec.encoders[0].prefixes[0]
    content[first + ("logit_scale" if family == "sd2" else "text_model.embeddings.position_ids")] = (
        torch.ones(1)
    )
    file = tmp_path / f"model.{kind.split()[-1]}"
    if kind == "safetensors":
        save_file(content, file)
    else:
        whole = {"state_dict": content, "global_step": 5}
        torch.save(whole, file, _use_new_zipfile_serialization=kind == "ckpt")
    found, single = identify(file), load(file)
    assert (found.family, found.kind) == (family, kind.split()[-1])
    assert single.text_identity == folder.text_identity
    torch.testing.assert_close(prediction(single), prediction(folder), rtol=0, atol=0)


def test_a_unet_with_more_than_ours_is_refused(tmp_path: Path, public_sizes: Callable[[str], Path]) -> None:
    base = load(public_sizes("sd1"))
    save_single_file(base, tmp_path / "own.safetensors")
    content = load_file(tmp_path / "own.safetensors")
    content["model.diffusion_model.input_blocks.9.0.in_layers.0.weight"] = torch.ones(4)
    save_file(content, tmp_path / "more.safetensors")
    with pytest.raises(ModelError, match="unknown architecture: 1 tensor of its U-Net has no place"):
        load(tmp_path / "more.safetensors")


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_single_file_names_are_those_the_library_knows(family: str, tmp_path: Path) -> None:
    """The library's own converters turn our single file back into the networks' parameters."""
    base = tiny.base(family)
    save_single_file(base, tmp_path / "model.safetensors")
    content = load_file(tmp_path / "model.safetensors")
    unet = library.convert_ldm_unet_checkpoint(dict(content), config=dict(base.unet.config))
    vae = library.convert_ldm_vae_checkpoint(dict(content), config=dict(base.vae.config))
    for network, converted in ((base.unet, unet), (base.vae, vae)):
        own = network.state_dict()
        assert set(own) == set(converted)
        assert all(torch.equal(own[key], converted[key].reshape(own[key].shape)) for key in own)
    if family == "sd1":
        clip = library.convert_ldm_clip_checkpoint(dict(content))
        assert {key.removeprefix("text_model.") for key in clip} == set(base.text_encoders[0].state_dict())


@pytest.mark.parametrize("family", ["sd2", "sdxl"])
def test_open_clip_names_are_those_the_library_knows(family: str, tmp_path: Path) -> None:
    base = tiny.base(family)
    save_single_file(base, tmp_path / "model.safetensors")
    spec, encoder = base.spec.encoders[-1], base.text_encoders[-1]
    content = load_file(tmp_path / "model.safetensors")
    converted = library.convert_open_clip_checkpoint(encoder, content, prefix=spec.prefixes[0])
    own = {key.removeprefix("text_model."): tensor for key, tensor in encoder.state_dict().items()}
    found = {key.removeprefix("text_model."): tensor for key, tensor in converted.items()}
    compared = [key for key in own if key in found and own[key].shape == found[key].shape]
    assert len(compared) >= len(own) - 1
    assert all(torch.equal(own[key], found[key]) for key in compared)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_predict_is_the_pipelines_unet_on_the_pipelines_prompt(family: str) -> None:
    """Against the library's own encode_prompt: no clip skip for SD, its fixed layers for SDXL."""
    base = tiny.base(family)
    whole = pipeline(base)
    text = encode_text(base, tokenize(base, CAPTIONS), 1)
    encoded = whole.encode_prompt(
        CAPTIONS, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    torch.testing.assert_close(text.hidden, encoded[0], rtol=0, atol=1e-5)
    if family == "sdxl":
        assert text.pooled is not None
        torch.testing.assert_close(text.pooled, encoded[2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("skip", [1, 2, 3, 4])
def test_clip_skip_is_counted_from_one(skip: int) -> None:
    """The field's N is the library's hidden state -N; diffusers calls it clip_skip N - 1."""
    base = tiny.base("sd1")
    ids = tokenize(base, CAPTIONS)
    encoder = base.text_encoders[0]
    states = encoder(ids[0][:, 0], output_hidden_states=True).hidden_states
    expected = encoder.final_layer_norm(states[-skip])
    torch.testing.assert_close(encode_text(base, ids, skip).hidden, expected, rtol=0, atol=1e-6)


def test_clip_skip_beyond_the_layers_is_refused() -> None:
    base = tiny.base("sd1")
    with pytest.raises(ConfigError, match=r"clip_skip must be 1 to 4, .* not 5"):
        encode_text(base, tokenize(base, CAPTIONS), 5)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_images_round_trip_through_scaling(family: str) -> None:
    base = tiny.base(family)
    pixels = torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mean, logvar = encode_images(base, pixels)
    assert mean.shape == logvar.shape == (2, base.latent_channels, 8, 16)
    assert base.latent_factor == 4
    torch.testing.assert_close(scale(base, mean), mean * 0.5)
    expected = base.vae.decode(mean).sample
    torch.testing.assert_close(decode(base, scale(base, mean)), expected, rtol=1e-5, atol=1e-6)


def test_base_is_frozen_in_eval_mode() -> None:
    base = tiny.base("sdxl")
    for network in (base.unet, base.vae, *base.text_encoders):
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_gradient_checkpointing_changes_no_gradient(family: str) -> None:
    gradients = []
    for enabled in (False, True):
        base = tiny.base(family)
        set_gradient_checkpointing(base, enabled)
        trunk = getattr(base.text_encoders[0], "text_model", base.text_encoders[0])
        weights = [trunk.encoder.layers[0].mlp.fc1.weight, base.unet.conv_in.weight]
        for weight in weights:
            weight.requires_grad_(True)
        prediction(base).square().mean().backward()
        gradients.append([weight.grad for weight in weights])
    for plain, checkpointed in zip(*gradients, strict=True):
        assert plain is not None and plain.abs().sum() > 0
        assert torch.equal(plain, checkpointed)


def test_gradient_checkpointing_can_be_turned_off() -> None:
    base = tiny.base("sd1")
    set_gradient_checkpointing(base, True)
    assert base.unet.training and base.unet.is_gradient_checkpointing
    set_gradient_checkpointing(base, False)
    assert not base.unet.training and not base.unet.is_gradient_checkpointing


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_types_of_base_and_vae(dtype: torch.dtype) -> None:
    base = tiny.base("sdxl", dtype=dtype, vae_dtype=torch.float32)
    assert {parameter.dtype for parameter in base.unet.parameters()} == {dtype}
    assert {parameter.dtype for parameter in base.vae.parameters()} == {torch.float32}
    assert prediction(base).dtype == torch.float32
    reference = prediction(tiny.base("sdxl"))
    torch.testing.assert_close(prediction(base), reference, rtol=0.1, atol=0.05)


def test_own_tokenizer_length_is_respected() -> None:
    """A model like the embedded one: 40 tokens, VAE factor 4."""
    base = tiny.base("sd1", max_length=40)
    assert base.max_length == 40
    (ids,) = tokenize(base, ["x" * 200], 150)
    assert ids.shape == (1, 2, 40)
    assert encode_text(base, [ids], 1).hidden.shape == (1, 2 * 38 + 2, 24)


def test_a_vae_of_its_own(tmp_path: Path) -> None:
    other = tiny.base("sd1", seed=7)
    save_single_file(other, tmp_path / "other.safetensors")
    other.vae.save_pretrained(tmp_path / "vae")
    plain = tiny.base("sd1")
    for place in (tmp_path / "vae", tiny.folder("sd1", 7)):
        base = tiny.base("sd1", vae=place)
        assert base.vae_identity == other.vae_identity != plain.vae_identity
        assert base.text_identity == plain.text_identity


def test_identities_follow_content_not_place(tmp_path: Path) -> None:
    first = load(tiny.write_folder(tmp_path / "a", "sd1", seed=3))
    again = load(tiny.write_folder(tmp_path / "elsewhere" / "b", "sd1", seed=3))
    other = load(tiny.write_folder(tmp_path / "c", "sd1", seed=4))
    assert first.identity == again.identity != other.identity
    assert first.vae_identity == again.vae_identity != other.vae_identity
    assert first.text_identity == again.text_identity != other.text_identity
    assert load(tmp_path / "a", vae_dtype=torch.float16).vae_identity != first.vae_identity


def test_saved_folder_is_the_same_model(tmp_path: Path) -> None:
    base = tiny.base("sdxl")
    save_folder(base, tmp_path / "saved")
    torch.testing.assert_close(prediction(load(tmp_path / "saved")), prediction(base), rtol=0, atol=0)


def test_prediction_type_is_read_and_can_be_overruled(tmp_path: Path) -> None:
    place = tiny.write_folder(tmp_path / "v", "sd2", prediction_type="v_prediction")
    assert load(place).prediction_type == "v_prediction"
    assert load(place, prediction_type="epsilon").prediction_type == "epsilon"
    save_single_file(load(place), tmp_path / "v.safetensors")
    assert load(tmp_path / "v.safetensors").prediction_type == "v_prediction"


def test_schedule_is_the_published_one() -> None:
    base = tiny.base("sd1")
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    torch.testing.assert_close(base.betas.double(), betas, rtol=1e-5, atol=0)
    torch.testing.assert_close(
        (1 - base.betas).cumprod(0).double(), (1 - betas).cumprod(0), rtol=1e-4, atol=0
    )
    assert base.betas.dtype == torch.float32


def test_unavailable_choices_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown attention 'flash'; known: sdpa, xformers"):
        tiny.base("sd1", attention="flash")
    with pytest.raises(ConfigError, match="attention=xformers does not work here"):
        tiny.base("sd1", attention="xformers")
    with pytest.raises(ModelError, match="is Stable Diffusion XL: set base_model.family=sdxl or auto"):
        load(tiny.folder("sdxl"), family="sd1")


def test_a_pack_of_samples_with_own_clip_skips_equals_each_alone() -> None:
    base = tiny.base("sd1")
    ids = tokenize(base, ["a", "b", "c"], 150)
    together = encode_text(base, ids, [1, 3, 2]).hidden
    for sample, skip in enumerate([1, 3, 2]):
        alone = encode_text(base, [ids[0][sample : sample + 1]], skip).hidden[0]
        torch.testing.assert_close(together[sample], alone, rtol=0, atol=1e-6)


def test_load_leaves_the_random_state_alone() -> None:
    tiny.folder("sd1")
    state = torch.random.get_rng_state().clone()
    tiny.base("sd1")
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_embedded_model_loads() -> None:
    base = load("demo")
    found = identify("demo")
    assert (found.family, found.kind, found.problems) == ("sd1", "diffusers", ())
    text = encode_text(base, tokenize(base, CAPTIONS), 1)
    side = 32 // base.latent_factor
    noisy = torch.zeros(2, base.latent_channels, side, side)
    assert torch.isfinite(predict(base, noisy, torch.tensor([10, 900]), text)).all()
    assert decode(base, noisy).shape == (2, 3, 32, 32)
