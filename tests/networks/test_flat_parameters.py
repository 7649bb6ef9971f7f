"""The row of numbers that holds an adapter."""

import pytest
import torch

from lora_lab.networks.flat_parameters import FlatParameters


@pytest.mark.parametrize("master_dtype", [torch.float32, torch.bfloat16])
def test_gradient_norms_of_long_rows_are_exact(master_dtype: torch.dtype) -> None:
    """One float32 pass over a row of a full-size model is off by 5e-4 on a CPU."""
    parameters = FlatParameters(1 << 23, 2, torch.device("cpu"), torch.float32, master_dtype)
    generator = torch.Generator().manual_seed(0)
    parameters.grads[0] = torch.randn(1 << 23, generator=generator) * 1e-5
    expected = parameters.grads[0].double().norm().item()
    assert parameters.grad_norms().tolist() == [pytest.approx(expected, rel=2e-6), 0.0]


def test_gradient_norms_keep_rows_apart() -> None:
    parameters = FlatParameters(512, 3, torch.device("cpu"), torch.float64, torch.float64)
    parameters.grads[0, 5] = torch.nan
    parameters.grads[1, 0], parameters.grads[1, 511] = 3.0, 4.0
    norms = parameters.grad_norms()
    assert norms.dtype == torch.float64 and torch.isnan(norms[0])
    assert norms[1:].tolist() == [5.0, 0.0]
