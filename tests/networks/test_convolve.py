"""Low-rank convolutions and their gradients against the library's."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lora_lab.networks.pack import Pack
from lora_lab.networks.spec import AdapterSpec

GEOMETRIES = [
    dict(kernel_size=1),
    dict(kernel_size=3, padding=1),
    dict(kernel_size=3, padding=0),
    dict(kernel_size=3, padding=1, stride=2),
    dict(kernel_size=1, stride=2),
    dict(kernel_size=(3, 1), padding=(1, 0)),
    dict(kernel_size=5, padding=2, dilation=1),
    dict(kernel_size=3, padding=2, dilation=2),
    dict(kernel_size=3, padding=4),
]


class Block(nn.Module):
    """A U-Net of one convolution, found as a part of a resnet block."""

    def __init__(self, conv):
        super().__init__()
        self.resnet = type("ResnetBlock2D", (nn.Module,), {})()
        self.resnet.conv = conv


@pytest.mark.parametrize(
    "sizes, memory", list(itertools.product([(1, 1, 1), (2, 2, 2), (1, 3, 1)], ["nchw", "nhwc"]))
)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_forward_and_gradients(geometry, sizes, memory):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 10, **geometry).double()
    specs = [AdapterSpec(r, 2.0, conv_dim=r, conv_alpha=2.0, preset="unet-convblock-only") for r in (2, 4, 3)]
    pack = Pack(Block(conv), [], "sd1", specs, compute_dtype=torch.float64, master_dtype=torch.float64)
    for slot, spec in enumerate(specs):
        pack.occupy(slot, spec)
        for group in pack.param_groups(slot, "tensors"):
            group.params[0].data.normal_()
    pack.attach()
    count = sum(sizes)
    x = torch.randn(count, 6, 9, 7, dtype=torch.float64)
    x = x.to(
        memory_format=torch.channels_last if memory == "nhwc" else torch.contiguous_format
    ).requires_grad_()
    pack.route([slot for slot, size in enumerate(sizes) for _ in range(size)])
    mine = conv(x)
    (grad_x,) = torch.autograd.grad(mine.square().sum(), x)
    pack.detach()

    expected = []
    leaves = []
    for slot, part in enumerate(x.split(sizes)):
        tensors = pack.export(slot)
        down, up = (
            tensors[f"lora_unet_resnet_conv.lora_{side}.weight"].requires_grad_() for side in ("down", "up")
        )
        hidden = F.conv2d(part, down, None, conv.stride, conv.padding, conv.dilation)
        expected.append(conv(part) + 2.0 / len(down) * F.conv2d(hidden, up))
        leaves += [down, up]
    theirs = torch.cat(expected)
    reference = torch.autograd.grad(theirs.square().sum(), (x, *leaves))
    assert torch.allclose(mine, theirs, rtol=0, atol=1e-11)
    assert torch.allclose(grad_x, reference[0], rtol=1e-12, atol=1e-9)
    for slot in range(3):
        down, up = (group.params[0].grad for group in pack.param_groups(slot, "tensors"))
        assert torch.allclose(down, reference[1 + 2 * slot], rtol=1e-12, atol=1e-9)
        assert torch.allclose(up.transpose(0, 1), reference[2 + 2 * slot], rtol=1e-12, atol=1e-9)


def test_a_wrapped_base_is_called(unet, text_encoder):
    """A module that is not plain (quantised, hooked) computes its own base; adapters are added."""

    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    model = nn.Module()
    model.mlp = type("CLIPMLP", (nn.Module,), {})()
    model.mlp.fc1 = Doubled(5, 7).double()
    spec = AdapterSpec(3, 3.0)
    pack = Pack(model, [model], "sd1", [spec], compute_dtype=torch.float64, master_dtype=torch.float64)
    pack.attach().occupy(0, spec)
    pack.parameters.masters.normal_()
    tensors = pack.export(0)
    down, up = (tensors[f"lora_te_text_model_mlp_fc1.lora_{side}.weight"] for side in ("down", "up"))
    x = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    pack.route([0, 0])
    mine = model.mlp.fc1(x)
    theirs = 2 * F.linear(x, model.mlp.fc1.weight, model.mlp.fc1.bias) + x @ down.T @ up.T
    assert torch.allclose(mine, theirs, rtol=0, atol=1e-12)
    grads = [torch.autograd.grad(y.square().sum(), x)[0] for y in (mine, theirs)]
    assert torch.allclose(*grads, rtol=0, atol=1e-11)
