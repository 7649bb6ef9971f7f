"""A family of flows, added by its row alone: trained, previewed, resumed and packed through the one loop."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from lora_lab.config import compose
from lora_lab.effective import Facts, resolve
from lora_lab.lora_files.disk import read_lora
from lora_lab.models import identify, load
from lora_lab.store import read_record
from tests import flow_family
from tests.run.bench import Bench, Stop


@pytest.fixture(autouse=True)
def family() -> Iterator[None]:
    with flow_family.registered():
        yield


FP32 = "train.save_precision=fp32"
FLOW = ("preview.sampler=euler", "preview.flow_shift=3", "loss.flow_shift=2", "optimizer=adamw", FP32)
HUBER = ("loss.loss_type=huber", "loss.huber_schedule=exponential")
QUICK = ("preview.seeds=[]", "train.max_train_steps=3", FP32)
LAYERS = ("to_hidden", "to_text", "to_out")
ROWS = {
    "a": FLOW,
    "b": (*FLOW, "loss.timestep_sampling=uniform", "network.network_dim=4", "train.train_batch_size=2"),
    "c": (*FLOW, "network.train_text_encoder=false", *HUBER),
}


@pytest.fixture
def bench(images: Path, cache: Path, tmp_path: Path) -> Bench:
    return Bench(images, cache, tmp_path / "results" / "sweep", flow_family.folder())


def weights(bench: Bench, name: str) -> dict[str, torch.Tensor]:
    folder = bench.sweep.run(name)
    record = read_record(folder)
    assert record.status == "done", record.reason
    return read_lora(folder.path / record.checkpoints[-1].file)[0]


def test_it_is_known_by_its_row() -> None:
    found = identify(flow_family.folder())
    assert (found.family, found.prediction_type, found.zero_terminal_snr) == (
        "linear",
        "flow_prediction",
        False,
    )
    base = load(flow_family.folder())
    assert type(base.unet) is flow_family.LinearFlow
    assert (base.process().name, base.betas.numel()) == ("flow", 0)


def test_trained_and_previewed(bench: Bench) -> None:
    folder = bench.write("a", *ROWS["a"])
    bench.work([folder])
    record = read_record(folder)
    assert (record.status, record.notes) == ("done", []), (record.reason, record.notes)
    tensors, metadata = read_lora(folder.path / record.checkpoints[-1].file)
    assert {name.split(".")[0] for name in tensors if name.startswith("lora_unet")} == {
        f"lora_unet_blocks_{number}_{layer}"
        for number in range(3)
        for layer in ("to_hidden", "to_text", "to_out")
    }
    assert any(name.startswith("lora_te_text_model_") for name in tensors)
    assert all(tensor.abs().max() > 0 for name, tensor in tensors.items() if name.endswith("lora_up.weight"))
    assert metadata["ss_base_model_version"] == "linear_v1"
    assert metadata["modelspec.architecture"] == "linear-v1/lora"
    assert "modelspec.prediction_type" not in metadata
    (preview,) = record.checkpoints[-1].previews
    image = Image.open(folder.path / preview.file)
    assert image.size == (32, 32)
    assert image.getextrema() != ((0, 0),) * 3


@pytest.mark.slow
def test_packed_equals_alone(bench: Bench) -> None:
    bench.work([bench.write(name, *row) for name, row in ROWS.items()])
    together = {name: weights(bench, name) for name in ROWS}
    for name, row in ROWS.items():
        bench.work([bench.write(f"{name}-alone", *row)])
        alone = weights(bench, f"{name}-alone")
        assert together[name].keys() == alone.keys()
        for key, tensor in alone.items():
            torch.testing.assert_close(together[name][key], tensor, rtol=1e-4, atol=1e-5)


def test_resumed_equals_uninterrupted(bench: Bench) -> None:
    states = ("train.save_state_every_n_steps=3", "preview.seeds=[]")
    bench.work([bench.write("whole", *ROWS["a"], *states)])
    folder = bench.write("cut", *ROWS["a"], *states)
    bench.work([folder], stop=Stop(6))
    assert read_record(folder).status == "cancelled"
    assert 0 < read_record(folder).step < 10
    bench.work([folder])
    one, other = weights(bench, "whole"), weights(bench, "cut")
    assert one.keys() == other.keys()
    for key, tensor in one.items():
        torch.testing.assert_close(other[key], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("setting", ["timestep_sampling=uniform", "sigmoid_scale=2", "flow_shift=3"])
def test_settings_of_flows_act(bench: Bench, setting: str) -> None:
    bench.work([bench.write("plain", *QUICK), bench.write("other", *QUICK, f"loss.{setting}")])
    one, two = weights(bench, "plain"), weights(bench, "other")
    assert any(not torch.equal(one[key], two[key]) for key in one)


def test_previews_are_shifted(bench: Bench) -> None:
    bench.work([bench.write("one", *FLOW), bench.write("other", *FLOW, "preview.flow_shift=1")])
    images = []
    for name in ("one", "other"):
        folder = bench.sweep.run(name)
        (preview,) = read_record(folder).checkpoints[-1].previews
        images.append(Image.open(folder.path / preview.file).tobytes())
    assert images[0] != images[1]


def test_the_planner_knows_what_a_flow_has(bench: Bench) -> None:
    facts = Facts(family="linear", prediction_type="flow_prediction")
    asked = ["base_model.v_parameterization=true", "loss.min_snr_gamma=5", "preview.sampler=ddim"]
    config = compose([*bench.common, *asked], checked=False)
    found = resolve(config, facts)
    assert {"base_model.v_parameterization", "loss.min_snr_gamma"} <= {item.key for item in found.inert}
    assert found.prediction_type == "flow_prediction"
    (refusal,) = found.refusals
    assert refusal == "preview.sampler=ddim: Linear Flow is rendered with euler only"
    blocks = compose([*bench.common, "preview.sampler=euler", "network.mid_lr_weight='0.5'"], checked=False)
    assert any("no down, mid and up blocks" in text for text in resolve(blocks, facts).refusals)
    plain = resolve(compose([*bench.common, "preview.flow_shift=3"], checked=False), Facts())
    assert "preview.flow_shift" in {item.key for item in plain.inert}
