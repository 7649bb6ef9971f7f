"""The running mean that all curves are drawn with."""

import pytest

from lora_lab.smoothing import running_mean


def test_a_mean_is_over_a_twentieth_and_lies_in_its_middle() -> None:
    jump = [0.0] * 50 + [1.0] * 50
    # A twentieth of 100, the value itself in the middle: five values.
    assert running_mean(jump)[46:54] == pytest.approx([0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1])


def test_at_the_ends_it_is_over_what_there_is() -> None:
    found = running_mean([float(x) for x in range(100)])
    assert found[:3] == pytest.approx([1, 1.5, 2]) and found[-1] == pytest.approx(98)


@pytest.mark.parametrize("values", [[], [3.0], [1.0, 5.0, 2.0]])
def test_few_values_stay(values: list[float]) -> None:
    assert running_mean(values) == pytest.approx(values)


def test_a_geometric_mean_is_not_drawn_to_an_outlier() -> None:
    values = [1000.0 if x == 50 else 1.0 for x in range(100)]
    assert max(running_mean(values)) > 100
    assert max(running_mean(values, log=True)) == pytest.approx(1000 ** (1 / 5))
