"""`benchmarks/gpu.py`, rehearsed on the CPU at tiny width: all of its code runs before a card is lent."""

import importlib
import math
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PEER = """
from torch import nn

class Network(nn.Module):
    def __init__(self, unet):
        super().__init__()
        query = unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1.to_q
        self.downs = nn.Linear(query.in_features, 2)
        self.adapted = [query]

    def apply_to(self, text_encoder, unet, apply_text_encoder, apply_unet):
        assert apply_unet and not apply_text_encoder
        (query,) = self.adapted
        original = query.forward
        query.forward = lambda x: original(x) + self.downs(x).mean()

def create_network(multiplier, network_dim, network_alpha, vae, text_encoder, unet):
    assert (multiplier, network_dim, network_alpha) == (1.0, 4, 1.0)
    return Network(unet)
"""


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gpu")


def rehearse(gpu, *words):
    return gpu.main(["--device", "cpu", "--tiny", "--steps", "1", *words])


@pytest.mark.slow  # the whole benchmark, at tiny width
def test_speed_is_measured_of_packs_and_of_a_peer(gpu, tmp_path):
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "lora.py").write_text(PEER)
    rows = rehearse(gpu, "--parts", "sd15", "--peer", str(tmp_path))
    assert [row[1] for row in rows] == ["1", "2", "1", "2", "1", "1", "1"]
    assert all(float(row[2].split()[0]) > 0 and row[2].endswith("samples/s") for row in rows)
    assert rows[0][3].startswith("MFU ")
    assert "adamw, K = 2" in rows[-1][3]


@pytest.mark.slow
def test_precisions_are_compared_with_the_cpu(gpu):
    rows = rehearse(gpu, "--parts", "parity")
    off = {row[0].split()[-1]: float(row[2].split()[-1]) for row in rows}
    assert off["fp32"] == 0
    assert 0 < off["bf16"] < 0.05


def test_what_there_is_no_time_for_is_said(gpu):
    rows = rehearse(gpu, "--minutes", "0")
    assert [row[2] for row in rows] == ["not run: out of time"] * len(gpu.PARTS)


def test_the_rival_learns(gpu, monkeypatch):
    """The network in sd-scripts' style is on every module that ours is on, and gets gradients."""
    models = importlib.import_module("models")
    base = models.tiny_model("sd1")
    network = gpu.StyleNetwork(base, 4)
    assert len(network.targets) == 192
    before = base.unet.mid_block.attentions[0].proj_in.forward
    with gpu.rival(base, None, 4, "fused AdamW", 64) as step:
        assert math.isfinite(step())
    assert base.unet.mid_block.attentions[0].proj_in.forward == before
