"""A LoRA from each writer through each reader: the same weight differences, and no key left over.

Writers: ours, kohya's form, LyCORIS' (Tucker), PEFT, diffusers. Readers: ours, diffusers (which uses PEFT).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file
from torch import Tensor, nn

from lora_lab.lora_files import module_names
from lora_lab.lora_files.disk import save_lora
from lora_lab.lora_files.factors import delta, products
from lora_lab.loras import Making, merge, read, save
from lora_lab.networks.metadata import standard_metadata
from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import AdapterSpec
from lora_lab.networks.targets import find_targets
from tests.loras.made import Tensors, dense, error, numbers
from tests.networks.conftest import small_clip, small_unet

Models = tuple[nn.Module, list[nn.Module]]
SPEC = AdapterSpec(4, 2.0, conv_dim=3, conv_alpha=1.5)
_TE = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
_UNET = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "conv1", "conv_shortcut", "time_emb_proj"]


def models(family: str) -> Models:
    torch.manual_seed(0)
    if family == "sd1":
        return small_unet().eval(), [small_clip()]
    from transformers import CLIPTextModelWithProjection

    unet = small_unet(
        block_out_channels=(16, 16, 32),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        cross_attention_dim=40,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=64,
    )
    return unet.eval(), [small_clip(), small_clip(CLIPTextModelWithProjection, 16)]


def pipeline(family: str, whole: Models) -> Any:
    parts: dict[str, Any] = dict(
        vae=AutoencoderKL(),
        unet=whole[0],
        scheduler=DDIMScheduler(),
        text_encoder=whole[1][0],
        tokenizer=None,
    )
    if family == "sdxl":
        return StableDiffusionXLPipeline(**parts, text_encoder_2=whole[1][1], tokenizer_2=None)
    checker = dict(safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    return StableDiffusionPipeline(**parts, **checker)


def kohya_names(family: str, whole: Models) -> Iterator[tuple[nn.Module, str, str]]:
    """(module, its path, kohya's name) of everything that may carry an adapter."""
    sgm = module_names.sgm_blocks(whole[0]) if family == "sdxl" else {}
    for part, network in enumerate([whole[0], *whole[1]]):
        for path, module in network.named_modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, BaseTunerLayer)) and ".lora_" not in path:
                if path.endswith("base_layer"):
                    continue
                name = (
                    module_names.unet_name(path, family, sgm)
                    if part == 0
                    else module_names.text_encoder_name(path, part - 1, family)
                )
                yield module, path, name


def peft_deltas(family: str, whole: Models) -> Tensors:
    """What PEFT really adds, by kohya's name."""
    found = {}
    for module, _, name in kohya_names(family, whole):
        if isinstance(module, BaseTunerLayer):
            adapter = next(iter(module.lora_A))  # type: ignore[arg-type]
            found[name] = module.get_delta_weight(adapter).detach()  # type: ignore[operator]
    return found


def random_ups(network: nn.Module) -> None:
    with torch.no_grad():
        for seed, (key, value) in enumerate(network.named_parameters()):
            if "lora_B" in key:
                value.copy_(numbers(*value.shape, seed=seed))


def by_ours(folder: Path, family: str) -> tuple[Path, Tensors]:
    unet, encoders = models(family)
    pack = Pack(unet, encoders, family, [SPEC])
    pack.occupy(0, SPEC)
    tensors = {
        key: value if key.endswith("alpha") else numbers(*value.shape, seed=seed)
        for seed, (key, value) in enumerate(pack.export(0).items())
    }
    save_lora(folder / "ours.safetensors", tensors, standard_metadata(SPEC, family, "x"))
    return folder / "ours.safetensors", dense(tensors)


def by_kohya(folder: Path, family: str) -> tuple[Path, Tensors]:
    """kohya's names and shapes, alphas as whole numbers, next to no metadata."""
    unet, encoders = models(family)
    tensors: Tensors = {}
    for seed, target in enumerate(find_targets(unet, encoders, family, SPEC)):
        weight, rank = target.module.weight, SPEC.rank(target.kind)
        ones = (1,) * (weight.dim() - 2)
        tensors[f"{target.name}.lora_down.weight"] = numbers(rank, *weight.shape[1:], seed=seed)
        tensors[f"{target.name}.lora_up.weight"] = numbers(weight.shape[0], rank, *ones, seed=-seed)
        tensors[f"{target.name}.alpha"] = torch.tensor(2)
    metadata = {"ss_base_model_version": "sdxl_base_v1-0" if family == "sdxl" else "sd_v1"}
    save_file(tensors, folder / "kohya.safetensors", metadata)
    return folder / "kohya.safetensors", dense(tensors)


def by_lycoris(folder: Path, family: str) -> tuple[Path, Tensors]:
    """LoCon with Tucker decomposition on the k x k convolutions, as `use_tucker=True` writes it."""
    path, expected = by_kohya(folder, family)
    tensors = dict(read_raw(path))
    for key in [key for key in tensors if key.endswith("lora_down.weight") and tensors[key].dim() == 4]:
        if tensors[key].shape[2:] == (1, 1):
            continue
        name = key.removesuffix(".lora_down.weight")
        rank, inputs, *kernel = tensors[key].shape
        core, narrow = numbers(rank, rank, *kernel, seed=1), numbers(rank, inputs, 1, 1, seed=2)
        tensors[key], tensors[f"{name}.lora_mid.weight"] = narrow, core
        down = torch.zeros(rank, inputs, *kernel)
        for i in range(rank):
            for j in range(rank):
                down[i] += core[i, j] * narrow[j]
        scale = float(tensors.get(f"{name}.alpha", torch.tensor(rank))) / rank
        expected[name] = (
            scale * tensors[f"{name}.lora_up.weight"].double().flatten(1) @ down.double().flatten(1)
        )
    save_file(tensors, folder / "lycoris.safetensors", {"ss_network_module": "lycoris.kohya", **base(family)})
    return folder / "lycoris.safetensors", expected


def base(family: str) -> dict[str, str]:
    said = {"sd1": "stable-diffusion-v1/lora", "sdxl": "stable-diffusion-xl-v1-base/lora"}
    return {"modelspec.architecture": said[family]}


def read_raw(path: Path) -> Tensors:
    from safetensors.torch import load_file

    return load_file(path)


def adapted(family: str) -> Models:
    unet, encoders = models(family)
    unet.add_adapter(LoraConfig(r=4, lora_alpha=2, target_modules=_UNET))
    for encoder in encoders:
        encoder.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=_TE))
    for network in (unet, *encoders):
        random_ups(network)
    return unet, encoders


def by_diffusers(folder: Path, family: str) -> tuple[Path, Tensors]:
    """`save_lora_weights`; the U-Net's alpha (not its rank) is in the metadata only."""
    whole = adapted(family)
    unet, encoders = whole
    layers = [get_peft_model_state_dict(network) for network in (unet, *encoders)]
    kind = StableDiffusionXLPipeline if family == "sdxl" else StableDiffusionPipeline
    more = {"text_encoder_2_lora_layers": layers[2]} if family == "sdxl" else {}
    kind.save_lora_weights(
        str(folder),
        unet_lora_layers=layers[0],
        text_encoder_lora_layers=layers[1],
        unet_lora_adapter_metadata=unet.peft_config["default"].to_dict(),
        **more,
    )
    file = folder / "pytorch_lora_weights.safetensors"
    # At this size, names and widths alone do not tell.
    save_file(read_raw(file), file, {**metadata_of(file), **base(family)})
    return file, peft_deltas(family, whole)


def by_peft(folder: Path, family: str) -> tuple[Path, Tensors]:
    """`PeftModel.save_pretrained` of the U-Net alone: alpha stands in adapter_config.json."""
    unet, encoders = models(family)
    wrapped = get_peft_model(unet, LoraConfig(r=4, lora_alpha=2, target_modules=_UNET))
    random_ups(wrapped)
    wrapped.save_pretrained(str(folder))
    file = folder / "adapter_model.safetensors"
    if family == "sdxl":
        save_file(read_raw(file), file, base(family))
    assert json.loads((folder / "adapter_config.json").read_text())["lora_alpha"] == 2
    return file, peft_deltas(family, (unet, encoders))


WRITERS = {
    "ours": by_ours,
    "kohya": by_kohya,
    "lycoris": by_lycoris,
    "diffusers": by_diffusers,
    "peft": by_peft,
}


def agree(found: dict[str, Tensor], expected: Tensors, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    wrong = {name: error(found[name], expected[name]) for name in expected}
    assert max(wrong.values()) < tolerance, max(wrong, key=lambda name: wrong[name])


@pytest.mark.parametrize("family", ["sd1", pytest.param("sdxl", marks=pytest.mark.slow)])
@pytest.mark.parametrize("writer", WRITERS)
def test_each_writer_through_each_reader(tmp_path: Path, writer: str, family: str) -> None:
    path, expected = WRITERS[writer](tmp_path, family)
    file = read(path)
    agree({name: delta(found) for name, found in products(file).items()}, expected, 1e-5)
    if family == "sdxl":
        assert any("_input_blocks_" in name for name in file.modules)
        assert not any("_down_blocks_" in name for name in file.modules)
    save(tmp_path / "again" / "x.safetensors", merge([file], [1.0]).modules, Making("merge", [file], {}, [1]))
    for place in [tmp_path / "again" / "x.safetensors", *([path] if writer in ("ours", "kohya") else [])]:
        whole = models(family)
        pipeline(family, whole).load_lora_weights(str(place.parent), weight_name=place.name)
        agree(peft_deltas(family, whole), expected, 1e-5)


def test_alphas_that_differ_come_out_right(tmp_path: Path) -> None:
    """diffusers misreads different alphas within attention and text encoders; our files have none there."""
    path, _ = by_kohya(tmp_path, "sd1")
    tensors = read_raw(path)
    for place, key in enumerate(key for key in list(tensors) if key.endswith(".alpha")):
        if place % 3 == 0:
            del tensors[key]
        elif place % 3 == 1:
            tensors[key] = torch.tensor(0.7)
    expected = dense(tensors)
    save_file(tensors, path, metadata_of(path))
    modules = merge([read(path)], [1.0]).modules
    save(tmp_path / "x.safetensors", modules, Making("merge", [read(path)], {}, [1]))
    whole = models("sd1")
    pipeline("sd1", whole).load_lora_weights(str(tmp_path), weight_name="x.safetensors")
    agree(peft_deltas("sd1", whole), expected, 1e-5)
    agree(dense(read_raw(tmp_path / "x.safetensors")), expected, 1e-6)


def metadata_of(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})
