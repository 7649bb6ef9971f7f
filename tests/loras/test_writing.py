"""What new files say about themselves, and what is never overwritten; and what `info` reads out of files."""

import hashlib
import json
import struct
from pathlib import Path

import pytest
import torch

from lora_lab.errors import ConfigError, ModelError
from lora_lab.lora_files.disk import save_lora
from lora_lab.lora_files.factors import Factors
from lora_lab.loras import Making, Ranks, check_output, info, merge, read, resize, save
from lora_lab.loras.writing import with_common_alphas
from lora_lab.networks.metadata import standard_metadata
from lora_lab.networks.spec import AdapterSpec
from tests.loras.made import dense, kohya, numbers, opened

SPEC = AdapterSpec(4, 2.0, conv_dim=4, conv_alpha=2.0)


def ours(path: Path, seed: int = 0, **settings: object) -> Path:
    known = {"learning_rate": 1e-4, "num_epochs": 3, "seed": seed, **settings}
    metadata = standard_metadata(SPEC, "sd1", f"run-{seed}", settings=known)
    save_lora(
        path,
        kohya(seed=seed),
        {**metadata, "lora_lab.config": '{"train.seed": 1}', "lora_lab.fingerprint": "f"},
    )
    return path


def test_a_merged_file_says_what_it_is(tmp_path: Path) -> None:
    files = [read(ours(tmp_path / f"{n}.safetensors", n)) for n in range(2)]
    made = Making("merge", files, {}, [1.0, -0.5])
    path = tmp_path / "sum.safetensors"
    written = save(path, merge(files, [1.0, -0.5]).modules, made)
    found = read(path)
    assert found.metadata == written | {"lora_lab.seal": found.metadata["lora_lab.seal"]}
    said = found.metadata
    assert (said["ss_network_dim"], said["ss_network_alpha"]) == ("8", "4.0")
    assert json.loads(said["ss_network_args"]) == {"conv_dim": "8", "conv_alpha": "4.0"}
    assert said["ss_learning_rate"] == "0.0001" and "ss_seed" not in said  # only what all inputs share
    assert said["ss_base_model_version"] == "sd_v1"
    assert said["modelspec.architecture"] == "stable-diffusion-v1/lora"
    assert said["modelspec.merged_from"] == "0, 1" and "lora_lab.fingerprint" not in said
    assert said["ss_output_name"].startswith("sum-") and said["ss_output_name"] == said["modelspec.title"]
    record = json.loads(said["lora_lab.made"])
    assert [item["ratio"] for item in record["inputs"]] == [1.0, -0.5]
    assert [item["sha256"] for item in record["inputs"]] == [
        hashlib.sha256(file.path.read_bytes()).hexdigest() for file in files
    ]
    data = path.read_bytes()
    body = data[8 + struct.unpack("<Q", data[:8])[0] :]
    assert said["sshs_model_hash"] == hashlib.sha256(body).hexdigest()


def test_names_differ_where_content_does(tmp_path: Path) -> None:
    file = read(ours(tmp_path / "a.safetensors"))
    names = set()
    for ratio in (0.5, 0.6):
        place = tmp_path / str(ratio) / "x.safetensors"
        names.add(
            save(place, merge([file], [ratio]).modules, Making("merge", [file], {}, [ratio]))[
                "ss_output_name"
            ]
        )
    assert len(names) == 2


def test_a_resized_file_keeps_its_training(tmp_path: Path) -> None:
    file = read(ours(tmp_path / "a.safetensors", training_comment="mine"))
    found = resize(file, Ranks(4, None, "sv_ratio", 2.0))
    written = save(tmp_path / "b.safetensors", found.modules, Making("resize", [file], {"new_rank": 4}))
    assert written["ss_num_epochs"] == "3" and written["lora_lab.config"] == '{"train.seed": 1}'
    assert written["ss_training_comment"] == "resize of a (new_rank 4); mine"
    assert len({item.rank for item in found.modules.values()}) > 1
    assert written["ss_network_dim"] == "Dynamic"


def test_alphas_of_diffusers_do_not_survive(tmp_path: Path) -> None:
    """Its metadata would be read before the alpha tensors."""
    packed = json.dumps({"unet.lora_alpha": 1, "text_encoder.lora_alpha": 1})
    file = opened(tmp_path / "a.safetensors", kohya(alpha=None), {"lora_adapter_metadata": packed})
    assert {module.alpha for module in file.modules.values()} == {1.0}
    written = save(tmp_path / "b.safetensors", merge([file], [1]).modules, Making("merge", [file], {}, [1]))
    assert "lora_adapter_metadata" not in written


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", None])
def test_precision(tmp_path: Path, precision: str | None) -> None:
    file = opened(tmp_path / "a.safetensors", kohya(dtype=torch.bfloat16))
    save(tmp_path / "b.safetensors", merge([file], [1]).modules, Making("merge", [file], {}, [1]), precision)
    kinds = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, None: torch.bfloat16}
    found = read(tmp_path / "b.safetensors")
    assert found.dtype == kinds[precision]
    assert {m.leaves["alpha"].dtype for m in found.modules.values()} == {torch.float32}


def test_a_weight_too_large_for_half_precision_is_refused(tmp_path: Path) -> None:
    file = opened(
        tmp_path / "a.safetensors",
        {key: tensor * 3e4 if "weight" in key else tensor for key, tensor in kohya().items()},
    )
    with pytest.raises(ModelError, match="too large for float16 .*--precision fp32"):
        save(tmp_path / "b.safetensors", merge([file], [1]).modules, Making("merge", [file], {}, [1]), "fp16")
    assert not (tmp_path / "b.safetensors").exists()


def test_nothing_is_overwritten_by_accident(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_text("x")
    with pytest.raises(ConfigError, match="exists; choose another name, or replace it with --force"):
        check_output(tmp_path / "a.safetensors", [], force=False)
    check_output(tmp_path / "a.safetensors", [], force=True)
    with pytest.raises(ConfigError, match="must end in .safetensors"):
        check_output(tmp_path / "a.ckpt", [], force=True)
    (tmp_path / "f.safetensors").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        check_output(tmp_path / "f.safetensors", [], force=True)


def test_one_alpha_where_diffusers_needs_it() -> None:
    names = ["lora_unet_x_attn1_to_q", "lora_unet_x_attn1_to_k", "lora_unet_y_ff_net_2", "lora_unet_z_conv1"]
    modules = {
        name: Factors(numbers(2, 3), numbers(3, 2), alpha)
        for name, alpha in zip(names, (2.0, 1.0, 2.0, 0.5), strict=True)
    }
    found = with_common_alphas(modules)
    assert {item.alpha for item in found.values()} == {2.0}
    modules["lora_unet_x_attn1_to_k"].alpha = 2.0
    assert with_common_alphas(modules)["lora_unet_z_conv1"].alpha == 0.5  # a convolution's own alpha is read


def test_info(tmp_path: Path) -> None:
    path = ours(tmp_path / "a.safetensors")
    found = info(read(path))
    assert (found.family, found.precision, found.hash_check) == ("sd1", "fp32", "matches")
    assert found.kinds == {"LoRA": 4} and found.config == {"train.seed": 1} and found.made == {}
    assert list(found.groups()) == ["te", "unet"]
    assert list(found.groups("block")) == ["te layer 0", "unet down 0", "unet up 1"]
    for item in found.modules:
        exact = dense(kohya())[item.name]
        values = torch.linalg.svdvals(exact)[:4]
        shares = values.square() / values.square().sum()
        assert (item.rank, item.alpha) == (4, 2.0)
        assert item.norm == pytest.approx(float(exact.norm()), rel=1e-6)
        assert item.largest == pytest.approx(float(values[0]), rel=1e-5)
        assert item.effective_rank == pytest.approx(float((-(shares * shares.log()).sum()).exp()), rel=1e-4)
        assert item.rank_90 == int((shares.cumsum(0) < 0.9).sum()) + 1
    assert json.loads(json.dumps(found.as_dict()))["parts"]["unet"]["ranks"] == {"4": 3}


def test_info_of_other_networks(tmp_path: Path) -> None:
    """Counted by kind; norms of what has one without the base model."""
    tensors = kohya() | {
        "lora_unet_conv_in.diff": torch.full((2, 2), 2.0),
        "lora_unet_conv_in.diff_b": torch.ones(2),
        "lora_unet_conv_out.hada_w1_a": numbers(4, 2), "lora_unet_conv_out.hada_w1_b": numbers(2, 4),
        "lora_unet_conv_out.hada_w2_a": numbers(4, 2), "lora_unet_conv_out.hada_w2_b": numbers(2, 4),
        "lora_unet_up_blocks_1_resnets_0_conv1.dora_scale": numbers(14, 1, 1, 1),
        "lora_unet_mid_block_resnets_0_norm1.w_norm": numbers(4),
        "lora_unet_mid_block_resnets_0_conv1.oft_blocks": numbers(2, 2, 2),
        "lora_unet_mid_block_resnets_0_conv2.lora_down.weight": numbers(2, 2),
        "bundle_emb.x": numbers(2),
    }  # fmt: skip
    found = info(opened(tmp_path / "x.safetensors", tensors))
    assert found.kinds == {
        "LoRA": 3, "DoRA": 1, "LoHa": 1, "full weight differences": 1, "norm differences": 1, "OFT": 1,
        "LoRA (incomplete)": 1,
    }  # fmt: skip
    norms = {item.name: item.norm for item in found.modules}
    assert norms["lora_unet_conv_in"] == 4.0 and norms["lora_unet_mid_block_resnets_0_conv1"] is None
    assert found.strange == ("bundle_emb.x",) and found.hash_check == "none"


def test_no_verb_writes_over_what_it_reads(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    file.write_text("x")
    (tmp_path / "link.safetensors").symlink_to(file)
    for name in ("a.safetensors", "link.safetensors"):
        with pytest.raises(ConfigError, match="is one of the inputs, which no verb changes"):
            check_output(tmp_path / name, ["nowhere", file], force=True)


@pytest.mark.parametrize("verb", ["merge", "resize"])
def test_no_folder_of_this_machine_is_passed_on(tmp_path: Path, verb: str) -> None:
    path = ours(tmp_path / "a.safetensors")
    config = {"base_model.path": "/home/me/m.safetensors", "dataset.path": "C:\\Users\\me\\photos",
              "train.seed": 1}  # fmt: skip
    metadata = {**read(path).metadata, "lora_lab.config": json.dumps(config)}
    save_lora(path, kohya(), metadata)
    file = read(path)
    result = merge([file], [1.0]) if verb == "merge" else resize(file, Ranks(4))
    save(tmp_path / "b.safetensors", result.modules, Making(verb, [file], {}))
    assert json.loads(read(tmp_path / "b.safetensors").metadata["lora_lab.config"]) == {
        "base_model.path": "m.safetensors", "dataset.path": "photos", "train.seed": 1,
    }  # fmt: skip
    data = (tmp_path / "b.safetensors").read_bytes()
    assert not any(part in data for part in (b"/home/me", b"Users", str(tmp_path).encode()))
