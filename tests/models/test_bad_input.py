"""Whatever is put in place of a base model gives one clear ModelError, and code in a pickle is never run."""

import argparse
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from lora_lab.errors import ModelError
from lora_lab.models import identify, identity, load, save_single_file
from lora_lab.models.pickles import scan_pickle
from lora_lab.models.weights import open_tensors
from tests import tiny

ONE = torch.ones(2, 2)


def refused(path: Path) -> str:
    """The message, the same from planning and from loading."""
    with pytest.raises(ModelError) as planned:
        identify(path)
    with pytest.raises(ModelError) as loaded:
        load(path)
    assert str(planned.value) == str(loaded.value)
    assert "\n" not in str(planned.value)
    return str(planned.value)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("single") / "model.safetensors"
    save_single_file(tiny.base("sd1"), file)
    return file


def test_no_path() -> None:
    with pytest.raises(ModelError, match="base_model.path is not set"):
        identify("")


def test_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "other.safetensors").write_bytes(b"x")
    message = refused(tmp_path / "model.safetensors")
    assert message.endswith(f"model.safetensors does not exist; {tmp_path} holds other.safetensors")
    assert "holds other.safetensors" in refused(tmp_path / "no" / "such" / "model.ckpt")


@pytest.mark.parametrize("name", ["model.safetensors", "model.ckpt"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n", "is a git-lfs pointer"),
        (b"<!DOCTYPE html><html>Sign in</html>", "is a web page"),
    ],
)
def test_not_the_weights(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert says in refused(tmp_path / name)


def test_truncated_safetensors(single: Path, tmp_path: Path) -> None:
    content = single.read_bytes()
    header = struct.unpack("<Q", content[:8])[0]
    for keep in (len(content) - 1, len(content) // 2, 8 + header, 8 + header // 2):
        cut = tmp_path / f"cut{keep}.safetensors"
        cut.write_bytes(content[:keep])
        message = refused(cut)
        assert "is truncated" in message and f"the file has {keep:,}" in message
    (tmp_path / "tiny.safetensors").write_bytes(content[:5])
    assert "not a safetensors file" in refused(tmp_path / "tiny.safetensors")


@pytest.mark.parametrize(
    "names",
    [
        [
            f"lora_unet_block_{index}_to_q.{part}"
            for index in range(5)
            for part in ("lora_up.weight", "alpha")
        ],
        [f"unet.block.{index}.to_q.lora_A.weight" for index in range(5)],
        [f"lora_unet_block_{index}.hada_w1_a" for index in range(5)],
        [f"unet.down.{index}.to_q.lora.down.weight" for index in range(5)],
    ],
)
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_lora_is_sent_where_it_belongs(names: list[str], suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"lora.{suffix}"
    content = dict.fromkeys(names)
    tensors = {name: ONE.clone() for name in content}
    save_file(tensors, file) if suffix == "safetensors" else torch.save(tensors, file)
    message = refused(file)
    assert "is a LoRA (5 modules), not a checkpoint: give it to network.network_weights" in message


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (
            ["first_stage_model.encoder.conv_in.weight"],
            "is a VAE only, not a checkpoint: give it to base_model.vae",
        ),
        (["encoder.down.0.block.0.conv1.weight"], "is a VAE only"),
        (["encoder.down_blocks.0.resnets.0.conv1.weight"], "is a VAE only"),
        (["text_model.encoder.layers.0.mlp.fc1.weight"], "is a text encoder only"),
        (["double_blocks.0.img_attn.proj.weight"], "looks like Flux"),
        (["model.diffusion_model.double_blocks.0.img_attn.proj.weight"], "looks like Flux"),
        (["model.diffusion_model.joint_blocks.0.x_block.attn.proj.weight"], "looks like Stable Diffusion 3"),
        (["model.diffusion_model.layers.0.attention.qkv.weight"], "looks like Z-Image"),
        (["layers.0.attention.to_q.weight", "noise_refiner.0.attention.to_q.weight"], "looks like Z-Image"),
        (["model.diffusion_model.blocks.0.attn1.Wqkv.weight", "mlp_t5.0.weight"], "looks like Hunyuan-DiT"),
        (["model.diffusion_model.joint_blocks.0.x.weight", "first_stage_model.x"], "looks like Stable Diff"),
        (["transformer_blocks.0.img_mod.1.weight"], "looks like Qwen-Image"),
        (["model.diffusion_model.blocks.0.self_attn.q.weight"], "looks like Wan"),
        (["down_blocks.0.resnets.0.conv1.weight"], "a U-Net alone"),
        (["input_blocks.0.0.weight"], "is a U-Net alone"),
        (["model.diffusion_model.input_blocks.0.0.weight"], "has a U-Net but no text encoder"),
        (["emb_params"], "is a textual inversion embedding"),
        (["layers.0.weight"], "is of an unknown architecture"),
        ([], "is of an unknown architecture"),
    ],
)
def test_other_weights_are_named(names: list[str], says: str, tmp_path: Path) -> None:
    save_file({name: ONE.clone() for name in names}, tmp_path / "model.safetensors")
    assert says in refused(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("channels", "width", "says"),
    [
        (9, 768, "is an inpainting model \\(9 input channels\\)"),
        (4, 1280, "U-Net of width 1280 instead of 768"),
    ],
)
def test_relatives_of_known_families(channels: int, width: int, says: str, tmp_path: Path) -> None:
    unet = "model.diffusion_model."
    content = {
        f"{unet}input_blocks.0.0.weight": torch.ones(8, channels, 3, 3),
        f"{unet}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": torch.ones(8, width),
        "cond_stage_model.transformer.text_model.final_layer_norm.weight": torch.ones(8),
    }
    save_file(content, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=says):
        identify(tmp_path / "model.safetensors")


def test_an_incomplete_checkpoint(tmp_path: Path) -> None:
    content = {
        "model.diffusion_model.input_blocks.0.0.weight": torch.ones(320, 4, 3, 3),
        "cond_stage_model.transformer.text_model.final_layer_norm.weight": torch.ones(768),
    }
    save_file(content, tmp_path / "model.safetensors")
    assert identify(tmp_path / "model.safetensors").problems[0].endswith("give one with base_model.vae=...")
    with pytest.raises(ModelError, match="the U-Net lacks 685 of 686 tensors"):
        load(tmp_path / "model.safetensors")


class Evil:
    """Unpickling it would make a file."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("form", ["zip", "old", "bare"])
def test_code_in_a_pickle_is_never_executed(protocol: int, form: str, tmp_path: Path) -> None:
    witness, file = tmp_path / "executed", tmp_path / "model.ckpt"
    content = {"state_dict": {"model.diffusion_model.input_blocks.0.0.weight": ONE}, "x": Evil(witness)}
    if form == "bare":
        file.write_bytes(b"".join(pickle.dumps(Evil(witness), protocol) for _ in range(4)))
    else:
        torch.save(content, file, pickle_protocol=protocol, _use_new_zipfile_serialization=form == "zip")
    message = refused(file)
    assert f"holds code ({os.mkdir.__module__}.mkdir), which is never executed here" in message
    assert not witness.exists()


def leftovers(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What Lightning leaves in the checkpoints of its runs, of classes that are gone afterwards."""
    modules = {}
    for name in (
        "pytorch_lightning",
        "pytorch_lightning.callbacks",
        "pytorch_lightning.callbacks.model_checkpoint",
    ):
        modules[name] = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, modules[name])
    kind = type("ModelCheckpoint", (), {"__module__": "pytorch_lightning.callbacks.model_checkpoint"})
    modules["pytorch_lightning.callbacks.model_checkpoint"].ModelCheckpoint = kind
    one = kind()
    one.best_score = torch.ones(1)
    return {
        "callbacks": {kind: {"best": one}},
        "hyper_parameters": argparse.Namespace(rate=1e-4, names=["a"]),
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_what_training_tools_leave_in_checkpoints_is_passed_over(
    zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.ckpt"
    content = {"state_dict": {"a.weight": ONE}, **leftovers(monkeypatch)}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    for name in [name for name in sys.modules if name.startswith("pytorch_lightning")]:
        monkeypatch.delitem(sys.modules, name)
    scan = scan_pickle(file)
    assert scan.code == ()
    assert "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint" in scan.leftovers
    with open_tensors([file], file) as tensors:
        assert tensors.names == {"a.weight"} and torch.equal(tensors.read("a.weight"), ONE)


def test_code_beside_such_leftovers_is_never_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness, file = tmp_path / "executed", tmp_path / "model.ckpt"
    torch.save({"state_dict": {"a": ONE}, **leftovers(monkeypatch), "x": Evil(witness)}, file)
    message = refused(file)
    assert f"holds code ({os.mkdir.__module__}.mkdir), which is never executed here" in message
    with pytest.raises(ModelError, match="never executed"), open_tensors([file], file):
        pass
    assert not witness.exists()


def test_code_in_a_vae_is_never_executed(tmp_path: Path) -> None:
    witness = tmp_path / "executed"
    torch.save({"a": ONE, "b": Evil(witness)}, tmp_path / "vae.pt")
    with pytest.raises(ModelError, match="never executed"):
        tiny.base("sd1", vae=tmp_path / "vae.pt")
    assert not witness.exists()


def test_damaged_pickles(tmp_path: Path) -> None:
    torch.save({"a": ONE}, tmp_path / "whole.ckpt")
    content = (tmp_path / "whole.ckpt").read_bytes()
    for name, damaged in {"cut": content[:300], "noise": b"\x80\x02" + bytes(range(256))}.items():
        (tmp_path / f"{name}.ckpt").write_bytes(damaged)
        message = refused(tmp_path / f"{name}.ckpt")
        assert "truncated or damaged" in message or "not a readable torch checkpoint" in message


def test_plain_tensors_hold_no_code(tmp_path: Path) -> None:
    content = {"a": ONE, "b": torch.ones(2, dtype=torch.bfloat16), "c": [1, None, {"d": 2.0}]}
    for zipped in (True, False):
        torch.save(content, tmp_path / "plain.pt", _use_new_zipfile_serialization=zipped)
        scan = scan_pickle(tmp_path / "plain.pt")
        assert scan.code == () and {"a", "b", "d"} <= scan.strings


def test_folders_that_are_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    message = refused(tmp_path)
    assert "has no model_index.json" in message and "it holds model.safetensors, notes.txt" in message
    assert f"did you mean {tmp_path / 'model.safetensors'}?" in message
    (tmp_path / "image.png").write_bytes(b"x")
    assert "is no model: its name ends in none of .safetensors" in refused(tmp_path / "image.png")
    assert "is one component (UNet2DConditionModel), not a model" in refused(tiny.folder("sd1") / "unet")


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("no vae", "has no vae/ folder; it holds"),
        ("no weights", "has no weights"),
        ("short weights", "is truncated"),
        ("pointer", "is a git-lfs pointer"),
        ("other pipeline", "is of an unknown architecture: a FluxPipeline; known: StableDiffusionPipeline"),
        ("bad json", "is not readable JSON"),
        ("inpainting", "takes 9 channels and gives 4"),
        ("missing shard", "lacks part2.safetensors"),
    ],
)
def test_damaged_folders(what: str, says: str, tmp_path: Path) -> None:
    place = tmp_path / "model"
    shutil.copytree(tiny.folder("sd1"), place)
    weights = place / "unet" / "diffusion_pytorch_model.safetensors"
    if what == "no vae":
        shutil.rmtree(place / "vae")
    elif what == "no weights":
        weights.unlink()
    elif what == "short weights":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif what == "pointer":
        weights.write_text("version https://git-lfs.github.com/spec/v1\n")
    elif what == "other pipeline":
        (place / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    elif what == "bad json":
        (place / "unet" / "config.json").write_text("{")
    elif what == "inpainting":
        config = json.loads((place / "unet" / "config.json").read_text()) | {"in_channels": 9}
        (place / "unet" / "config.json").write_text(json.dumps(config))
    else:
        weights.rename(weights.with_name("part1.safetensors"))
        index = {"weight_map": {"a": "part1.safetensors", "b": "part2.safetensors"}}
        (place / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    assert says in refused(place)


def test_a_vae_that_is_none(tmp_path: Path) -> None:
    save_file({"a": ONE}, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match="a.safetensors is not a VAE for Stable Diffusion; it holds a"):
        tiny.base("sd1", vae=tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match="b.safetensors does not exist"):
        tiny.base("sd1", vae=tmp_path / "b.safetensors")
    with pytest.raises(ModelError, match="base_model.vae: .* holds no VAE"):
        tiny.base("sd1", vae=tmp_path)


def test_foreign_tokens_without_tokenizer(tmp_path: Path) -> None:
    place = tmp_path / "model"
    shutil.copytree(tiny.folder("sd1"), place)
    shutil.rmtree(place / "tokenizer")
    with pytest.raises(ModelError, match="brings no tokenizer, and its text encoder has 514 tokens"):
        load(place)


@pytest.mark.parametrize("variant", ["fp16", "bf16", "fp32"])
def test_folders_of_one_precision_load(tmp_path: Path, variant: str) -> None:
    place = tmp_path / "model"
    shutil.copytree(tiny.folder("sd1"), place)
    for part in ("unet", "vae", "text_encoder"):
        (file,) = (place / part).glob("*.safetensors")
        file.rename(file.with_name(f"{file.stem}.{variant}.safetensors"))
    found, plain = load(place).unet.state_dict(), tiny.base("sd1").unet.state_dict()
    assert all(torch.equal(found[name], plain[name]) for name in plain)


@pytest.mark.parametrize("name", ["model.gguf", "model.safetensors"])
def test_gguf_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(64))
    assert "is a GGUF file" in refused(tmp_path / name)


def test_sharded_and_half_precision_variants_load(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    place = tmp_path / "model"
    shutil.copytree(tiny.folder("sd1"), place)
    weights = place / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    names = sorted(tensors)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, weights.with_name(file))
    index = {"weight_map": {name: file for file, part in shards.items() for name in part}}
    weights.with_name(weights.name + ".index.json").write_text(json.dumps(index))
    weights.unlink()
    vae = place / "vae" / "diffusion_pytorch_model.safetensors"
    vae.rename(vae.with_name("diffusion_pytorch_model.fp16.safetensors"))
    sharded, plain = load(place).unet.state_dict(), tiny.base("sd1").unet.state_dict()
    assert all(torch.equal(sharded[name], plain[name]) for name in plain)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_headers_never_give_a_traceback(data: st.DataObject, single: Path, tmp_path: Path) -> None:
    content = bytearray(single.read_bytes())
    end = 8 + struct.unpack("<Q", content[:8])[0]
    configs = content.index(b"lora_lab.config")
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, end - 1) | st.integers(configs, configs + 12_000))
        content[place] = data.draw(st.integers(0, 255) | st.integers(48, 57))
    file = tmp_path / "damaged.safetensors"
    file.write_bytes(bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))]))
    try:
        base = load(file)
    except ModelError:
        return
    assert base.family in tiny.FAMILIES


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_pickles_never_give_a_traceback(data: st.DataObject, tmp_path: Path) -> None:
    file = tmp_path / "model.ckpt"
    torch.save(
        {"cond_stage_model.transformer.x": ONE}, file, _use_new_zipfile_serialization=data.draw(st.booleans())
    )
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    with pytest.raises(ModelError):
        load(file)


def test_identity_is_the_files_hash_and_follows_content(single: Path, tmp_path: Path) -> None:
    import hashlib

    copy = tmp_path / "renamed.safetensors"
    shutil.copy(single, copy)
    assert identity(copy) == identity(single) == hashlib.sha256(single.read_bytes()).hexdigest()
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(bytes(content))
    assert identity(copy) != identity(single)
    folder = tiny.write_folder(tmp_path / "model")
    before = identity(folder)
    (folder / "README.md").write_text("not part of the model")
    assert identity(folder) == before
    (folder / "scheduler" / "scheduler_config.json").write_text('{"prediction_type": "v_prediction"}')
    assert identity(folder) != before


def test_identity_remembers_unchanged_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys.modules["lora_lab.models.content_hash"], "_WORTH_REMEMBERING", 10)
    file = tmp_path / "model.safetensors"
    save_file({"a": ONE}, file)
    digest = identity(file)
    memory = tmp_path / "cache" / "lora_lab" / "file_hashes.jsonl"
    memory.write_text(memory.read_text().replace(digest, "remembered"))
    assert identity(file) == "remembered"
    os.utime(file, ns=(1, 1))
    assert identity(file) == digest


def test_planning_needs_no_torch() -> None:
    code = (
        "import sys; from lora_lab.models import identify, identity; "
        "identify(sys.argv[1]); identity(sys.argv[1]); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tiny.folder("sdxl"))], check=True)
