"""scale_weight_norms against the reference's numbers and against dense products."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lora_lab.networks.flat_parameters import FlatParameters, plan_layout
from lora_lab.networks.norms import limit_norms
from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import AdapterSpec
from lora_lab.networks.targets import Target

GOLDEN = Path(__file__).parents[1] / "golden" / "scale_weight_norms"
CASES = json.loads((GOLDEN / "report.json").read_text())["cases"]
KOHYA = [case for case in CASES if case.startswith("kohya")]


@pytest.fixture(scope="module")
def tensors():
    return load_file(GOLDEN / "tensors.safetensors")


def filled(case, tensors):
    """Parameters with the case's modules, padded by three ranks and beside a second adapter."""
    ranks = case.split(".")[1]
    linear, conv = ranks.split("_")
    dim, alpha = (float(v) for v in linear[1:].split("a"))
    conv_dim, conv_alpha = (float(v) for v in conv[1:].split("a"))
    spec = AdapterSpec(int(dim), alpha, conv_dim=int(conv_dim), conv_alpha=conv_alpha)
    targets = [
        _target(
            name,
            tensors[f"{case}.before.{name}.lora_down.weight"],
            tensors[f"{case}.before.{name}.lora_up.weight"],
        )
        for name in CASES[case]["modules"]
    ]
    larger = AdapterSpec(int(dim) + 3, alpha, conv_dim=int(conv_dim) + 3, conv_alpha=conv_alpha)
    layout = plan_layout(targets, [spec, larger])
    parameters = FlatParameters(layout.length, 2, torch.device("cpu"), torch.float32, torch.float32)
    for site in layout.sites:
        rank = spec.rank(site.target.kind)
        before = f"{case}.before.{site.target.name}"
        parameters.stacked(parameters.masters, site.down)[1, :rank] = tensors[
            f"{before}.lora_down.weight"
        ].flatten(1)
        parameters.stacked(parameters.masters, site.up)[1, :rank] = (
            tensors[f"{before}.lora_up.weight"].flatten(1).T
        )
    return parameters, layout.sites, spec


def _target(name, down, up):
    if down.dim() == 2:
        module, kind = nn.Linear(down.shape[1], len(up), bias=False), "linear"
    else:
        module = nn.Conv2d(down.shape[1], len(up), down.shape[2:], bias=False)
        kind = "conv1x1" if down.shape[2] == 1 else "conv"
    return Target(name, name, module, "unet", kind, 0)


FP32_SUMS = 1e-5
"""Norms are roots of sums of thousands of fp32 squares, which every CPU adds in an order of its own."""


@pytest.mark.parametrize("case", KOHYA)
def test_agrees_with_the_reference(case, tensors):
    parameters, sites, spec = filled(case, tensors)
    limit = float(case.rsplit("max", 1)[1])
    result, golden = limit_norms(parameters, sites, 1, spec, limit), CASES[case]["returned"]
    assert result.scaled == golden["keys_scaled"]
    assert result.mean == pytest.approx(golden["mean_norm"], rel=FP32_SUMS)
    assert result.max == pytest.approx(golden["max_norm"], rel=FP32_SUMS)
    for site in sites:
        rank, after = spec.rank(site.target.kind), f"{case}.after.{site.target.name}"
        down = parameters.stacked(parameters.masters, site.down)[1, :rank]
        up = parameters.stacked(parameters.masters, site.up)[1, :rank]
        assert torch.allclose(
            down, tensors[f"{after}.lora_down.weight"].flatten(1), rtol=FP32_SUMS, atol=1e-8
        )
        assert torch.allclose(up, tensors[f"{after}.lora_up.weight"].flatten(1).T, rtol=FP32_SUMS, atol=1e-8)
    assert not parameters.masters[0].any()


@pytest.mark.parametrize("case", KOHYA)
def test_measuring_changes_nothing(case, tensors):
    parameters, sites, spec = filled(case, tensors)
    before = parameters.masters.clone()
    result = limit_norms(parameters, sites, 1, spec, None)
    norms = [module["norm_before"] for module in CASES[case]["modules"].values()]
    assert (result.scaled, result.max) == (0, pytest.approx(max(norms), rel=1e-6))
    assert result.mean == pytest.approx(sum(norms) / len(norms), rel=1e-6)
    assert torch.equal(parameters.masters, before)


def test_cancelling_factors_are_measured_exactly():
    """Ups whose columns almost cancel: float32 Gram matrices would lose the norm."""
    target = _target("x", torch.empty(2, 64), torch.empty(48, 2))
    layout = plan_layout([target], [AdapterSpec(2, 2.0)])
    parameters = FlatParameters(layout.length, 1, torch.device("cpu"), torch.float32, torch.float32)
    site = layout.sites[0]
    down, up = (
        parameters.stacked(parameters.masters, site.down)[0],
        parameters.stacked(parameters.masters, site.up)[0],
    )
    down.copy_(torch.randn(1, 64).expand(2, 64))
    up[0] = torch.randn(48)
    up[1] = -up[0] * (1 + 1e-5)
    dense = (up.double().T @ down.double()).norm().item()
    assert limit_norms(parameters, layout.sites, 0, AdapterSpec(2, 2.0), None).max == pytest.approx(
        dense, rel=1e-5
    )


def test_in_a_pack_only_the_run_is_scaled(unet, text_encoder):
    spec = AdapterSpec(4, 4.0)
    pack = Pack(unet, [text_encoder], "sd1", [spec, spec])
    for slot in (0, 1):
        pack.occupy(slot, spec)
    pack.parameters.masters.normal_(0, 0.3)
    mate = pack.parameters.masters[1].clone()
    result = pack.max_norm(0, 0.5)
    assert result.scaled == len(pack.sites(0)) and result.max == 0.5
    assert pack.max_norm(0, None).max == pytest.approx(0.5, rel=1e-5)
    assert torch.equal(pack.parameters.masters[1], mate)
