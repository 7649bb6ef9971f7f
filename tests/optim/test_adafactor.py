"""Adafactor on stacks against transformers.Adafactor on the separate tensors."""

import copy

import pytest
import torch
from transformers.optimization import Adafactor as Peer

from lora_lab.optim.adafactor import Adafactor

MODES = {
    "relative": {},
    "relative, warmup_init": {"warmup_init": True},
    "relative, unscaled": {"scale_parameter": False},
    "fixed": {"lr": 3e-3, "relative_step": False, "scale_parameter": False},
    "fixed, scaled": {"lr": 3e-2, "relative_step": False},
    "all arguments": {
        "lr": 3e-3,
        "relative_step": False,
        "scale_parameter": True,
        "beta1": 0.9,
        "weight_decay": 0.05,
        "clip_threshold": 0.5,
        "decay_rate": -0.6,
        "eps": (1e-12, 1e-2),
    },
}
SHAPES = [(4, 6), (5, 3, 3, 3), (7, 5, 1, 1), (5,)]


def run(optimizer, parameters, gradients):
    for gradient in gradients:
        for parameter, grad in zip(parameters, gradient, strict=True):
            parameter.grad = grad.clone()
        optimizer.step()


def start(shape, count=3, steps=12, dtype=torch.float64):
    generator = torch.Generator().manual_seed(7)
    draws = [torch.randn(count, *shape, generator=generator, dtype=dtype) for _ in range(steps + 1)]
    scale = torch.logspace(-4, 1, count, dtype=dtype).view(count, *[1] * len(shape))
    return draws[0], [draw * scale for draw in draws[1:]]  # the tensors of a stack differ widely in scale


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_stack_equals_the_separate_tensors(shape, mode):
    weights, gradients = start(shape)
    weights[0] = 0  # lora_up starts at 0
    stack = weights.clone()
    run(Adafactor([stack], **MODES[mode]), [stack], [[g] for g in gradients])
    separate = [weight.clone() for weight in weights]
    run(Peer(separate, **MODES[mode]), separate, gradients)
    torch.testing.assert_close(stack, torch.stack(separate), rtol=1e-12, atol=1e-15)
    assert not torch.equal(stack, weights)


@pytest.mark.parametrize("mode", MODES)
def test_a_transposed_matrix_equals_the_matrix(mode):
    """We keep `lora_up` as [rank, out] where the peer has [out, rank]."""
    weights, gradients = start((4, 9))
    stack = weights.clone()
    run(Adafactor([stack], **MODES[mode]), [stack], [[g] for g in gradients])
    separate = [weight.T.contiguous() for weight in weights]
    run(Peer(separate, **MODES[mode]), separate, [[g.T for g in gradient] for gradient in gradients])
    torch.testing.assert_close(stack, torch.stack([w.T for w in separate]), rtol=1e-12, atol=1e-15)


def test_views_into_a_padded_pack_are_updated_in_place_and_alone():
    """A run of rank 4 sees the first 4 rows of its slice of a pack of rank 8; all else stays."""
    weights, gradients = start((4, 6))
    parameters = torch.full((2, 3, 8, 6), 5.0, dtype=torch.float64)
    view = parameters[1, :, :4]
    view.copy_(weights)
    assert not view.is_contiguous()
    run(Adafactor([view]), [view], [[g] for g in gradients])
    alone = weights.clone()
    run(Adafactor([alone]), [alone], [[g] for g in gradients])
    torch.testing.assert_close(parameters[1, :, :4], alone, rtol=1e-13, atol=0)
    assert (parameters[0] == 5).all()
    assert (parameters[1, :, 4:] == 5).all()


def test_a_diverged_tensor_leaves_its_neighbours_alone():
    weights, gradients = start((4, 6))
    healthy, broken = weights.clone(), weights.clone()
    run(Adafactor([healthy]), [healthy], [[g] for g in gradients])
    poisoned = [g.clone() for g in gradients]
    poisoned[3][1] = float("nan")
    run(Adafactor([broken]), [broken], [[g] for g in poisoned])
    assert broken[1].isnan().all()
    assert torch.equal(broken[[0, 2]], healthy[[0, 2]])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_equals_the_peers(dtype):
    weights, gradients = start((4, 6), dtype=torch.float32)
    weights, gradients = weights.to(dtype), [g.to(dtype) for g in gradients]
    stack = weights.clone()
    run(Adafactor([stack]), [stack], [[g] for g in gradients])
    separate = [weight.clone() for weight in weights]
    run(Peer(separate), separate, gradients)
    torch.testing.assert_close(
        stack, torch.stack(separate), rtol=2e-2 if dtype == torch.bfloat16 else 4e-3, atol=1e-7
    )


def test_the_rate_of_each_tensor_is_the_peers():
    weights, gradients = start((4, 6))
    stack = weights.clone()
    ours = Adafactor([stack])
    run(ours, [stack], [[g] for g in gradients])
    separate = [weight.clone() for weight in weights]
    theirs = Peer(separate)
    run(theirs, separate, gradients)
    expected = [float(Peer._get_lr(theirs.param_groups[0], theirs.state[weight])) for weight in separate]
    assert ours.state[stack]["rate"].tolist() == pytest.approx(expected, rel=1e-12)


def test_relative_step_does_not_look_at_the_rate():
    weights, gradients = start((4, 6))
    ends = []
    for rate in (1e-4, 1e-1, None):
        stack = weights.clone()
        run(Adafactor([stack], lr=rate), [stack], [[g] for g in gradients])
        ends.append(stack)
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])


def test_a_parameter_without_gradient_stays():
    weights, gradients = start((4, 6))
    moving, resting = weights.clone(), weights.clone()
    optimizer = Adafactor([moving, resting])
    moving.grad = gradients[0]
    optimizer.step()
    assert torch.equal(resting, weights)
    assert not torch.equal(moving, weights)
    assert copy.deepcopy(optimizer.state_dict())["state"].keys() == {0}
