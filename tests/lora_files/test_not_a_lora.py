"""What is given in place of a LoRA is said by every reader: by its first bytes, or by its names."""

import gzip
import json
import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file

from lora_lab.errors import ModelError
from lora_lab.lora_files import planned
from lora_lab.lora_files.reading import read

LINEAR = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
LORA = {f"{LINEAR}.lora_down.weight": torch.ones(2, 16), f"{LINEAR}.lora_up.weight": torch.ones(16, 2)}
PEFT = "base_model.model.down_blocks.0.attentions.0.proj_in"


def refusals(path: Path) -> list[str]:
    """Of the verbs, which read a file, and of the plan, which reads its header."""
    found = []
    for use in (read, planned.identity):
        with pytest.raises(ModelError) as refused:
            use(path)
        found.append(str(refused.value))
    return found


def header(change: dict[str, object]) -> bytes:
    whole = save(LORA)
    length = struct.unpack("<Q", whole[:8])[0]
    text = json.dumps({**json.loads(whole[8 : 8 + length]), **change}).encode()
    return struct.pack("<Q", len(text)) + text + whole[8 + length :]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (pickle.dumps({"a": 1}), "is a pickle or a zip archive"),
        (b"PK\x03\x04" + bytes(99), "is a pickle or a zip archive"),
        (gzip.compress(bytes(999), mtime=0), "is a gzip archive: unpack it"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(99), "is a 7-Zip archive"),
        (b"Rar!\x1a\x07\0" + bytes(99), "is a RAR archive"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "is a PNG image"),
        (b"\xff\xd8\xff\xe0" + bytes(99), "is a JPEG image"),
        (
            b'{"error": "Access to this model is restricted"}',
            'is text, not weights: it begins with \'{"error"',
        ),
        (b"Invalid username or password.", "begins with 'Invalid username or password.'; download it again"),
        (b"Entry not found", "is text, not weights"),
        (b"\xef\xbb\xbf\n<html>", "is a web page"),
        (b"<!-- saved --><html>", "is a web page"),
        (b"a", "no header at its start"),
        (bytes(8), "no header at its start"),
        (save(LORA)[:-1], "is truncated: its header asks for"),
        (save(LORA) + b"xxxx", "4 more than its header says"),
        (header({"__metadata__": {"a": 1}}), "its header is damaged"),
        (header({"__metadata__": ["a"]}), "its header is damaged"),
    ],
)
def test_other_files_are_known_by_their_beginning(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    for text in refusals(path):
        assert said in text and "deserializ" not in text


def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path: Path) -> None:
    """640 bytes are \\x80\\x02, as a pickle begins; 19280 are PK without the rest."""
    path = tmp_path / "x.safetensors"
    save_file(LORA, path, {"pad": ""})
    (bare,) = struct.unpack("<Q", path.read_bytes()[:8])
    for size in (640, 896, 0x4B50):
        save_file(LORA, path, {"pad": "x" * (size - bare)})
        assert struct.unpack("<Q", path.read_bytes()[:8]) == (size,)
        assert len(read(path).modules) == 1 and planned.identity(path)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([f"{PEFT}.oft_R.default.weight"], "is an OFT adapter of PEFT"),
        ([f"{PEFT}.boft_R", f"{PEFT}.boft_s"], "is a BOFT adapter of PEFT"),
        ([f"{PEFT}.vera_lambda_b", "base_model.vera_A"], "is a VeRA adapter of PEFT"),
        ([f"{PEFT}.lora_A", f"{PEFT}.lora_E"], "is an AdaLoRA adapter of PEFT"),
        ([f"{PEFT}.fourierft_spectrum"], "is a FourierFT adapter of PEFT"),
        (["image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"], "is an IP-Adapter"),
        (["lllite_unet_input_blocks_1_1.cond_emb.weight"], "is a ControlNet-LLLite"),
        (["lora_controlnet", "down.weight"], "is a ControlNet"),
        (["<sks>"], "is a textual inversion embedding"),
        (["first_stage_model.decoder.conv_in.weight"], "is a VAE"),
        (["decoder.conv_in.weight", "encoder.conv_in.weight"], "is a VAE"),
        (["conv_in.weight", "down_blocks.0.attentions.0.proj_in.weight"], "is a U-Net alone"),
        (["double_blocks.0.processor.qkv_lora1.down.weight"], "is a LoRA for Flux"),
        (["down_blocks.0.motion_modules.0.to_q.lora.down.weight"], "AnimateDiff's motion modules"),
        ([f"{LINEAR}.lora_down.weight", f"{LINEAR}.lora_down.scale_weight"], "a scale of their own"),
        ([f"{LINEAR}.lora_down.weight", "scaled_fp8"], "a scale of their own"),
    ],
)
def test_other_weights_are_known_by_their_names(tmp_path: Path, names: list[str], said: str) -> None:
    path = tmp_path / "x.safetensors"
    save_file({name: torch.ones(2, 2) for name in names}, path)
    for text in refusals(path):
        assert said in text


@pytest.mark.parametrize("prefix", ["text_encoders.clip_l.transformer.", "clip_l.transformer.", "clip_l."])
def test_text_encoders_of_comfyui(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "x.safetensors"
    module = f"{prefix}text_model.encoder.layers.0.mlp.fc1"
    save_file(
        {f"{module}.lora_A.weight": torch.ones(2, 8), f"{module}.lora_B.weight": torch.ones(8, 2)}, path
    )
    (name,) = read(path).modules
    assert name.removeprefix("lora_te1_").removeprefix("lora_te_") == "text_model_encoder_layers_0_mlp_fc1"


def test_types_and_families_are_refused_by_the_header(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({key: value.to(torch.int8) for key, value in LORA.items()}, path)
    for text in refusals(path):
        assert "not fp8, fp16, bf16 or fp32" in text
    wide = LINEAR.replace("attn1_to_q", "attn2_to_k")
    save_file(
        {f"{wide}.lora_down.weight": torch.ones(2, 2048), f"{wide}.lora_up.weight": torch.ones(16, 2)}, path
    )
    planned.refuse_other_family(path, "sdxl")
    with pytest.raises(
        ModelError, match=r"is for Stable Diffusion XL, but the base model is Stable Diffusion 1\.x"
    ):
        planned.refuse_other_family(path, "sd1")
    # How the only text encoder is called proves nothing.
    name = "lora_te1_text_model_encoder_layers_0_mlp_fc1"
    save_file(
        {f"{name}.lora_down.weight": torch.ones(2, 8), f"{name}.lora_up.weight": torch.ones(8, 2)}, path
    )
    planned.refuse_other_family(path, "sd1")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{not json", "is not readable JSON .line 1, column 2., so the alphas are not known"),
        (json.dumps({"unet.lora_alpha": "8"}), "the alpha of .* is '8', not a number"),
    ],
)
def test_settings_of_diffusers_that_cannot_be_read(tmp_path: Path, said: str, message: str) -> None:
    path = tmp_path / "x.safetensors"
    module = "unet.down_blocks.0.attentions.0.proj_in"
    tensors = {f"{module}.lora_A.weight": torch.ones(2, 8), f"{module}.lora_B.weight": torch.ones(8, 2)}
    save_file(tensors, path, {"lora_adapter_metadata": said})
    with pytest.raises(ModelError, match=message):
        read(path)
