"""Differences between runs: errors, simultaneous intervals, and how many runs it takes."""

import math

import numpy as np
import pytest
from scipy import stats

from lora_lab.verdict.cells import Cell, cells, edges, grain, noise, reference
from lora_lab.verdict.contrasts import (
    conflict,
    covariance,
    critical,
    mean_of_pairs,
    more_runs,
    planning_sd,
    power,
    together,
)
from lora_lab.verdict.distributions import (
    chi2_quantile,
    f_tail,
    rank_correlation,
    t_power,
    t_quantile,
    t_two_sided,
)
from lora_lab.verdict.result import ASSUMED, MEASURED, UNMEASURED
from tests.verdict.made import Row, evidence


def rows(*given: tuple[str, int, int, int, float]) -> list[Row]:
    """Runs of settings a and b: name, a, b, seed, score."""
    return [(name, {"a": a, "b": b}, seed, score) for name, a, b, seed, score in given]


ROWS = rows(
    ("base", 0, 0, 1, 61.3),
    ("base-2", 0, 0, 2, 55.1),
    ("base-3", 0, 0, 3, 58.2),
    ("a1", 1, 0, 1, 70.4),
    ("a2", 2, 0, 1, 40.9),
    ("a2-2", 2, 0, 2, 44.4),
    ("b1", 0, 1, 1, 57.7),
)


def made() -> list[Cell]:
    return cells(evidence(ROWS).runs)


def test_distributions_are_those_of_scipy_stats() -> None:
    for df in (1, 2, 7.5, 40):
        assert t_quantile(0.975, df) == pytest.approx(stats.t.ppf(0.975, df))
        assert t_two_sided(2.1, df) == pytest.approx(2 * stats.t.sf(2.1, df))
        assert chi2_quantile(0.2, df) == pytest.approx(stats.chi2.ppf(0.2, df))
        assert f_tail(3.3, 2, df) == pytest.approx(stats.f.sf(3.3, 2, df))
        assert t_power(2.2, df, 3.0) == pytest.approx(stats.nct.sf(2.2, df, 3.0))
    assert t_quantile(0.975, math.inf) == pytest.approx(stats.norm.ppf(0.975))
    one, other = [1.0, 2, 2, 5, 3], [2.0, 1, 1, 7, 7]
    assert rank_correlation(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)


def test_noise_is_pooled_over_replicates() -> None:
    found = noise(made())
    squares = np.var([61.3, 55.1, 58.2]) * 3 + np.var([40.9, 44.4]) * 2
    assert found.source == MEASURED and found.df == 3
    assert found.sd == pytest.approx(math.sqrt(squares / 3))
    assert found.low == pytest.approx(math.sqrt(squares / stats.chi2.ppf(0.975, 3)))
    assert found.high == pytest.approx(math.sqrt(squares / stats.chi2.ppf(0.025, 3)))
    assert found.groups == (("base", "base-2", "base-3"), ("a2", "a2-2"))
    assert found.smallest == pytest.approx(stats.t.ppf(0.975, 3) * found.sd * math.sqrt(2))


def test_noise_that_is_not_measured_is_assumed_or_unknown() -> None:
    single = [cell for cell in made() if cell.n == 1]
    assert noise(single).source == UNMEASURED and noise(single).sd is None
    assumed = noise(single, 5.0)
    assert (assumed.source, assumed.sd, assumed.df) == (ASSUMED, 5.0, math.inf)
    assert noise(made(), 5.0).source == MEASURED, "what is measured wins"


def test_scores_in_tens_are_noisier_than_they_look() -> None:
    given = rows(("r", 0, 0, 1, 80.0), ("r2", 0, 0, 2, 80.0), ("x", 1, 0, 1, 70.0))
    members = cells(evidence(given).runs)
    assert grain(members) == 10
    assert noise(members).sd == pytest.approx(10 / math.sqrt(12)), "not 0"
    assert grain(made()) == 0


def test_differences_share_the_error_of_shared_runs() -> None:
    members = {cell.name: cell for cell in made()}
    found = [mean_of_pairs([(members["base"], members[name])]) for name in ("a1", "a2")]
    assert [item.value for item in found] == pytest.approx([70.4 - 58.2, 42.65 - 58.2])
    # The base's mean of three runs is in both, those of the others are their own.
    np.testing.assert_allclose(covariance(found), [[1 + 1 / 3, 1 / 3], [1 / 3, 1 / 2 + 1 / 3]])
    np.testing.assert_allclose(covariance(found, 1), [[1 / 2 + 1 / 4, 1 / 4], [1 / 4, 1 / 3 + 1 / 4]])


def test_one_difference_is_students_t_test() -> None:
    given = rows(*((f"r{i}", 0, 0, i, score) for i, score in enumerate((50.5, 53.0, 48.2))))
    given += rows(*((f"s{i}", 1, 0, i, score) for i, score in enumerate((57.0, 60.1, 61.2))))
    one, other = cells(evidence(given).runs)
    (found,) = together([mean_of_pairs([(one, other)])], noise([one, other]))
    test = stats.ttest_ind(other.scores, one.scores)
    assert found.p == pytest.approx(test.pvalue)
    interval = test.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize(
    ("levels", "df", "table"),
    # Dunnett's two-sided 5 % points for equal group sizes, from his tables (1964).
    [(2, 10, 2.57), (3, 20, 2.54), (5, 20, 2.73), (2, math.inf, 2.21), (9, math.inf, 2.69)],
)
def test_intervals_of_several_levels_hold_together(levels: int, df: float, table: float) -> None:
    correlation = np.full((levels, levels), 0.5) + 0.5 * np.eye(levels)
    assert critical(correlation, df) == pytest.approx(table, abs=0.03)


def test_pairs_that_disagree_are_noticed() -> None:
    given = rows(
        ("r", 0, 0, 1, 50.1),
        ("r2", 0, 0, 2, 51.0),
        ("r3", 0, 0, 3, 49.5),
        ("a", 1, 0, 1, 70.0),
        ("b", 0, 1, 1, 50.0),
        ("ab", 1, 1, 1, 30.0),
    )
    members = {cell.name: cell for cell in cells(evidence(given).runs)}
    pairs = [(members["r"], members["a"]), (members["b"], members["ab"])]
    measured = noise(list(members.values()))
    found = conflict(pairs, measured)
    # Two differences of errors s^2 (1 + 1/3) and s^2 (1 + 1): their distance over its error is a t value.
    distance = (pairs[0][1].mean - pairs[0][0].mean) - (pairs[1][1].mean - pairs[1][0].mean)
    assert measured.sd is not None
    t = distance / (measured.sd * math.sqrt(1 + 1 / 3 + 2))
    assert found == pytest.approx(2 * stats.t.sf(abs(t), 2))
    assert conflict(pairs[:1], measured) is None


def test_runs_are_counted_by_power() -> None:
    members = {cell.name: cell for cell in made()}
    difference = [mean_of_pairs([(members["base"], members["b1"])])]
    measured = noise(list(members.values()))
    assert measured.sd is not None
    more = more_runs(difference, measured, measured.sd, 10.0)
    assert more is not None and more % 2 == 0

    def chance(extra: int) -> float:
        error = measured.sd * math.sqrt(1 / (3 + extra) + 1 / (1 + extra))  # type: ignore[operator]
        df = 3 + 2 * extra
        return float(stats.nct.sf(stats.t.ppf(0.975, df), df, 10 / error))

    assert chance(more // 2) >= 0.8 > chance(more // 2 - 1)
    assert more_runs(difference, measured, 500.0, 10.0) is None
    assert planning_sd(measured) == pytest.approx(measured.sd * math.sqrt(3 / stats.chi2.ppf(0.2, 3)))
    assert power(3.0, math.inf) == pytest.approx(stats.norm.sf(1.96 - 3), abs=1e-3)


def test_pairs_differ_in_one_setting_alone_and_unknown_ones_count_as_equal() -> None:
    found = edges(made())
    assert {(edge.key, edge.one.name, edge.other.name) for edge in found} == {
        ("a", "base", "a1"), ("a", "base", "a2"), ("a", "a1", "a2"), ("b", "base", "b1"),
    }  # fmt: skip
    chosen = reference(made(), found)
    assert chosen is not None and chosen.name == "base"
