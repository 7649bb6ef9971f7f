"""Bradley-Terry rankings against an independent optimiser, integration, and cases known by hand."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq, minimize

from lora_lab.store import Pair
from lora_lab.verdict.ranking import count_wins, ranking, strengths

A, B, C = ("a", "1"), ("b", "1"), ("c", "1")


def pair(left: tuple[str, str], right: tuple[str, str], result: str, number: int = 0) -> Pair:
    return Pair(f"id{number}", "s", "anna", left, right, number, result)


def minus_log_posterior(s: np.ndarray, wins: np.ndarray, prior_sd: float) -> float:
    total = sum(value**2 for value in s) / (2 * prior_sd**2)
    for i, row in enumerate(wins):
        for j, count in enumerate(row):
            total += count * math.log1p(math.exp(s[j] - s[i]))
    return total


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("prior_sd", [0.5, 1.5, 4.0])
def test_the_strengths_are_the_maximum_that_another_optimiser_finds(seed: int, prior_sd: float) -> None:
    draw = np.random.default_rng(seed)
    wins = draw.poisson(0.8, (6, 6)) * (1 - np.eye(6)) + 0.5 * (draw.random((6, 6)) < 0.1)
    np.fill_diagonal(wins, 0)
    best = minimize(minus_log_posterior, np.zeros(6), (wins, prior_sd), method="BFGS", options={"gtol": 1e-9})
    found = strengths(wins, prior_sd)
    np.testing.assert_allclose(found.means, best.x, atol=1e-5)


def test_two_with_one_win_solve_a_known_equation() -> None:
    # With s and -s: the slope is 1/(1+exp(2s)) - s/sd^2 = 0.
    expected = brentq(lambda s: 1 / (1 + math.exp(2 * s)) - s / 1.5**2, 0, 5)
    found = strengths(np.array([[0.0, 1.0], [0.0, 0.0]]), 1.5)
    assert found.means == pytest.approx([expected, -expected], abs=1e-9)


def test_winning_always_stays_finite_and_uncertain() -> None:
    wins = np.triu(np.full((4, 4), 50.0), 1)
    found = strengths(wins)
    assert found.order() == [0, 1, 2, 3]
    assert np.all(np.abs(found.means) < 10)
    assert all(found.sd(number) > 0.3 for number in range(4))


def test_without_comparisons_the_prior_remains() -> None:
    found = strengths(np.zeros((3, 3)), 1.5)
    np.testing.assert_allclose(found.means, 0)
    np.testing.assert_allclose(found.covariance, np.eye(3) * 2.25)
    assert found.stronger(0, 1) == pytest.approx(0.5)


def test_the_uncertainty_is_near_the_exact_posterior() -> None:
    # Two competitors: the difference d = s0 - s1 has the prior N(0, 2 sd^2), so that one integral is exact.
    won, lost, sd = 14, 6, 1.5

    def weight(d: float) -> float:
        return math.exp(
            -(d**2) / (4 * sd**2) - won * math.log1p(math.exp(-d)) - lost * math.log1p(math.exp(d))
        )

    whole = quad(weight, -10, 10)[0]
    mean = quad(lambda d: d * weight(d), -10, 10)[0] / whole
    spread = math.sqrt(quad(lambda d: (d - mean) ** 2 * weight(d), -10, 10)[0] / whole)
    found = strengths(np.array([[0.0, won], [lost, 0.0]]), sd)
    cov = found.covariance
    assert math.sqrt(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]) == pytest.approx(spread, rel=0.05)
    assert found.stronger(0, 1) == pytest.approx(quad(weight, 0, 10)[0] / whole, abs=0.01)


def test_a_tie_is_half_a_win_and_both_bad_is_none() -> None:
    pairs = [pair(A, B, "left"), pair(B, A, "tie"), pair(A, C, "both_bad"), pair(C, B, "right")]
    np.testing.assert_array_equal(count_wins([A, B, C], pairs), [[0, 1.5, 0], [0.5, 0, 1], [0, 0, 0]])


def test_a_ranking_names_what_was_compared() -> None:
    pairs = [pair(A, B, "left", n) for n in range(6)] + [pair(B, C, "both_bad", 9)]
    rows = ranking([A, B, C, ("never", "1")], pairs)
    assert [row.place for row in rows] == [A, C, B]
    assert [(row.compared, row.both_bad) for row in rows] == [(6, 0), (1, 1), (7, 1)]
    assert rows[0].low < rows[0].strength < rows[0].high
    assert rows[0].above_next is not None and 0.5 < rows[0].above_next < 1
    assert rows[-1].above_next is None
    assert ranking([A, B], []) == []
