"""Extract and bake on whole tiny models of every family: there and back again."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from lora_lab.errors import ConfigError, ModelError
from lora_lab.lora_files.disk import save_lora
from lora_lab.lora_files.factors import delta
from lora_lab.lora_files.reading import Module, from_tensors
from lora_lab.loras import LoraFile, read
from lora_lab.loras.bake import bake, baked
from lora_lab.loras.extract import Wish, extract
from lora_lab.models import load, save_single_file
from lora_lab.networks.merging import merge as merge_into
from lora_lab.networks.metadata import standard_metadata
from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import AdapterSpec
from tests import tiny
from tests.loras.made import dense, error, numbers

SPEC = AdapterSpec(3, 2.0, conv_dim=2, conv_alpha=1.0)


def lora(place: Path, family: str) -> tuple[LoraFile, dict[str, Tensor]]:
    """A LoCon for a tiny model, small enough to look like one that was trained."""
    base = tiny.base(family)
    pack = Pack(base.unet, base.text_encoders, family, [SPEC])
    pack.occupy(0, SPEC)
    tensors = {
        key: value if key.endswith("alpha") else 0.1 * numbers(*value.shape, seed=seed)
        for seed, (key, value) in enumerate(pack.export(0).items())
    }
    save_lora(place, tensors, standard_metadata(SPEC, family, "x"))
    return read(place), dense(tensors)


def single(place: Path, family: str) -> Path:
    save_single_file(tiny.base(family), place)
    return place


@pytest.mark.slow
@pytest.mark.parametrize("form", ["folder", "file"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_baked_in_and_extracted_again(tmp_path: Path, family: str, form: str) -> None:
    """What `extract` finds in a baked model is the LoRA; SDXL's second encoder has fused projections."""
    file, expected = lora(tmp_path / "x.safetensors", family)
    base = tiny.folder(family) if form == "folder" else single(tmp_path / "base.safetensors", family)
    output = tmp_path / ("baked" if form == "folder" else "baked.safetensors")
    assert bake(base, file, output, (0.5, -1.0), force=False) == len(expected)
    load(output)
    found = extract(base, output, Wish(6, 6, min_diff=0.0))
    assert found.family == family and found.outside < 1e-9 and not found.left_out
    assert found.result.modules.keys() == expected.keys()
    for name, item in found.result.modules.items():
        ratio = 0.5 if name.startswith("lora_unet_") else -1.0
        assert error(delta(item), ratio * expected[name]) < 1e-4
    assert found.result.share > 1 - 1e-6


def test_a_baked_model_says_so_and_keeps_the_rest(tmp_path: Path) -> None:
    base = single(tmp_path / "base.safetensors", "sd1")
    half = {key: tensor.half() for key, tensor in load_file(base).items()}
    with safe_open(base, "pt") as header:
        save_file(half, base, header.metadata())
    file, _ = lora(tmp_path / "x.safetensors", "sd1")
    bake(base, file, tmp_path / "b.safetensors", (1.0, 0.0), force=False)
    after = load_file(tmp_path / "b.safetensors")
    assert after.keys() == half.keys() and {tensor.dtype for tensor in after.values()} == {torch.float16}
    changed = {key for key in half if not torch.equal(half[key], after[key])}
    assert changed and all(key.startswith("model.diffusion_model.") for key in changed)
    with safe_open(tmp_path / "b.safetensors", "pt") as header:
        made = json.loads(header.metadata()["lora_lab.made"])
    assert made["inputs"][0]["sha256"] == file.sha256 and made["options"]["te_ratio"] == 0.0


def test_pickles_and_shards_become_safetensors(tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny.folder("sd1"), base)
    weights = load_file(base / "text_encoder" / "model.safetensors")
    (base / "text_encoder" / "model.safetensors").unlink()
    torch.save(weights, base / "text_encoder" / "pytorch_model.bin")
    whole = load_file(base / "unet" / "diffusion_pytorch_model.safetensors")
    (base / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (base / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"stale")
    stem, keys, table = "diffusion_pytorch_model", sorted(whole), {}
    for number, part in enumerate((keys[::2], keys[1::2]), 1):
        name = f"{stem}-0000{number}-of-00002.safetensors"
        save_file({key: whole[key] for key in part}, base / "unet" / name)
        table.update(dict.fromkeys(part, name))
    index = f"{stem}.safetensors.index.json"
    (base / "unet" / index).write_text(json.dumps({"weight_map": table}))
    file, expected = lora(tmp_path / "x.safetensors", "sd1")
    bake(base, file, tmp_path / "out", (1.0, 1.0), force=False)
    assert sorted(item.name for item in (tmp_path / "out" / "text_encoder").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    assert not (tmp_path / "out" / "unet" / f"{stem}.fp16.safetensors").exists()
    found = extract(tiny.folder("sd1"), tmp_path / "out", Wish(3, 2, min_diff=0.0))
    assert all(error(delta(item), expected[name]) < 1e-4 for name, item in found.result.modules.items())


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _ = lora(tmp_path / "x.safetensors", "sd1")
    output = tmp_path / "out"
    bake(tiny.folder("sd1"), file, output, (1.0, 1.0), force=False)
    before = {item: item.read_bytes() for item in output.rglob("*") if item.is_file()}
    monkeypatch.setattr("lora_lab.loras.bake.rewrite", _full_disk)
    with pytest.raises(Exception, match="No space left"):
        bake(tiny.folder("sd1"), file, output, (2.0, 1.0), force=True)
    assert before == {item: item.read_bytes() for item in output.rglob("*") if item.is_file()}
    monkeypatch.undo()
    bake(tiny.folder("sd1"), file, output, (2.0, 1.0), force=True)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["out", "x.safetensors"]
    assert before != {item: item.read_bytes() for item in output.rglob("*") if item.is_file()}


def _full_disk(*args: object) -> None:
    raise OSError(28, "No space left on device")


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    file, _ = lora(tmp_path / "x.safetensors", "sd1")
    with pytest.raises(ModelError, match=r"is for Stable Diffusion 1\.x, but .* is Stable Diffusion XL"):
        bake(tiny.folder("sdxl"), file, tmp_path / "out", (1.0, 1.0), force=False)
    with pytest.raises(ModelError, match="a difference needs two models of one family"):
        extract(tiny.folder("sd1"), tiny.folder("sd2"), Wish(4))
    with pytest.raises(ModelError, match="do not differ in any weight"):
        extract(tiny.folder("sd1"), tiny.folder("sd1"), Wish(4))
    with pytest.raises(ConfigError, match="--ratio must be a finite number"):
        bake(tiny.folder("sd1"), file, tmp_path / "out", (float("inf"), 1.0), force=False)
    odd = {"lora_unet_odd.lora_down.weight": numbers(2, 3), "lora_unet_odd.lora_up.weight": numbers(3, 2)}
    save_lora(tmp_path / "odd.safetensors", odd, {})
    with pytest.raises(ModelError, match=r"1 of 1 module is not in it \(lora_unet_odd\)"):
        bake(
            tiny.folder("sd1"), read(tmp_path / "odd.safetensors"), tmp_path / "out", (1.0, 1.0), force=False
        )
    name = "lora_unet_conv_in"
    wide = {f"{name}.lora_down.weight": numbers(2, 5, 3, 3), f"{name}.lora_up.weight": numbers(16, 2, 1, 1)}
    save_lora(tmp_path / "wide.safetensors", wide, {})
    with pytest.raises(ModelError, match=r"conv_in does not fit: .*the base model has \(16, 4, 3, 3\)"):
        bake(
            tiny.folder("sd1"), read(tmp_path / "wide.safetensors"), tmp_path / "out", (1.0, 1.0), force=False
        )
    assert not (tmp_path / "out").exists()


def test_a_text_encoder_that_hardly_differs_is_left_out_and_named(tmp_path: Path) -> None:
    file, _ = lora(tmp_path / "x.safetensors", "sd1")
    bake(tiny.folder("sd1"), file, tmp_path / "out", (1.0, 1e-3), force=False)
    found = extract(tiny.folder("sd1"), tmp_path / "out", Wish(3))
    assert found.left_out == ("te",) or found.left_out == ("te1",)
    assert not any("_te" in name for name in found.result.modules)
    assert 0 < found.outside < 1  # the 3x3 convolutions, too


@pytest.mark.parametrize("ratio", [1.0, 0.5])
@pytest.mark.parametrize("side", ["output", "input", "peft"])
def test_dora(side: str, ratio: float) -> None:
    """m (W + dW) / ||W + dW||, by output rows or by input columns."""
    weight, down, up = numbers(6, 5), numbers(2, 5), numbers(6, 2)
    end = weight + up @ down * 0.5
    dim = 0 if side == "input" else 1
    magnitude = numbers(5 if side == "input" else 6, seed=3).abs()
    shape = {"output": (6, 1), "input": (1, 5), "peft": (6,)}[side]
    leaves = {"down": down, "up": up, "alpha": torch.tensor(1.0), "dora_scale": magnitude.reshape(shape)}
    expected = end / end.norm(dim=dim, keepdim=True) * magnitude.reshape((6, 1) if dim else (1, 5))
    found = baked(Module("lora_unet_x", leaves), ratio, weight)
    assert torch.allclose(found, weight + ratio * (expected - weight), atol=1e-5)


@pytest.mark.parametrize("form", ["lora", "dora", "loha", "lokr"])
def test_every_form_that_is_trained_here_is_baked(tmp_path: Path, form: str) -> None:
    """A trained file baked into a folder is the model that training's own merge gives."""
    base, spec = tiny.base("sd1"), AdapterSpec(4, 2.0, conv_dim=2, form=form)
    pack = Pack(base.unet, base.text_encoders, "sd1", [spec])
    pack.occupy(0, spec)
    tensors = {
        key: value if key.endswith(("alpha", "dora_scale")) else 0.2 * numbers(*value.shape, seed=seed)
        for seed, (key, value) in enumerate(pack.export(0).items())
    }
    save_lora(tmp_path / "x.safetensors", tensors, standard_metadata(spec, "sd1", "x"))
    bake(tiny.folder("sd1"), read(tmp_path / "x.safetensors"), tmp_path / "out", (0.5, 0.5), force=False)
    expected, found = tiny.base("sd1"), load(tmp_path / "out")
    merge_into(expected.unet, expected.text_encoders, "sd1", from_tensors(tensors), 0.5)
    pairs = zip([expected.unet, *expected.text_encoders], [found.unet, *found.text_encoders], strict=True)
    for one, other in pairs:
        for key, value in one.state_dict().items():
            assert torch.allclose(other.state_dict()[key], value, atol=1e-5), key


def test_whole_differences() -> None:
    weight, difference = numbers(6, 5, 3, 3), numbers(6, 5, 3, 3, seed=2)
    found = baked(Module("lora_unet_x", {"diff": difference}), 0.5, weight)
    assert torch.allclose(found, weight + difference / 2)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (dict(dim=0), "--dim must be at least 1"),
        (dict(dim=1, conv_dim=0), "--conv-dim must be at least 1"),
        (dict(dim=1, clamp_quantile=0.0), "--clamp-quantile"),
        (dict(dim=1, min_diff=-1.0), "--min-diff must not be negative"),
    ],
)
def test_wishes_that_cannot_be(wish: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Wish(**wish)


@pytest.mark.parametrize("side", ["output", "input"])
@pytest.mark.parametrize("sizes", [(6, 5, 1, 1), (6, 5, 3, 3), (5, 5, 1, 1), (5, 5, 3, 3)])
def test_dora_of_convolutions(side: str, sizes: tuple[int, ...]) -> None:
    """(n, 1, 1, 1) belongs to outputs, (1, n, 1, 1) to inputs; also of a square weight."""
    outputs, inputs, *kernel = sizes
    weight, down, up = numbers(*sizes), numbers(2, inputs, *kernel), numbers(outputs, 2, 1, 1)
    end = weight + torch.einsum("or,rikl->oikl", up.flatten(1), down)
    count, shape, dims = {
        "output": (outputs, (outputs, 1, 1, 1), (1, 2, 3)), "input": (inputs, (1, inputs, 1, 1), (0, 2, 3)),
    }[side]  # fmt: skip
    magnitude = numbers(count, seed=3).abs()
    leaves = {"down": down, "up": up, "dora_scale": magnitude.reshape(shape)}
    expected = end / end.square().sum(dims, keepdim=True).sqrt() * magnitude.reshape(shape)
    assert torch.allclose(baked(Module("lora_unet_x", leaves), 1.0, weight), expected, atol=1e-5)


def test_magnitudes_of_peft_are_of_outputs_in_any_shape(tmp_path: Path) -> None:
    """PEFT stores those of a convolution as (1, n, 1, 1), which LyCORIS means for inputs."""
    key = "unet.down_blocks.0.attentions.0.proj_in"
    weight, down, up = numbers(5, 5, 1, 1), numbers(2, 5, 1, 1), numbers(5, 2, 1, 1)
    magnitude = numbers(5, seed=3).abs()
    tensors = {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up,
               f"{key}.lora_magnitude_vector": magnitude.reshape(1, 5, 1, 1)}  # fmt: skip
    save_file(tensors, tmp_path / "x.safetensors")
    (module,) = read(tmp_path / "x.safetensors").modules.values()
    end = weight + torch.einsum("or,rikl->oikl", up.flatten(1), down)
    expected = end / end.square().sum((1, 2, 3), keepdim=True).sqrt() * magnitude.reshape(5, 1, 1, 1)
    assert torch.allclose(baked(module, 1.0, weight), expected, atol=1e-5)
