"""The adapter that a config asks for."""

import pytest

from lora_lab.config import compose
from lora_lab.networks.metadata import standard_metadata
from lora_lab.networks.spec import PRESETS, AdapterSpec
from lora_lab.run.adapter import adapter_spec


def spec_of(*overrides: str) -> AdapterSpec:
    return adapter_spec(
        compose(["base_model=sd15", "base_model.path=m", "dataset.path=p", "train.seed=3", *overrides])
    )


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


def test_metadata_leave_out_dropout_that_does_not_act() -> None:
    acting, silent = (spec_of(f"network={name}", "network.network_dropout=0.1") for name in ("lora", "loha"))
    assert standard_metadata(acting, "sd1", "name")["ss_network_dropout"] == "0.1"
    assert standard_metadata(silent, "sd1", "name")["ss_network_dropout"] == "None"
