"""DoRA, LoHa and LoKr against numbers of LyCORIS 4.1.3: outputs, gradients, files, max norm, divisions."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lora_lab.lora_files.keys import split
from lora_lab.networks import file_tensors
from lora_lab.networks.dense import DenseLayer
from lora_lab.networks.flat_parameters import FlatParameters, plan_layout
from lora_lab.networks.forms import SIDES, factorization, initial, low_rank, scale_of, shape_of
from lora_lab.networks.norms import limit_norms
from lora_lab.networks.pack import Pack
from lora_lab.networks.routes import Routes
from lora_lab.networks.spec import AdapterSpec
from lora_lab.networks.targets import Target, kind_of

GOLDEN = Path(__file__).parents[1] / "golden" / "lycoris"
REPORT = json.loads((GOLDEN / "report.json").read_text())
CPU, DOUBLE = torch.device("cpu"), torch.float64
SPECS = {
    "loha r4a2": AdapterSpec(4, 2.0, form="loha"),
    "lokr r2a1 f-1": AdapterSpec(2, 1.0, form="lokr"),
    "lokr r2a1 f4": AdapterSpec(2, 1.0, form="lokr", factor=4),
    "lokr r1a3 f-1 both": AdapterSpec(1, 3.0, form="lokr", decompose_both=True),
    "lokr r100a1 f8": AdapterSpec(100, 1.0, form="lokr", factor=8),
    "dora r3a6 out": AdapterSpec(3, 6.0, form="dora"),
    "dora r3a6 in": AdapterSpec(3, 6.0, form="dora", wd_on_output=False),
}


@pytest.fixture(scope="module")
def golden():
    return load_file(GOLDEN / "tensors.safetensors")


def module_of(name, golden) -> nn.Module:
    weight = golden[f"base.{name}.weight"]
    if weight.dim() == 2:
        module = nn.Linear(weight.shape[1], weight.shape[0])
    else:
        step = {"stride": 2, "padding": 1} if name == "strided" else {"padding": weight.shape[-1] // 2}
        module = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], **step)
    module.weight = nn.Parameter(weight, requires_grad=False)
    module.bias = nn.Parameter(golden[f"base.{name}.bias"], requires_grad=False)
    return module


class Bench:
    """One module with an adapter in slot 1 of 3, in a row made for larger adapters, too."""

    def __init__(self, key: str, golden) -> None:
        case, _, name = key.partition(".")
        self.spec, self.module = SPECS[case], module_of(name, golden)
        target = Target("lora_unet_x", "x", self.module, "unet", kind_of(self.module), 0)
        larger = AdapterSpec(6, 1.0, form=self.spec.form)
        layout = plan_layout([target], [self.spec, larger])
        self.parameters = FlatParameters(layout.length, 3, CPU, DOUBLE, DOUBLE)
        self.sites = list(layout.sites)
        self.routes = Routes(CPU, DOUBLE)
        self.layer = DenseLayer(self.sites[0], self.parameters, self.routes, lambda slot: self.spec)
        self.layer.users = 0b10
        start = f"{key}.file."
        self.file = {
            f"lora_unet_x.{k.removeprefix(start)}": v for k, v in golden.items() if k.startswith(start)
        }
        leaves = {found[1]: value for k, value in self.file.items() if (found := split(k))}
        file_tensors.from_file(self.parameters, self.sites, 1, self.spec, {"lora_unet_x": leaves})

    def exported(self):
        return file_tensors.to_file(self.parameters, self.sites, 1, self.spec, None)


@pytest.mark.parametrize("key", REPORT["cases"])
def test_files_are_the_peers(key, golden):
    """Names, shapes and values; alpha too, which LyCORIS rewrites for whole factors."""
    bench = Bench(key, golden)
    shapes = {f"lora_unet_x.{name}": shape for name, shape in REPORT["cases"][key]["shapes"].items()}
    exported = bench.exported()
    assert {name: list(value.shape) for name, value in exported.items()} == shapes
    for name, value in exported.items():
        assert torch.equal(value, bench.file[name].to(value)), name


@pytest.mark.parametrize("key", REPORT["cases"])
def test_outputs_and_gradients_are_the_peers(key, golden):
    bench, name = Bench(key, golden), key.partition(".")[2]
    x = golden[f"base.{name}.x"].clone().requires_grad_()
    bench.layer.patch.attach()
    bench.routes.set([1, 1], None)
    y = bench.module(x)
    y.backward(golden[f"{key}.g"])
    bench.layer.patch.detach()
    assert (y - golden[f"{key}.y"]).abs().max() < 1e-12
    assert (x.grad - golden[f"{key}.gx"]).abs().max() < 1e-12
    start = f"{key}.grad."
    expected = {f"lora_unet_x.{k.removeprefix(start)}": v for k, v in golden.items() if k.startswith(start)}
    bench.parameters.masters.copy_(bench.parameters.grads)  # the gradients in the shapes of a file
    found = {k: v for k, v in bench.exported().items() if not k.endswith("alpha")}
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert (value - expected[name]).abs().max() < 1e-12, name
    assert not bench.parameters.grads[[0, 2]].any()


@pytest.mark.parametrize("key", REPORT["cases"])
def test_max_norm(key, golden):
    """The norm is the dense one, LoKr's factors are capped as LyCORIS caps them, and the cap holds."""
    bench, case = Bench(key, golden), REPORT["cases"][key]
    assert limit_norms(bench.parameters, bench.sites, 1, bench.spec, None).max == pytest.approx(
        case["norm"], rel=1e-12
    )
    done = limit_norms(bench.parameters, bench.sites, 1, bench.spec, case["limit"])
    assert (done.scaled, done.max) == (1, pytest.approx(case["after"], rel=1e-12))
    if key.startswith("lokr"):
        for name, value in bench.exported().items():
            expected = golden[f"{key}.capped.{name.removeprefix('lora_unet_x.')}"]
            assert torch.allclose(value, expected, rtol=1e-6, atol=0), name  # the peer's ratio is float32
        return
    target, factors = bench.sites[0].target, {}
    for side in SIDES[bench.spec.form]:
        shape = bench.sites[0].shape(side, bench.spec)
        factors[side] = bench.parameters.factor(bench.parameters.masters, bench.sites[0].pieces[side], shape)[
            1:2
        ]
    dense = low_rank(bench.spec.form, factors) * scale_of(target, bench.spec)
    assert (dense - golden[f"{key}.capped_weight"].flatten(1)).abs().max() < 1e-6


def test_factorization():
    for dimension, factor, small, large in REPORT["factorization"]:
        assert factorization(dimension, factor) == (small, large), (dimension, factor)


def test_initial_values_are_without_effect_and_of_the_peers_size(unet, text_encoder):

    for form, stds in (
        ("loha", {"hada_w1_a": 0.1, "hada_w1_b": 1.0, "hada_w2_a": 0.0, "hada_w2_b": 1.0}),
        ("lokr", {"lokr_w1": None, "lokr_w2": 0.0, "lokr_w2_b": 0.0}),
    ):
        spec = AdapterSpec(4, 1.0, form=form, factor=2, seed=3)
        pack = Pack(unet, [text_encoder], "sd1", [spec], compute_dtype=DOUBLE, master_dtype=DOUBLE)
        pack.occupy(0, spec)
        tensors = pack.export(0)
        for leaf, std in stds.items():
            values = torch.cat([t.flatten() for key, t in tensors.items() if key.endswith("." + leaf)])
            if std is None:  # uniform within 1 / sqrt(2), the second factor of 2 being the fan-in
                assert values.abs().max() <= 2**-0.5 and values.std() == pytest.approx(6**-0.5, rel=0.1)
            else:
                assert values.std() == pytest.approx(std, rel=0.05)
        assert pack.max_norm(0, None).max == 0


def test_dora_begins_with_the_base_models_norms(golden):
    bench = Bench("dora r3a6 out.conv", golden)
    target = bench.sites[0].target
    weight = bench.module.weight
    shape = shape_of(target, "magnitude", bench.spec)

    first = initial(target, bench.spec, torch.Generator())["magnitude"].view(shape)
    # Two fp32 sums of squares, added in orders of their own.
    assert torch.allclose(first, weight.float().flatten(1).norm(dim=1).view(shape), rtol=1e-5)
