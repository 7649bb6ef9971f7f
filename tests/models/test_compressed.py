"""Frozen weights in 8 and 4 bits: what is computed is what the rounded weights give, forward and backward."""

import pytest
import torch
from torch import nn

from lora_lab.models import BaseModel, encode_captions, predict
from lora_lab.models.compressed import compress
from tests import tiny

KINDS = ("fp8", "nf4")
LEVELS = torch.tensor(
    [-1.0, -0.6961928, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0.0, 0.0795803,
     0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0]
)  # fmt: skip
"""The sixteen numbers of NormalFloat, arXiv 2305.14314, appendix E."""


def rounded(weight: torch.Tensor, kind: str) -> torch.Tensor:
    """The weight through a form of its own and back."""
    if kind == "fp8":
        return weight.to(torch.float8_e4m3fn).to(weight.dtype)
    blocks = torch.cat([weight.flatten(), torch.zeros(-weight.numel() % 64)]).view(-1, 64)
    largest = blocks.abs().amax(dim=1, keepdim=True)
    nearest = (blocks[..., None] / largest[..., None] - LEVELS).abs().argmin(dim=-1)
    return (LEVELS[nearest] * largest).flatten()[: weight.numel()].view_as(weight)


def answers(base: BaseModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Prediction, and its gradient in the input."""
    torch.manual_seed(0)
    noisy = torch.randn(2, 4, 16, 16, requires_grad=True)
    text = encode_captions(base, ["a cat", "a dog on a hill"])
    sizes = torch.tensor([[64, 64, 0, 0, 64, 64]] * 2)
    out = predict(base, noisy, torch.tensor([10, 700]), text, sizes)
    out.square().sum().backward()
    return out.detach(), noisy.grad


def matrices(base: BaseModel) -> list[nn.Module]:
    networks = (base.unet, *base.text_encoders)
    return [m for net in networks for m in net.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_computes_with_the_rounded_weights(kind: str, family: str) -> None:
    plain, expected, base = (tiny.base(family) for _ in range(3))
    with torch.no_grad():
        for module in matrices(expected):
            module.weight.copy_(rounded(module.weight, kind))
    identity = base.text_identity
    compress(base, kind)
    for made, by_hand, exact in zip(answers(base), answers(expected), answers(plain), strict=True):
        # A weight halfway between two levels of nf4 may go either way.
        assert float((made - by_hand).norm() / by_hand.norm()) < (1e-5 if kind == "fp8" else 1e-2)
        assert not torch.allclose(made, exact, rtol=1e-5)
        assert float((made - exact).norm() / exact.norm()) < 0.8
    assert base.text_identity != identity, "cached text states are those of other weights"
    assert base.dtype == torch.float32 and base.unet.dtype == torch.float32


@pytest.mark.parametrize(("kind", "share"), [("fp8", 1 / 4), ("nf4", 1 / 8)])
def test_matrices_take_a_share_of_the_memory(kind: str, share: float) -> None:
    base = tiny.base()
    before = sum(module.weight.nbytes for module in matrices(base))
    compress(base, kind)
    assert not any(isinstance(module.weight, nn.Parameter) for module in matrices(base))
    assert sum(module.weight.nbytes for module in matrices(base)) == pytest.approx(before * share, rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_wide_is_kept_for_the_backward_pass(kind: str) -> None:
    base = tiny.base()
    compress(base, kind)
    sizes = []
    x = torch.randn(2, 4, 16, 16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(tuple(t.shape)) or t, lambda t: t):
        base.unet.conv_in(x)
    assert sizes == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_checkpointing_on_top_changes_no_gradient(kind: str) -> None:
    from lora_lab.models import set_gradient_checkpointing

    one, other = tiny.base(), tiny.base()
    for base in (one, other):
        compress(base, kind)
    set_gradient_checkpointing(other, True)
    for a, b in zip(answers(one), answers(other), strict=True):
        torch.testing.assert_close(a, b)
