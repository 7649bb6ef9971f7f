"""LoRA files: what is written, what other programs look for, and what is refused."""

import hashlib
import json
import pickle
import random
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_lab.errors import ModelError
from lora_lab.lora_files.disk import read_lora, save_lora
from lora_lab.networks.metadata import standard_metadata
from lora_lab.networks.spec import AdapterSpec

SPEC = AdapterSpec(8, 4.0, conv_dim=4, conv_alpha=1.0)


def tensors(width=16):
    g = torch.Generator().manual_seed(0)
    return {
        "lora_unet_x.lora_down.weight": torch.randn(8, width, generator=g),
        "lora_unet_x.lora_up.weight": torch.randn(width, 8, generator=g),
        "lora_unet_x.alpha": torch.tensor(4.0),
    }


def header(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def test_round_trip(tmp_path):
    path, metadata = tmp_path / "deep" / "a.safetensors", standard_metadata(SPEC, "sd1", "grid-03")
    written = save_lora(path, tensors(), metadata)
    found, read = read_lora(path)
    assert read == written and metadata.items() <= read.items()
    assert found.keys() == tensors().keys()
    assert all(torch.equal(found[key], value) for key, value in tensors().items())
    assert [p.name for p in path.parent.iterdir()] == ["a.safetensors"]


def test_equal_content_gives_equal_bytes(tmp_path):
    metadata = standard_metadata(SPEC, "sd1", "x")
    save_lora(tmp_path / "a", tensors(), metadata)
    shuffled = dict(reversed(tensors().items()))
    save_lora(tmp_path / "b", shuffled, dict(reversed(metadata.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_hashes_are_those_of_the_file_with_training_metadata_only(tmp_path):
    """sd-scripts: SHA-256 behind the header; 8 digits of that of 64 KiB at 1 MiB of the `ss_*`-only file."""
    metadata = standard_metadata(SPEC, "sd1", "x")
    written = save_lora(tmp_path / "big.safetensors", tensors(1 << 16), metadata)
    own = {key: value for key, value in metadata.items() if key.startswith("ss_")}
    save_file(tensors(1 << 16), tmp_path / "plain.safetensors", own)
    data = (tmp_path / "plain.safetensors").read_bytes()
    body = header(tmp_path / "big.safetensors")[1]
    assert written["sshs_model_hash"] == hashlib.sha256(body).hexdigest()
    assert written["sshs_legacy_hash"] == hashlib.sha256(data[0x100000:0x110000]).hexdigest()[:8]


def test_small_files_have_the_legacy_hash_of_nothing(tmp_path):
    written = save_lora(tmp_path / "a.safetensors", tensors(), {})
    assert written["sshs_legacy_hash"] == "e3b0c442"


@pytest.mark.parametrize(
    "family, v, version, architecture, prediction",
    [
        ("sd1", False, "sd_v1", "stable-diffusion-v1/lora", "epsilon"),
        ("sd1", True, "sd_v1_v", "stable-diffusion-v1/lora", "v"),
        ("sd2", True, "sd_v2_v", "stable-diffusion-v2-768-v/lora", "v"),
        ("sd2", False, "sd_v2", "stable-diffusion-v2-512/lora", "epsilon"),
        ("sdxl", False, "sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora", "epsilon"),
    ],
)
def test_programs_can_tell_the_family(family, v, version, architecture, prediction):
    """The keys that Forge and A1111 decide by."""
    found = standard_metadata(SPEC, family, "x", prediction_type="v_prediction" if v else "epsilon")
    assert found["ss_base_model_version"] == version
    assert found["ss_v2"] == str(family == "sd2")
    assert found["modelspec.architecture"] == architecture
    assert found["modelspec.prediction_type"] == prediction


def test_metadata_is_text_in_the_peers_spelling():
    """Values as in a file that sd-scripts wrote: "4.0", "None", JSON for mappings."""
    settings = {"ss_seed": 42, "clip_skip": None, "bucket_info": {"buckets": {}}, "flip_aug": False}
    found = standard_metadata(SPEC, "sd1", "x", resolution=(512, 768), settings=settings)
    assert all(isinstance(value, str) for value in found.values())
    assert (found["ss_network_dim"], found["ss_network_alpha"]) == ("8", "4.0")
    assert json.loads(found["ss_network_args"]) == {"conv_dim": "4", "conv_alpha": "1.0"}
    assert (found["ss_seed"], found["ss_clip_skip"], found["ss_flip_aug"]) == ("42", "None", "False")
    assert found["ss_bucket_info"] == '{"buckets": {}}'
    assert (found["ss_resolution"], found["modelspec.resolution"]) == ("(512, 768)", "512x768")
    assert (
        standard_metadata(AdapterSpec(4, 1.0, preset="full"), "sd1", "x")["ss_network_module"]
        == "lycoris.kohya"
    )


def _checkpoint(path):
    save_file({"model.diffusion_model.out.2.bias": torch.ones(4)}, path)


def _pickle(path):
    path.write_bytes(pickle.dumps({"a": 1}))


def _other(path):
    save_file({"some.weight": torch.ones(4)}, path)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (
            lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1"),
            "is a git-lfs pointer",
        ),
        (lambda path: path.write_bytes(b"<html><body>Sign in</body></html>"), "is a web page, not weights"),
        (lambda path: path.write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(64)), "is a GGUF file"),
        (
            lambda path: path.write_bytes(b"<!DOCTYPE html><html>no</html>"),
            "is a web page, not weights",
        ),
        (_pickle, "could run code"),
        (_checkpoint, "whole checkpoint, not a LoRA"),
        (_other, "no lora_down/lora_up tensors"),
    ],
)
def test_what_is_no_lora_is_refused(tmp_path, make, message):
    path = tmp_path / "x.safetensors"
    make(path)
    with pytest.raises(ModelError, match=message):
        read_lora(path)


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    save_lora(path, tensors(), standard_metadata(SPEC, "sd1", "x"))
    data = path.read_bytes()
    for length in [*range(0, 64), *range(64, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(ModelError):
            read_lora(path)


def test_damage_is_refused_or_harmless(tmp_path):
    """Flipped bytes: a clear message, or the very content that was written."""
    path, rng = tmp_path / "a.safetensors", random.Random(0)
    save_lora(path, tensors(), standard_metadata(SPEC, "sd1", "x"))
    data, original = path.read_bytes(), load_file(path)
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            found, _ = read_lora(path)
        except ModelError:
            refused += 1
            continue
        if "lora_lab/" in read_lora(path)[1].get("modelspec.implementation_version", ""):
            assert sorted(map(_content, found.values())) == sorted(map(_content, original.values()))
    assert refused > 200


def _content(tensor):
    return (
        tensor.contiguous().view(torch.uint8).numpy().tobytes()
        if tensor.dim()
        else tensor.item().hex().encode()
    )


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    save_lora(path, tensors(), {})
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", _full_disk)
    with pytest.raises(Exception, match="No space left"):
        save_lora(path, tensors(32), {})
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def _full_disk(*args):
    raise OSError(28, "No space left on device")
