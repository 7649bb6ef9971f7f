"""Differences between runs: errors, simultaneous intervals, and how many runs it takes."""

import math

import numpy as np
import pytest
from scipy import stats

from lora_lab.errors import ConfigError
from lora_lab.verdict.analysis import analyse
from lora_lab.verdict.calls import Scale
from lora_lab.verdict.cells import Cell, cells, edges, reference
from lora_lab.verdict.contrasts import (
    conflict,
    covariance,
    critical,
    f_test,
    freedom,
    independent,
    mean_of_pairs,
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
from lora_lab.verdict.lines import noise_text, noise_warnings
from lora_lab.verdict.noise import bartlett, grain, noise
from lora_lab.verdict.power import chance_of, detectable, more_runs
from lora_lab.verdict.prior import SHIPPED, Prior, fitted
from lora_lab.verdict.result import ASSUMED, MEASURED, UNMEASURED, Noise, Spread
from tests.verdict.made import Row, evidence, run


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
    squares = np.var([61.3, 55.1, 58.2]) * 3 + np.var([40.9, 44.4]) * 2 + 3 * 0.1**2 / 12
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
    assert grain([score for cell in members for score in cell.scores]) == 10
    assert noise(members).sd == pytest.approx(10 / math.sqrt(12)), "not 0"
    assert grain([score for cell in made() for score in cell.scores]) == 0.1
    assert grain([0.12345678, 0.3]) == 0


def test_differences_share_the_error_of_shared_runs() -> None:
    members = {cell.name: cell for cell in made()}
    found = [mean_of_pairs([(members["base"], members[name])]) for name in ("a1", "a2")]
    assert [item.value for item in found] == pytest.approx([70.4 - 58.2, 42.65 - 58.2])
    # The base's mean of three runs is in both, those of the others are their own.
    np.testing.assert_allclose(covariance(found), [[1 + 1 / 3, 1 / 3], [1 / 3, 1 / 2 + 1 / 3]])
    more = {cell.name: 1 for cell in made()}
    np.testing.assert_allclose(
        covariance(found, None, more), [[1 / 2 + 1 / 4, 1 / 4], [1 / 4, 1 / 3 + 1 / 4]]
    )


def one_variance(cell: Cell) -> float:
    return float(np.var(cell.scores, ddof=1))


def test_one_difference_is_students_t_test() -> None:
    given = rows(*((f"r{i}", 0, 0, i, score) for i, score in enumerate((50.5, 53.0, 48.2))))
    given += rows(*((f"s{i}", 1, 0, i, score) for i, score in enumerate((57.0, 60.1, 61.2))))
    one, other = cells(evidence(given).runs)
    plain = Noise(MEASURED, 1.0, single=Spread((one_variance(one) + one_variance(other)) / 2, 4))
    (found,) = together([mean_of_pairs([(one, other)])], plain)
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
    t = distance / (measured.sd * math.sqrt(1 + 1 / 3 + 2))  # the noise is that of the base alone
    assert found == pytest.approx(2 * stats.t.sf(abs(t), 2))
    assert conflict(pairs[:1], measured) is None


def test_runs_are_counted_by_power() -> None:
    members = {cell.name: cell for cell in made()}
    difference = [mean_of_pairs([(members["base"], members["b1"])])]
    measured = noise(list(members.values()), prior=SHIPPED)
    more = more_runs(difference, measured, 15.0, 0.05)
    assert more is not None and measured.single is not None
    assert more.runs["b1"] > more.runs.get("base", 0), "what was run once is repeated first"
    # With the deviation known, the chance is that of a noncentral t test.
    assert chance_of(3.0, math.inf, 12.0) == pytest.approx(stats.nct.sf(stats.t.ppf(0.975, 12), 12, 3.0))
    assert chance_of(3.0, 4.0, 12.0) < chance_of(3.0, math.inf, 12.0), "not knowing it costs"
    assert more_runs(difference, measured, 0.1, 0.05) is None


def test_what_a_plan_can_find() -> None:
    # One repeat of the base and nothing known: t on 1 df. The prior makes it 5 df.
    classic, with_prior = (detectable(2, 1, 1, prior, 5.0) for prior in (None, SHIPPED))
    error = 5 * math.sqrt(1.5)
    for found, df in ((classic, 1), (with_prior, 5)):
        assert stats.nct.sf(stats.t.ppf(0.975, df), df, found / error) == pytest.approx(0.8, abs=1e-3)
    assert classic > 75 and with_prior < 25


def test_a_prior_moderates_what_few_repeats_show() -> None:
    given = rows(("r", 0, 0, 1, 61.0), ("r2", 0, 0, 2, 61.6), ("x", 1, 0, 1, 70.0))
    found = noise(cells(evidence(given).runs), prior=Prior(5.5, 4.0))
    assert found.df == 1 and found.sd is not None and found.sd < 0.6
    variance = (4 * 5.5**2 + found.sd**2) / 5
    assert found.single is not None and (found.single.variance, found.single.df) == (
        pytest.approx(variance),
        5,
    )


def test_steady_repeats_of_one_setting_say_little_of_others_and_wild_ones_say_all() -> None:
    def single(scores: list[float]) -> Spread:
        given = rows(*((f"r{i}", 0, 0, i, score) for i, score in enumerate(scores)), ("x", 1, 0, 1, 70.0))
        found = noise(cells(evidence(given).runs), prior=SHIPPED).single
        assert found is not None
        return found

    steady, wild = single([60.1, 60.2, 60.0, 60.3, 59.9, 60.1]), single([60.1, 90.3, 30.2, 75.4, 45.3, 60.0])
    assert steady.df == wild.df == 5
    assert steady.variance == pytest.approx(4 * SHIPPED.sd**2 / 5, rel=1e-3), "one degree of freedom at most"
    own = np.var([60.1, 90.3, 30.2, 75.4, 45.3, 60.0], ddof=1)
    assert wild.variance == pytest.approx((4 * SHIPPED.sd**2 + 5 * own) / 9, rel=1e-3)


def test_the_prior_is_fitted_as_limma_does() -> None:
    # limma 3.58, fitFDist(c(4, 9, 16, 100, 1), df1 = 3) in its formulas, solved by scipy instead.
    from scipy.optimize import brentq
    from scipy.special import digamma, polygamma

    variances, df = [4.0, 9.0, 16.0, 100.0, 1.0], 3
    e = np.log(variances) - digamma(df / 2) + math.log(df / 2)
    between = np.var(e, ddof=1) - polygamma(1, df / 2)
    half = brentq(lambda x: polygamma(1, x) - between, 1e-3, 1e3)
    scale, found = fitted([(value, df) for value in variances])
    assert found == pytest.approx(2 * half)
    assert scale == pytest.approx(math.exp(e.mean() + digamma(half) - math.log(half)))


def test_variances_are_pooled_only_as_far_as_a_test_allows() -> None:
    draw = np.random.default_rng(1)
    samples = [draw.normal(0, 1, 4), draw.normal(0, 3, 4), draw.normal(0, 2, 5)]
    spread = [(float(np.var(item, ddof=1)), len(item) - 1) for item in samples]
    assert bartlett(spread) == pytest.approx(stats.bartlett(*samples).pvalue)
    given = rows(*((f"r{i}", 0, 0, i, score) for i, score in enumerate((50.5, 50.8, 50.1, 50.4))))
    given += rows(*((f"s{i}", 1, 0, i, score) for i, score in enumerate((57.0, 90.1, 31.2, 70.3))))
    one, other = cells(evidence(given).runs)
    found = noise([one, other], prior=SHIPPED)
    assert [name for name, _ in found.unequal] == ["r0", "s0"]
    assert found.by_cell["r0"].variance < found.by_cell["s0"].variance / 4
    # Welch and Satterthwaite: between the degrees of freedom of either and their sum.
    df = freedom(mean_of_pairs([(one, other)]), found)
    low, high = sorted(spread.df for spread in found.by_cell.values())
    assert low <= df <= low + high


def test_scores_at_an_end_of_the_scale_are_no_measure() -> None:
    given = rows(("r", 0, 0, 1, 100.0), ("r2", 0, 0, 2, 100.0), ("r3", 0, 0, 3, 100.0), ("x", 1, 0, 1, 97.0))
    found = noise(cells(evidence(given).runs), prior=SHIPPED)
    assert found.source == UNMEASURED and found.at_the_end == ("r",)
    # The reason stands in one place, and is the real one.
    scale = Scale(10.0, True, "")
    told = noise_text(found, scale)
    assert "of r a repeat has a score of 0 or 100" in told and "no run was repeated" not in told
    assert "replicates: 3" not in told and noise_warnings(found, scale) == []
    never = noise(cells(evidence(given[:1]).runs), prior=SHIPPED)
    assert "no run was repeated" in noise_text(never, scale)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, -1.0, 1000.0])
def test_a_floor_that_is_no_number_of_points_is_refused(value: float) -> None:
    given = evidence(rows(("r", 0, 0, 1, 50.0), ("x", 1, 0, 1, 90.0)))
    for name in ("noise_floor", "relevant"):
        with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} must be (above 0|at most 100)"):
            analyse(given, **{name: value})


def test_one_f_test_of_several_differences_is_the_analysis_of_variance() -> None:
    draw = np.random.default_rng(3)
    given = [
        row
        for a in range(3)
        for row in rows(*((f"r{a}{i}", a, 0, i, float(draw.normal(50, 4))) for i in range(4)))
    ]
    members = cells(evidence(given).runs)
    found = f_test([mean_of_pairs([(members[0], other)]) for other in members[1:]], noise(members))
    expected = stats.f_oneway(*(cell.scores for cell in members)).pvalue
    assert found == pytest.approx(expected)


def test_what_shares_a_training_is_no_evidence() -> None:
    one = Cell((run("a", {"x": 1}, 1, 50.0), run("a2", {"x": 1}, 2, 54.0)))
    other = Cell((run("b", {"x": 2}, 1, 60.0, training="a"),))
    left = independent(one, other)
    assert left is not None and [run.name for run in left[0].runs] == ["a2"]
    assert independent(Cell(one.runs[:1]), other) is None
    both = Cell((*other.runs, run("b2", {"x": 2}, 2, 61.0, training="a2")))
    assert independent(one, both) == (one, both), "two trainings are independent of each other"


def test_pairs_differ_in_one_setting_alone_and_unknown_ones_count_as_equal() -> None:
    found = edges(made())
    assert {(edge.key, edge.one.name, edge.other.name) for edge in found} == {
        ("a", "base", "a1"), ("a", "base", "a2"), ("a", "a1", "a2"), ("b", "base", "b1"),
    }  # fmt: skip
    chosen = reference(made(), found)
    assert chosen is not None and chosen.name == "base"
