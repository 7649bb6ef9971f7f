"""Every kind of LoRA file through all that use one: the same weight difference, or refused by name."""

import ast
import copy
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import lora_lab
from lora_lab import loras
from lora_lab.config import compose
from lora_lab.effective import Facts, resolve
from lora_lab.errors import ModelError
from lora_lab.lora_files import module_names, planned
from lora_lab.lora_files.factors import PRODUCT_LEAVES, delta
from lora_lab.lora_files.fitting import fitted
from lora_lab.lora_files.kinds import BAKED, PRODUCTS
from lora_lab.lora_files.reading import read
from lora_lab.loras.bake import bake
from lora_lab.loras.writing import portable
from lora_lab.models import BaseModel, load
from lora_lab.networks.merging import merge as merge_into
from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import AdapterSpec
from lora_lab.networks.targets import all_targets
from lora_lab.resolved import Resolved
from lora_lab.run.adapter import adapter_spec, merge_base_weights
from tests import tiny
from tests.loras.made import numbers

Tensors = dict[str, Tensor]
Written = tuple[Tensors, dict[str, str]]
SPEC = AdapterSpec(3, 2.0, conv_dim=2, conv_alpha=1.5)
GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "lora_files").glob("in_*.safetensors"))


@cache
def base(family: str) -> BaseModel:
    """A model that no test may change."""
    return tiny.base(family)


@cache
def paths(family: str) -> dict[str, str]:
    own = base(family)
    return {t.name: t.path for t in all_targets(own.unet, own.text_encoders, family)}


@cache
def file(family: str, form: str = "lora", on_output: bool = True) -> Tensors:
    """A trained-looking file as training writes it; numbers that every 8-bit float can hold."""
    spec = AdapterSpec(3, 2.0, conv_dim=2, conv_alpha=1.5, form=form, wd_on_output=on_output)
    own = base(family)
    pack = Pack(own.unet, own.text_encoders, family, [spec])
    pack.occupy(0, spec)
    return {
        key: value
        if key.endswith("alpha")
        else value * 1.5
        if key.endswith("dora_scale")
        else (numbers(*value.shape, seed=seed).clamp(-2, 2) * 4).round() / 32
        for seed, (key, value) in enumerate(sorted(pack.export(0).items()))
    }


def renamed(tensors: Tensors, family: str, spell: Callable[[str, str], str]) -> Tensors:
    """The keys with other names of modules: `spell` gets kohya's name and the dotted path."""
    return {
        f"{spell(name, paths(family)[name])}.{leaf}": tensor
        for key, tensor in tensors.items()
        for name, _, leaf in [key.partition(".")]
    }


def dotted(name: str, path: str, roots: tuple[str, str, str]) -> str:
    part = {"u": 0, "1": 1, "_": 1, "2": 2}[name[len("lora_te")] if name.startswith("lora_te") else "u"]
    inner = path if part == 0 or path.startswith("text_") else f"text_model.{path}"
    return f"{roots[part]}{inner}"


def original(name: str, path: str) -> str:
    """The block names of the first Stable Diffusion, whatever the family."""
    if not name.startswith("lora_unet_"):
        return name
    return "lora_unet_" + module_names.sgm_path(path, module_names.sgm_blocks(base("sd1").unet)).replace(
        ".", "_"
    )


def peft_keys(tensors: Tensors, family: str, roots: tuple[str, str, str]) -> Written:
    """lora_A and lora_B, alphas in diffusers' metadata."""
    found = renamed(tensors, family, lambda name, path: dotted(name, path, roots))
    ends = {"lora_down.weight": "lora_A.weight", "lora_up.weight": "lora_B.weight"}
    kept = {
        f"{key.removesuffix(end)}{new}": tensor
        for key, tensor in found.items()
        for end, new in ends.items()
        if key.endswith(end)
    }
    said = {}
    for part in ("unet", "text_encoder", "text_encoder_2"):
        said |= {f"{part}.r": 3, f"{part}.lora_alpha": 2.0}
        said[f"{part}.rank_pattern"] = {r".*(conv|conv1|conv2)": 2}
        said[f"{part}.alpha_pattern"] = {r".*(conv|conv1|conv2)": 1.5}
    return kept, {"lora_adapter_metadata": json.dumps(said)}


DIFFUSERS = ("unet.", "text_encoder.", "text_encoder_2.")
ONETRAINER = ("unet.", "clip_l.", "clip_g.")
COMFY = ("diffusion_model.", "text_encoder.", "text_encoder_2.")
SPELLINGS: dict[str, Callable[[str], Written]] = {
    "kohya": lambda f: (file(f), {}),
    "fp16": lambda f: ({k: t if t.dim() == 0 else t.half() for k, t in file(f).items()}, {}),
    "fp8": lambda f: ({k: t if t.dim() == 0 else t.to(torch.float8_e4m3fn) for k, t in file(f).items()}, {}),
    "diffusers' blocks": lambda f: (
        renamed(file(f), f, lambda n, p: n if "_te" in n else "lora_unet_" + p.replace(".", "_")), {}),
    "PEFT in diffusers": lambda f: peft_keys(file(f), f, DIFFUSERS),
    "diffusers, dots": lambda f: (renamed(file(f), f, lambda n, p: dotted(n, p, DIFFUSERS)), {}),
    "OneTrainer": lambda f: (renamed(file(f), f, lambda n, p: dotted(n, p, ONETRAINER)), {}),
    "ComfyUI": lambda f: (renamed(file(f), f, lambda n, p: dotted(n, p, COMFY)), {}),
    "LyCORIS": lambda f: (
        renamed(file(f), f, lambda n, p: n if "_te" in n else "lycoris_" + p.replace(".", "_")), {}),
    "te1": lambda f: ({k.replace("lora_te_", "lora_te1_"): t for k, t in file(f).items()}, {}),
}  # fmt: skip
CASES = [(f, s) for f in ("sd1", "sd2", "sdxl") for s in SPELLINGS] + [("sd1", "input_blocks")]
SPELLINGS["input_blocks"] = lambda f: (renamed(file(f), f, original), {})


def plain(family: str) -> Tensors:
    """The weight difference of every module by the plain formula, float64."""
    found = {}
    for key, down in file(family).items():
        name, _, leaf = key.partition(".")
        if leaf == "lora_down.weight":
            up = file(family)[f"{name}.lora_up.weight"].double().flatten(1)
            scale = float(file(family)[f"{name}.alpha"]) / len(down)
            found[name] = scale * up @ down.double().flatten(1)
    return found


def changes(before: BaseModel, after: BaseModel, family: str) -> Tensors:
    """What every module's weight has gained; modules that are as they were are left out."""
    ends = [
        {t.name: t.module.weight for t in all_targets(m.unet, m.text_encoders, family)}
        for m in (before, after)
    ]
    found = {name: (ends[1][name] - weight).detach().double().flatten(1) for name, weight in ends[0].items()}
    return {name: change for name, change in found.items() if bool(change.any())}


def same(found: Tensors, expected: Tensors, tolerance: float = 3e-6) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert float((value.flatten(1) - expected[name]).abs().max()) < tolerance, name


@pytest.mark.parametrize(("family", "spelling"), CASES)
def test_every_user_sees_the_same_lora(tmp_path: Path, family: str, spelling: str) -> None:
    expected = plain(family)
    path = tmp_path / "x.safetensors"
    tensors, metadata = SPELLINGS[spelling](family)
    version = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}[family]
    save_file(
        {k: t.contiguous() for k, t in tensors.items()}, path, metadata | {"ss_base_model_version": version}
    )
    got = read(path)
    assert (got.family, len(got.modules)) == (family, len(expected))
    assert planned.form(path) == "lora" and planned.identity(path)

    merged = copy.deepcopy(base(family))  # network.base_weights
    config = compose([f"base_model={'sdxl' if family == 'sdxl' else 'sd15'}", "base_model.path=m",
                      "dataset.path=p", f"network.base_weights=['{path}']"])  # fmt: skip
    merge_base_weights(merged, resolve(config, Facts()).network)
    same(changes(base(family), merged, family), expected)

    pack = Pack(base(family).unet, base(family).text_encoders, family, [SPEC])  # network_weights, previews
    pack.occupy(0, SPEC)
    pack.load(0, got)
    for key, tensor in pack.export(0).items():
        assert torch.allclose(tensor, file(family)[key].to(tensor), rtol=1e-6), key

    spec = adapter_spec(from_weights(path), base(family))
    assert spec.modules == {
        name: (2, 1.5) if file(family)[f"{name}.lora_down.weight"].shape[0] == 2 else (3, 2.0)
        for name in expected
    }

    results = [
        loras.merge([got], [1.0]),
        loras.resize(got, loras.Ranks(3)),
        loras.svd_merge([got], [1.0], loras.Ranks(3)),
    ]
    # Without the base model, only a public model's blocks can be counted: each module keeps its own spelling.
    spelled = {module.name: module.spelled for module in got.modules.values()}
    known = fitted(got, paths(family), family, base(family).unet)
    own = {spelled[module.name]: name for name, module in known.items()}
    for result in results:
        found = {own[spelled[name]]: delta(item).double() for name, item in result.modules.items()}
        same(found, expected)
    assert loras.info(got).kinds == {"LoRA": len(expected)} and not loras.info(got).limits
    stored = portable(got)
    assert stored.keys() == tensors.keys()


@pytest.mark.parametrize("spelling", ["kohya", "fp8", "PEFT in diffusers", "OneTrainer", "input_blocks"])
def test_baking_sees_it_too(tmp_path: Path, spelling: str) -> None:
    tensors, metadata = SPELLINGS[spelling]("sd1")
    metadata |= {"ss_base_model_version": "sd_v1"}
    save_file({k: t.contiguous() for k, t in tensors.items()}, tmp_path / "x.safetensors", metadata)
    bake(tiny.folder("sd1"), read(tmp_path / "x.safetensors"), tmp_path / "out", (1.0, 1.0), force=False)
    same(changes(base("sd1"), load(tmp_path / "out"), "sd1"), plain("sd1"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_recorded_files_go_through_all_verbs(path: Path) -> None:
    got = read(path)
    merged = loras.merge([got], [1.0]).modules
    sized = loras.resize(got, loras.Ranks(64)).modules
    assert merged.keys() == sized.keys() == got.modules.keys()
    for name, item in merged.items():
        leaves = got.modules[name].leaves
        up, down = leaves["up"].double().flatten(1), leaves["down"].double().flatten(1)
        expected = up @ down * float(leaves["alpha"]) / len(down)
        for found in (item, sized[name]):
            assert float((delta(found).double().flatten(1) - expected).norm()) <= 2e-6 * float(
                expected.norm()
            )
    assert load_file(path).keys() == portable(got).keys() and not loras.info(got).limits


LINEAR = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
CONV = "lora_unet_down_blocks_0_resnets_0_conv1"


def rest(kind: str) -> Tensors:
    """What files hold beside a LoRA."""
    return {
        "norms": {"lora_unet_down_blocks_0_resnets_0_norm1.w_norm": numbers(16),
                  "lora_unet_down_blocks_0_resnets_0_norm1.b_norm": numbers(16)},
        "IA3": {f"{LINEAR}.weight": numbers(16, 1), f"{LINEAR}.on_input": torch.tensor(False)},
        "OFT": {f"{LINEAR}.oft_blocks": numbers(2, 8, 8)},
        "GLoRA": {f"{LINEAR}.{leaf}.weight": numbers(2, 2) for leaf in ("a1", "a2", "b1", "b2")},
        "embeddings": {"bundle_emb.person.string_to_param": numbers(2, 24)},
        "SDXL embeddings": {f"bundle_emb.person.clip_{end}": numbers(2, 24) for end in "lg"},
        "more": {"training.step": numbers(1)},
        # Beside a LoRA in one and the same module.
        "OFT in a LoRA": {f"{CONV}.oft_blocks": numbers(2, 8, 8)},
        "rescale in a LoRA": {f"{CONV}.rescale": numbers(16, 1)},
        "GLoRA in a LoRA": {f"{CONV}.bm.weight": numbers(16, 16)},
        "norm in a LoRA": {f"{CONV}.w_norm": numbers(16)},
        "BOFT": {f"{LINEAR}.oft_blocks": numbers(2, 2, 8, 8), f"{LINEAR}.alpha": torch.tensor(1.0)},
    }[kind]  # fmt: skip


def from_weights(path: Path) -> Resolved:
    """A run that takes its dims from a file."""
    words = ["base_model=sd15", "base_model.path=m", "dataset.path=p", "network.dim_from_weights=true"]
    return resolve(compose([*words, f"network.network_weights='{path}'"]), Facts())


KINDS = {"norms": "norm differences", "IA3": "IA3", "OFT": "OFT", "GLoRA": "GLoRA",
         "embeddings": "embeddings",
         "SDXL embeddings": "embeddings", "more": "tensors of no module",
         "OFT in a LoRA": "OFT", "rescale in a LoRA": "OFT", "GLoRA in a LoRA": "GLoRA",
         "norm in a LoRA": "norm differences", "BOFT": "OFT"}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_rest_is_named_and_can_be_left_out(tmp_path: Path, kind: str) -> None:
    tensors = {k: t for k, t in file("sd1").items() if LINEAR not in k} | rest(kind)
    save_file(tensors, tmp_path / "x.safetensors", {"ss_base_model_version": "sd_v1"})
    got = read(tmp_path / "x.safetensors")
    assert loras.info(got).limits == {"": [KINDS[kind]]}
    model = copy.deepcopy(base("sd1"))
    pack = Pack(base("sd1").unet, base("sd1").text_encoders, "sd1", [SPEC])
    pack.occupy(0, SPEC)
    takers: dict[str, Callable[[], object]] = {
        "merge": lambda: loras.merge([got], [1.0]),
        "svd-merge": lambda: loras.svd_merge([got], [1.0], loras.Ranks(3)),
        "resize": lambda: loras.resize(got, loras.Ranks(3)),
        "bake": lambda: bake(tiny.folder("sd1"), got, tmp_path / "out", (1.0, 1.0), force=False),
        "base_weights": lambda: merge_into(model.unet, model.text_encoders, "sd1", got, 1.0),
        "base_weights, planned": lambda: planned.refuse_untaken(got.path, "base_weights"),
        "network_weights, previews": lambda: pack.load(0, got),
        "network_weights, planned": lambda: planned.refuse_untaken(got.path, "network_weights"),
        "dim_from_weights": lambda: adapter_spec(from_weights(got.path), base("sd1")),
    }
    for taker, take in takers.items():
        with pytest.raises(ModelError, match="--leave-out-rest") as refused:
            take()
        name = "person" if "embeddings" in kind else "training.step" if kind == "more" else KINDS[kind]
        assert name in str(refused.value), taker
    assert not (tmp_path / "out").exists()
    assert not changes(base("sd1"), model, "sd1")
    expected = {name: value for name, value in plain("sd1").items() if name != LINEAR}
    less = got.only(PRODUCTS, PRODUCT_LEAVES)
    assert list(less.left_out) == [KINDS[kind]]
    same({n: delta(item).double() for n, item in loras.merge([less], [1.0]).modules.items()}, expected)
    merge_into(model.unet, model.text_encoders, "sd1", got.only(BAKED), 1.0)
    same(changes(base("sd1"), model, "sd1"), expected)


def test_two_formulas_in_one_module_are_no_file_of_either(tmp_path: Path) -> None:
    hada = {f"{LINEAR}.hada_w{side}": numbers(16, 2) if side[1] == "a" else numbers(2, 16)
            for side in ("1_a", "1_b", "2_a", "2_b")}  # fmt: skip
    save_file(file("sd1") | hada, tmp_path / "x.safetensors", {"ss_base_model_version": "sd_v1"})
    got = read(tmp_path / "x.safetensors")
    assert loras.info(got).limits == {"": ["LoHa and LoRA in one module"]}
    for take in (
        lambda: loras.merge([got], [1.0]),
        lambda: bake(tiny.folder("sd1"), got, tmp_path / "out", (1.0, 1.0), force=False),
        lambda: planned.refuse_untaken(got.path, "base_weights"),
    ):
        with pytest.raises(ModelError, match="LoHa and LoRA in one module"):
            take()
    for take in (
        lambda: adapter_spec(from_weights(got.path), base("sd1")),
        lambda: planned.refuse_untaken(got.path, "network_weights"),
    ):
        with pytest.raises(ModelError, match=LINEAR):
            take()


def test_full_differences_and_biases_act_where_they_can(tmp_path: Path) -> None:
    """LyCORIS' full networks have `.diff` alone."""
    path = tmp_path / "x.safetensors"
    save_file({f"{LINEAR}.diff": numbers(16, 16), f"{CONV}.diff_b": numbers(16)}, path,
              {"ss_base_model_version": "sd_v1"})  # fmt: skip
    got = read(path)
    assert loras.info(got).limits == {"bake": ["full weight differences", "bias differences"]}
    with pytest.raises(ModelError, match=r"`lora-lab lora bake` puts such a file into a base model"):
        loras.resize(got, loras.Ranks(2))
    bake(tiny.folder("sd1"), got, tmp_path / "out", (0.5, 1.0), force=False)
    merged = copy.deepcopy(base("sd1"))
    merge_into(merged.unet, merged.text_encoders, "sd1", got, 0.5)
    for model in (merged, load(tmp_path / "out")):
        same(changes(base("sd1"), model, "sd1"), {LINEAR: 0.5 * numbers(16, 16).double()})
        start, end = (m.unet.down_blocks[0].resnets[0].conv1.bias for m in (base("sd1"), model))
        assert torch.allclose(end - start, 0.5 * numbers(16), atol=1e-6)


@pytest.mark.parametrize("name", ["lora_te2_text_projection", "text_encoder_2.text_projection",
                                  "clip_g.text_projection",
                                  "lora_te2_text_model_text_projection"])  # fmt: skip
def test_the_projection_of_sdxls_second_encoder(tmp_path: Path, name: str) -> None:
    outputs, inputs = base("sdxl").text_encoders[1].text_projection.weight.shape
    down, up = numbers(2, inputs), numbers(outputs, 2)
    save_file({f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}, tmp_path / "x.safetensors")
    got = read(tmp_path / "x.safetensors")
    bake(tiny.folder("sdxl"), got, tmp_path / "out", (1.0, 1.0), force=False)
    merged = copy.deepcopy(base("sdxl"))
    merge_into(merged.unet, merged.text_encoders, "sdxl", got, 1.0)
    for model in (merged, load(tmp_path / "out")):
        start, end = (m.text_encoders[1].text_projection.weight for m in (base("sdxl"), model))
        assert torch.allclose(end - start, up @ down, atol=1e-5)


@pytest.mark.parametrize(
    ("module", "title"),
    [
        ("lora_unet_double_blocks_0_img_attn_qkv", "Flux"),
        ("transformer.single_transformer_blocks.0.attn.to_q", "Flux"),
        ("base_model.model.transformer_blocks.0.attn.add_q_proj", "Stable Diffusion 3"),
        ("lora_unet_joint_blocks_3_x_block_attn_qkv", "Stable Diffusion 3"),
        ("diffusion_model.layers.0.attention.to_q", "Z-Image"),
        ("lora_unet_noise_refiner_0_attention_qkv", "Z-Image"),
        ("lora_unet_blocks_0_attn1_Wqkv", "Hunyuan-DiT"),
        ("transformer.transformer_blocks.0.img_mlp.net.2", "Qwen-Image"),
        ("diffusion_model.blocks.0.self_attn.q", "Wan"),
        ("lora_te3_encoder_block_0_layer_0_SelfAttention_q", "T5"),
        ("controlnet_cond_embedding_blocks_0", "part that is not known here"),
        ("clip_h.text_model.encoder.layers.0.mlp.fc1", "part that is not known here"),
        ("lora_prior_te_text_model_encoder_layers_0", "Stable Cascade"),
    ],
)
def test_loras_for_other_models_are_named(tmp_path: Path, module: str, title: str) -> None:
    path = tmp_path / "x.safetensors"
    save_file({f"{module}.lora_down.weight": numbers(2, 4), f"{module}.lora_up.weight": numbers(4, 2)}, path)
    for use in (read, planned.identity):
        with pytest.raises(ModelError, match=re.escape(title)):
            use(path)


def test_one_place_opens_lora_files() -> None:
    """Whoever wants a LoRA takes what `read` gives; base models and caches have readers of their own."""
    package = Path(lora_lab.__file__).parent
    openers, readers = set(), set()
    for source in package.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                taken = {item.name for item in node.names}
                where = str(source.relative_to(package))
                if node.module.startswith("safetensors") and taken & {"safe_open", "load_file", "load"}:
                    openers.add(where)
                if node.module == "lora_lab.lora_files.disk" and "read_lora" in taken:
                    readers.add(where)
    assert openers == {"lora_files/disk.py", "data/cache.py"}
    # Who takes a checkpoint over from a longer run copies its tensors as they are.
    assert readers == {"lora_files/reading.py", "run/following.py"}


def test_fitting_names_a_module_that_is_there_twice(tmp_path: Path) -> None:
    twice = (LINEAR, original(LINEAR, paths("sd1")[LINEAR]))
    both = {f"{name}.lora_{side}.weight": numbers(2, 16) if side == "down" else numbers(16, 2)
            for name in twice for side in ("down", "up")}  # fmt: skip
    save_file(both, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="twice, in two spellings"):
        fitted(read(tmp_path / "x.safetensors"), paths("sd1"), "sd1")


def test_alphas_in_the_metadata_act_in_every_user(tmp_path: Path) -> None:
    """r 8, lora_alpha 32: four times what the tensors alone say."""
    path, module = tmp_path / "x.safetensors", paths("sd1")[LINEAR]
    down, up = 0.1 * numbers(8, 16), 0.1 * numbers(16, 8)
    said = {"ss_base_model_version": "sd_v1",
            "lora_adapter_metadata": json.dumps({"unet.r": 8, "unet.lora_alpha": 32})}  # fmt: skip
    save_file({f"unet.{module}.lora_A.weight": down, f"unet.{module}.lora_B.weight": up}, path, said)
    expected = {LINEAR: 4 * up.double() @ down.double()}
    got = read(path)
    merged = copy.deepcopy(base("sd1"))
    merge_into(merged.unet, merged.text_encoders, "sd1", got, 1.0)
    bake(tiny.folder("sd1"), got, tmp_path / "out", (1.0, 1.0), force=False)
    for model in (merged, load(tmp_path / "out")):
        same(changes(base("sd1"), model, "sd1"), expected, 1e-5)
    for result in (loras.merge([got], [1.0]), loras.resize(got, loras.Ranks(8))):
        same({name: delta(item).double() for name, item in result.modules.items()}, expected, 1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("leaf", ["lora_up.weight", "lora_down.weight", "alpha"])
def test_numbers_that_are_none_are_refused_by_the_one_reader(tmp_path: Path, leaf: str, value: float) -> None:
    """`info`, the verbs, base_weights and network_weights all take what `read` gives."""
    path, key = tmp_path / "x.safetensors", f"{LINEAR}.{leaf}"
    tensors = dict(file("sd1"))
    tensors[key] = torch.full_like(tensors[key], value)
    save_file(tensors, path, {"ss_base_model_version": "sd_v1"})
    with pytest.raises(ModelError, match=LINEAR) as refused:
        read(path)
    assert str(path) in str(refused.value)
    words = ["base_model=sd15", "base_model.path=m", "dataset.path=p", f"network.base_weights=['{path}']"]
    before = copy.deepcopy(base("sd1"))
    with pytest.raises(ModelError, match=f"network.base_weights={re.escape(str(path))}: .*{LINEAR}"):
        merge_base_weights(before, resolve(compose(words), Facts()).network)
    assert not changes(base("sd1"), before, "sd1")
    with pytest.raises(ModelError, match=LINEAR):
        adapter_spec(from_weights(path), base("sd1"))


def test_the_projection_can_be_trained_on(tmp_path: Path) -> None:
    """The rest of 6.4's "refused without need": `dim_from_weights` takes it, too."""
    outputs, inputs = base("sdxl").text_encoders[1].text_projection.weight.shape
    name, path = "lora_te2_text_projection", tmp_path / "x.safetensors"
    tensors = {f"{name}.lora_down.weight": numbers(2, inputs), f"{name}.lora_up.weight": numbers(outputs, 2),
               f"{name}.alpha": torch.tensor(1.0)}  # fmt: skip
    save_file(tensors, path, {"ss_base_model_version": "sdxl_base_v1-0"})
    spec = adapter_spec(from_weights(path), base("sdxl"))
    assert spec.modules == {name: (2, 1.0)}
    usual = Pack(base("sdxl").unet, base("sdxl").text_encoders, "sdxl", [AdapterSpec(4, 1.0)])
    usual.occupy(0, AdapterSpec(4, 1.0))
    with pytest.raises(ModelError, match=f"{name}: not a module of this .*network.dim_from_weights=true"):
        usual.load(0, read(path))
    pack = Pack(base("sdxl").unet, base("sdxl").text_encoders, "sdxl", [spec])
    pack.occupy(0, spec)
    pack.load(0, read(path))
    again = pack.export(0)
    assert again.keys() == tensors.keys() and all(torch.equal(again[key], tensors[key]) for key in tensors)
