"""Tucker, LoHa and LoKr as exact products, against LyCORIS' formulas written out densely."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lora_lab.lora_files.factors import delta, products
from tests.loras.made import Tensors, error, numbers, opened

LINEAR = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
CONV = "lora_unet_down_blocks_0_resnets_0_conv1"
SD1 = {"ss_base_model_version": "sd_v1"}


def product(tmp_path: Path, name: str, leaves: Tensors) -> tuple[Tensor, int]:
    file = opened(tmp_path / "x.safetensors", {f"{name}.{leaf}": t for leaf, t in leaves.items()}, SD1)
    (found,) = products(file).values()
    return delta(found), found.rank


def test_tucker(tmp_path: Path) -> None:
    down, mid, up = numbers(4, 10, 1, 1), numbers(4, 4, 3, 3), numbers(14, 4, 1, 1)
    leaves = {
        "lora_down.weight": down,
        "lora_mid.weight": mid,
        "lora_up.weight": up,
        "alpha": torch.tensor(2),
    }
    expected = torch.einsum("ijkl,jc,oi->ockl", mid, down.flatten(1), up.flatten(1)) * 2 / 4
    found, rank = product(tmp_path, CONV, leaves)
    assert found.shape == (14, 10, 3, 3) and rank == 4 and error(found, expected) < 1e-6


def test_a_scalar_multiplies(tmp_path: Path) -> None:
    leaves = {
        "lora_down.weight": numbers(4, 6),
        "lora_up.weight": numbers(8, 4),
        "scalar": torch.tensor(0.25),
    }
    found, _ = product(tmp_path, LINEAR, leaves)
    assert error(found, leaves["lora_up.weight"] @ leaves["lora_down.weight"] / 4) < 1e-6


def test_loha(tmp_path: Path) -> None:
    """(w1a w1b) * (w2a w2b), of rank r^2."""
    leaves = {f"hada_w{n}_a": numbers(8, 3, seed=n) for n in (1, 2)}
    leaves |= {f"hada_w{n}_b": numbers(3, 6, seed=n + 2) for n in (1, 2)}
    expected = (
        (leaves["hada_w1_a"] @ leaves["hada_w1_b"]) * (leaves["hada_w2_a"] @ leaves["hada_w2_b"]) * 1.5 / 3
    )
    found, rank = product(tmp_path, LINEAR, {**leaves, "alpha": torch.tensor(1.5)})
    assert rank == 9 and error(found, expected) < 1e-6


@pytest.mark.parametrize("tucker", [False, True])
def test_loha_of_a_convolution(tmp_path: Path, tucker: bool) -> None:
    """Without Tucker the file has a flat (r, i * 9); with it, a is (r, o) and a core stands in between."""
    leaves, expected = {}, torch.ones(8, 5, 3, 3)
    for n in (1, 2):
        if tucker:
            t, a, b = numbers(3, 3, 3, 3, seed=n), numbers(3, 8, seed=n), numbers(3, 5, seed=n + 2)
            leaves |= {f"hada_t{n}": t, f"hada_w{n}_a": a, f"hada_w{n}_b": b}
            expected = expected * torch.einsum("ijkl,jr,ip->prkl", t, b, a)
        else:
            a, b = numbers(8, 3, seed=n), numbers(3, 45, seed=n + 2)
            leaves |= {f"hada_w{n}_a": a, f"hada_w{n}_b": b}
            expected = expected * (a @ b).reshape(8, 5, 3, 3)
    found, rank = product(tmp_path, CONV, leaves)
    assert found.shape == (8, 5, 3, 3) and rank == 9 and error(found, expected) < 1e-6


@pytest.mark.parametrize("first", ["whole", "factors"])
@pytest.mark.parametrize("second", ["whole", "factors"])
def test_lokr(tmp_path: Path, first: str, second: str) -> None:
    """w1 (x) w2; alpha / rank acts only where something is factored."""
    leaves, sides = {}, []
    for n, how, (outputs, inputs) in (("1", first, (2, 3)), ("2", second, (4, 5))):
        if how == "whole":
            leaves[f"lokr_w{n}"] = numbers(outputs, inputs, seed=int(n))
            sides.append(leaves[f"lokr_w{n}"])
        else:
            leaves[f"lokr_w{n}_a"], leaves[f"lokr_w{n}_b"] = (
                numbers(outputs, 2, seed=3),
                numbers(2, inputs, seed=4),
            )
            sides.append(leaves[f"lokr_w{n}_a"] @ leaves[f"lokr_w{n}_b"])
    scale = 1.0 if (first, second) == ("whole", "whole") else 0.5 / 2
    found, rank = product(tmp_path, LINEAR, {**leaves, "alpha": torch.tensor(0.5)})
    assert rank <= 8 and error(found, torch.kron(*sides) * scale) < 1e-6


@pytest.mark.parametrize("how", ["whole", "wide", "flat", "tucker"])
def test_lokr_of_a_convolution(tmp_path: Path, how: str) -> None:
    w1 = numbers(2, 3)
    leaves: Tensors = {"lokr_w1": w1}
    outputs = 60 if how == "wide" else 4
    if how in ("whole", "wide"):
        w2 = leaves["lokr_w2"] = numbers(outputs, 5, 3, 3)
    elif how == "flat":
        leaves |= {"lokr_w2_a": numbers(4, 2), "lokr_w2_b": numbers(2, 45)}
        w2 = (leaves["lokr_w2_a"] @ leaves["lokr_w2_b"]).reshape(4, 5, 3, 3)
    else:
        leaves |= {"lokr_t2": numbers(2, 2, 3, 3), "lokr_w2_a": numbers(2, 4), "lokr_w2_b": numbers(2, 5)}
        w2 = torch.einsum("ijkl,jr,ip->prkl", leaves["lokr_t2"], leaves["lokr_w2_b"], leaves["lokr_w2_a"])
    expected = torch.kron(w1[..., None, None], w2.contiguous())
    found, _ = product(tmp_path, CONV, leaves)
    assert found.shape == (2 * outputs, 15, 3, 3) and error(found, expected) < 1e-6
