"""The adapter that a config asks for."""

import copy
from functools import cache
from pathlib import Path

import pytest
import torch

from lora_lab.config import compose
from lora_lab.effective import Facts, Resolved, resolve
from lora_lab.errors import ModelError
from lora_lab.lora_files.disk import save_lora
from lora_lab.models import BaseModel
from lora_lab.networks.metadata import standard_metadata
from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import PRESETS, AdapterSpec
from lora_lab.run.adapter import adapter_spec, merge_base_weights
from tests import tiny


@cache
def base() -> BaseModel:
    """A float64 model that no test may change."""
    return tiny.base("sd1", dtype=torch.float64)


def resolved_of(*overrides: str) -> Resolved:
    config = compose(["base_model=sd15", "base_model.path=m", "dataset.path=p", "train.seed=3", *overrides])
    return resolve(config, Facts())


def spec_of(*overrides: str) -> AdapterSpec:
    return adapter_spec(resolved_of(*overrides), base())


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_chosen(preset: str) -> None:
    assert spec_of(f"network.preset={preset}").preset == preset


@pytest.mark.parametrize(
    "overrides, form, conv_dim",
    [
        (["network.conv_dim=4"], "lora", 0),
        (["network.type=locon"], "lora", 32),
        (["network.type=locon", "network.conv_dim=4"], "lora", 4),
        (["network=loha"], "loha", 0),
        (["network=lokr", "network.conv_dim=4"], "lokr", 4),
        (["network=dora", "network.conv_dim=2"], "dora", 2),
    ],
)
def test_type_decides_form_and_convolutions(overrides: list[str], form: str, conv_dim: int) -> None:
    spec = spec_of(*overrides)
    assert (spec.form, spec.conv_dim) == (form, conv_dim)


def test_alpha_of_convolutions_is_that_of_the_rest_unless_given() -> None:
    assert spec_of("network=dora", "network.conv_dim=2").alpha("conv") == 8
    assert spec_of("network=dora", "network.conv_dim=2", "network.conv_alpha=1").alpha("conv") == 1


def test_settings_of_forms_arrive() -> None:
    lokr = spec_of("network=lokr", "network.factor=4", "network.decompose_both=true")
    assert (lokr.factor, lokr.decompose_both) == (4, True)
    assert spec_of("network=dora", "network.wd_on_output=true").wd_on_output
    assert not spec_of("network=dora").wd_on_output


@pytest.mark.parametrize(
    "overrides, module, args",
    [
        ([], "networks.lora", "{}"),
        (["network=loha"], "lycoris.kohya", '{"algo": "loha", "preset": "attn-mlp"}'),
        (
            ["network=lokr", "network.preset=full", "network.rank_dropout=0.1"],
            "lycoris.kohya",
            '{"algo": "lokr", "preset": "full", "factor": "8", "decompose_both": "False", '
            '"rank_dropout": "0.1"}',
        ),
        (
            ["network=dora"],
            "lycoris.kohya",
            '{"algo": "locon", "preset": "attn-mlp", "dora_wd": "True", "wd_on_output": "False"}',
        ),
    ],
)
def test_metadata_say_what_would_make_the_same_network(overrides: list[str], module: str, args: str) -> None:
    texts = standard_metadata(spec_of(*overrides), "sd1", "name")
    assert (texts["ss_network_module"], texts["ss_network_args"]) == (module, args)


def test_metadata_name_the_rates_of_blocks() -> None:
    args = standard_metadata(spec_of("network.mid_lr_weight='0.5'"), "sd1", "name")["ss_network_args"]
    ones = ",".join(["1.0"] * 12)
    assert args == f'{{"down_lr_weight": "{ones}", "mid_lr_weight": "0.5", "up_lr_weight": "{ones}"}}'


def test_metadata_leave_out_dropout_that_does_not_act() -> None:
    acting, silent = (spec_of(f"network={name}", "network.network_dropout=0.1") for name in ("lora", "loha"))
    assert standard_metadata(acting, "sd1", "name")["ss_network_dropout"] == "0.1"
    assert standard_metadata(silent, "sd1", "name")["ss_network_dropout"] == "None"


FORMS = {
    "lora": AdapterSpec(4, 2.0, conv_dim=2, seed=1),
    "loha": AdapterSpec(3, 2.0, conv_dim=2, seed=2, form="loha"),
    "lokr": AdapterSpec(2, 1.0, conv_dim=1, seed=3, form="lokr", factor=4),
    "dora": AdapterSpec(4, 2.0, preset="full", seed=4, form="dora"),
    "dora of inputs": AdapterSpec(4, 2.0, seed=5, form="dora", wd_on_output=False),
}


def trained(name: str, path: Path) -> dict[str, torch.Tensor]:
    """A file with weights as after some training, in `path`."""
    spec, dtype = FORMS[name], torch.float64
    pack = Pack(base().unet, base().text_encoders, "sd1", [spec], compute_dtype=dtype, master_dtype=dtype)
    pack.occupy(0, spec)
    generator = torch.Generator().manual_seed(9)
    pack.parameters.masters += 0.05 * torch.randn(
        pack.parameters.masters.shape, generator=generator, dtype=dtype
    )
    tensors = pack.export(0)
    save_lora(path, tensors, standard_metadata(spec, "sd1", name))
    return tensors


def predicted(model: BaseModel) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    hidden = model.text_encoders[0](torch.arange(8)[None]).last_hidden_state
    noisy = torch.randn(1, model.unet.config.in_channels, 8, 8, generator=g, dtype=torch.float64)
    return model.unet(noisy, torch.tensor([500]), hidden).sample


@pytest.mark.parametrize("name", FORMS)
def test_merged_files_act_as_adapters_do(name: str, tmp_path: Path) -> None:
    """A file merged at strength 0.6 gives the images that the adapter gives at strength 0.6."""
    file, spec, dtype = tmp_path / "a.safetensors", FORMS[name], torch.float64
    tensors = trained(name, file)
    merged = copy.deepcopy(base())
    merge_base_weights(
        merged, resolved_of(f"network.base_weights=[{file}]", "network.base_weights_multiplier=[0.6]").network
    )
    pack = Pack(base().unet, base().text_encoders, "sd1", [spec], compute_dtype=dtype, master_dtype=dtype)
    pack.occupy(0, spec)
    pack.load(0, tensors)
    plain = predicted(base())
    pack.attach().route([0], [0.6])
    adapted = predicted(base())
    pack.detach()
    assert (adapted - plain).abs().max() > 1e-4
    assert torch.allclose(predicted(merged), adapted, rtol=0, atol=1e-9)
    assert merged.text_identity != base().text_identity and merged.identity == base().identity


def test_several_files_merge_in_turn_and_multipliers_default_to_one(tmp_path: Path) -> None:
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for file, name in zip(files, ("lora", "loha"), strict=True):
        trained(name, file)
    one, two = copy.deepcopy(base()), copy.deepcopy(base())
    listed = ",".join(map(str, files))
    merge_base_weights(
        one, resolved_of(f"network.base_weights=[{listed}]", "network.base_weights_multiplier=[-1]").network
    )
    merge_base_weights(
        two, resolved_of(f"network.base_weights=[{files[0]}]", "network.base_weights_multiplier=[-1]").network
    )
    merge_base_weights(two, resolved_of(f"network.base_weights=[{files[1]}]").network)
    assert torch.equal(predicted(one), predicted(two))


def test_a_file_of_another_model_is_not_merged(tmp_path: Path) -> None:
    file, model = tmp_path / "a.safetensors", copy.deepcopy(base())
    tensors = trained("lora", file)
    key = "lora_unet_mid_block_attentions_0_proj_in.lora_up.weight"
    odd = {f"lora_unet_odd.lora_{side}.weight": torch.ones(2, 2) for side in ("up", "down")}
    for wrong, message in (
        (odd, "1 module of the LoRA is not in the base model"),
        ({key: tensors[key][:-1]}, "the base model has"),
    ):
        save_lora(file, {**tensors, **wrong}, {})
        with pytest.raises(ModelError, match=message) as caught:
            merge_base_weights(model, resolved_of(f"network.base_weights=[{file}]").network)
        assert f"network.base_weights={file}" in str(caught.value)
        assert torch.equal(predicted(model), predicted(base()))


@pytest.mark.parametrize("name", FORMS)
def test_dims_from_a_file(name: str, tmp_path: Path) -> None:
    """The run has the file's modules, dims and alphas, whatever the config says, and begins as the file."""
    file, dtype = tmp_path / "a.safetensors", torch.float64
    tensors = trained(name, file)
    fewer = {key: value for key, value in tensors.items() if "to_k" not in key}
    save_lora(file, fewer, {})
    type_ = [f"network.type={FORMS[name].form}", f"network.factor={FORMS[name].factor}"]
    overrides = [f"network.network_weights={file}", "network.dim_from_weights=true", "network.network_dim=64"]
    output = f"network.wd_on_output={FORMS[name].wd_on_output}"
    spec = spec_of(*type_, *overrides, output)
    mate = AdapterSpec(8, 1.0, form=spec.form)
    pack = Pack(
        base().unet, base().text_encoders, "sd1", [spec, mate], compute_dtype=dtype, master_dtype=dtype
    )
    pack.occupy(0, spec)
    pack.load(0, fewer)
    again = pack.export(0)
    assert again.keys() == fewer.keys()
    # The alpha of whole factors has no effect.
    whole = {key.removesuffix("lokr_w2") + "alpha" for key in fewer if key.endswith(".lokr_w2")}
    assert all(torch.equal(again[key], fewer[key]) for key in fewer.keys() - whole)


def test_dims_may_differ_from_module_to_module(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    tensors = trained("lora", file)
    name = "lora_unet_mid_block_attentions_0_proj_in"
    tensors[f"{name}.lora_down.weight"] = tensors[f"{name}.lora_down.weight"][:1]
    tensors[f"{name}.lora_up.weight"] = tensors[f"{name}.lora_up.weight"][:, :1]
    del tensors[f"{name}.alpha"]
    save_lora(file, tensors, {})
    spec = spec_of(f"network.network_weights={file}", "network.dim_from_weights=true")
    assert spec.modules is not None and spec.modules[name] == (1, 1.0)
    assert (spec.network_dim, spec.conv_dim) == (4, 2)
    texts = standard_metadata(spec, "sd1", "name")
    assert (texts["ss_network_dim"], texts["ss_network_alpha"]) == ("Dynamic", "Dynamic")
    pack = Pack(base().unet, base().text_encoders, "sd1", [spec])
    pack.occupy(0, spec)
    pack.load(0, tensors)
    assert pack.export(0)[f"{name}.lora_down.weight"].shape[0] == 1
    for layout in ("flat", "stacked", "tensors"):
        assert pack.param_groups(0, layout)


def test_dims_of_a_file_of_another_family_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_lora(file, {f"lora_unet_x.lora_{side}.weight": torch.ones(2, 2) for side in ("up", "down")}, {})
    with pytest.raises(ModelError, match="1 of its modules are not in the base model"):
        spec_of(f"network.network_weights={file}", "network.dim_from_weights=true")
