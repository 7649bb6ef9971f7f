"""Our Lion against bitsandbytes' and the paper's program."""

import bitsandbytes
import pytest
import torch

from lora_lab.optim.lion import Lion

ARGS = {"lr": 1e-3, "betas": (0.95, 0.98), "weight_decay": 0.1}


def steps(optimizer, weight, gradients):
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    return weight


def gradients(dtype=torch.float32, count=20):
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(300, generator=generator).to(dtype) for _ in range(count)]


def test_equals_bitsandbytes():
    start = torch.randn(300, generator=torch.Generator().manual_seed(1))
    ours, theirs = start.clone(), torch.nn.Parameter(start.clone())
    steps(Lion([ours], **ARGS), ours, gradients())
    steps(bitsandbytes.optim.Lion([theirs], **ARGS), theirs, gradients())
    # Twenty fp32 steps, in which some CPUs fuse a product and a sum: an ulp or two of numbers around 1.
    torch.testing.assert_close(ours, theirs.data, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_follows_the_papers_program(decay):
    start = torch.randn(300, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    grads = gradients(torch.float64)
    ours = steps(Lion([weight := start.clone()], lr=1e-3, weight_decay=decay), weight, grads)
    expected, momentum = start.clone(), torch.zeros_like(start)
    for gradient in grads:
        update = torch.sign(0.9 * momentum + 0.1 * gradient)
        momentum = 0.99 * momentum + 0.01 * gradient
        expected = expected - 1e-3 * (update + decay * expected)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-14)


def test_every_weight_moves_by_the_rate_and_zero_gradients_move_nothing():
    start = torch.randn(300)
    gradient = torch.randn(300)
    gradient[:100] = 0
    moved = steps(Lion([weight := start.clone()], lr=0.5), weight, [gradient]) - start
    torch.testing.assert_close(moved.abs(), torch.cat([torch.zeros(100), torch.full((200,), 0.5)]))


def test_momentum_is_fp32_under_half_precision_weights():
    weight = torch.zeros(300, dtype=torch.bfloat16)
    optimizer = Lion([weight])
    steps(optimizer, weight, gradients(torch.bfloat16, 2))
    assert optimizer.state[weight]["exp_avg"].dtype == torch.float32
