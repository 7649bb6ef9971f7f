"""Checkpoints, costs, usable shares, agreement of metrics, importance."""

import random

import pytest
from scipy import stats

from lora_lab.verdict.agreement import agreement
from lora_lab.verdict.analysis import analyse
from lora_lab.verdict.calls import Scale
from lora_lab.verdict.evidence import CheckpointEvidence
from lora_lab.verdict.front import front
from lora_lab.verdict.importance import importance
from lora_lab.verdict.outcomes import (
    FLAT,
    OVER_TRAINED,
    RISING,
    SETTLED,
    costs,
    courses,
    usable_shares,
    wilson,
)
from tests.verdict.made import evidence, of, run

POINTS = Scale(10.0, True, " points")


def over(*scores: float) -> tuple[CheckpointEvidence, ...]:
    return tuple(
        CheckpointEvidence(f"{10 * i:06d}", 10 * i, human=score) for i, score in enumerate(scores, start=1)
    )


@pytest.mark.parametrize(
    ("scores", "call", "best"),
    [
        ((50.0, 90.0, 70.0), OVER_TRAINED, "000020"),
        ((50.0, 55.0, 80.0), RISING, "000030"),
        ((78.0, 80.0, 77.0), FLAT, "000020"),
        ((40.0, 80.0, 78.0), SETTLED, "000020"),
    ],
)
def test_courses(scores: tuple[float, ...], call: str, best: str) -> None:
    (found,) = courses(of([run("a", {"x": 1}, checkpoints=over(*scores))]), POINTS)
    assert (found.call, found.best) == (call, best)
    assert "epoch" in found.sentence


def test_the_pareto_front_counts_costs_to_two_digits() -> None:
    made = [("best", 90.0, 60.0, 400_000), ("cheap", 80.0, 10.0, 400_020), ("poor", 70.0, 20.0, 400_010)]
    runs = [
        run(name, {"x": name}, 1, score, train_minutes=minutes, file_bytes=size)
        for name, score, minutes, size in made
    ]
    found = {item.run: item.best_for for item in costs(of(runs))}
    assert found == {"best": ("minutes",), "cheap": ("minutes",), "poor": ()}


def test_wilson_is_scipys() -> None:
    for good, of_ in ((0, 3), (2, 3), (5, 5), (17, 40)):
        expected = stats.binomtest(good, of_).proportion_ci(method="wilson")
        assert wilson(good, of_) == pytest.approx((expected.low, expected.high))


def test_only_settings_that_may_be_to_blame_are_shown() -> None:
    rows = [run(f"a{i}", {"x": "usual", "y": i % 2}, i, 50.0) for i in range(4)]
    rows.append(run("bad", {"x": "other", "y": 0}, 1, status="failed", reason="out of memory", usable=False))
    found = usable_shares(of(rows))
    assert {item.key for item in found} == {"x"}, "y = 0 is the most usual level, too"
    assert [(item.value, item.usable, item.of) for item in found] == [("usual", 4, 4), ("other", 0, 1)]
    assert found[1].reasons == ("failed: out of memory",)


def test_a_metric_that_agrees_is_told_from_one_that_does_not() -> None:
    draw, runs = random.Random(1), []
    for i in range(12):
        metrics = {"good": i + draw.random(), "noise": draw.random(), "inverse": -float(i), "none": None}
        item = CheckpointEvidence("1", 1, human=5.0 * i, metrics=metrics)
        runs.append(run(f"r{i}", {"x": i}, checkpoints=(item,)))
    found = {item.metric: item for item in agreement(of(runs))}
    assert set(found) == {"good", "noise", "inverse"}
    assert found["good"].low > 0.7 and "much as the scores" in found["good"].sentence
    assert found["good"].tried == 3 and found["good"].above is not None
    assert "other way round" in found["inverse"].sentence
    assert "do not judge by it" in found["noise"].sentence
    assert agreement(of(runs[:4])) == ()


def test_a_metric_that_only_tells_broken_from_good_orders_nothing() -> None:
    draw, runs = random.Random(2), []
    for i in range(24):
        broken = i < 12
        human = draw.uniform(0, 15) if broken else draw.uniform(60, 95)
        item = CheckpointEvidence(
            "1", 1, human=human, metrics={"m": (0 if broken else 1) + 0.1 * draw.random()}
        )
        runs.append(run(f"r{i}", {"x": i}, checkpoints=(item,)))
    (found,) = agreement(of(runs))
    assert found.low > 0.3 and "among the better half it is not shown to order" in found.sentence


def test_one_of_eight_useless_metrics_seldom_agrees() -> None:
    draw, found = random.Random(3), 0
    for _ in range(150):
        runs = []
        for i in range(15):
            metrics = {f"m{k}": draw.random() for k in range(8)}
            runs.append(
                run(
                    f"r{i}",
                    {"x": i},
                    checkpoints=(CheckpointEvidence("1", 1, human=100 * draw.random(), metrics=metrics),),
                )
            )
        found += any(not item.low <= 0 <= item.high for item in agreement(of(runs)))
    assert found <= 0.1 * 150


@pytest.mark.parametrize("checkpoints", [4, 10])
def test_a_flat_course_is_seldom_trained_too_long(checkpoints: int) -> None:
    draw, found = random.Random(checkpoints), 0
    for _ in range(200):
        scores = [round(60 + draw.gauss(0, 5)) for _ in range(checkpoints)]
        (one,) = courses(of([run("a", {"x": 1}, checkpoints=over(*scores))]), POINTS)
        found += one.call == OVER_TRAINED
    assert found <= 0.06 * 200


def test_two_costs_that_differ_by_a_few_bytes_are_one() -> None:
    # 80 points for 1,000,008 and for 1,000,000 bytes: neither beats the other, in the verdict and in plots.
    assert front([(1_000_008, 80.0), (1_000_000, 80.0), (2e6, 70.0), (None, 99.0)]) == [
        True,
        True,
        False,
        False,
    ]


def test_importance_stands_beside_shuffled_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lora_lab.verdict.importance.SHUFFLES", 19)
    monkeypatch.setattr("lora_lab.verdict.importance.TREES", 8)
    draw, rows = random.Random(3), []
    for i in range(24):
        settings = {"alpha": i % 3, "batch": i // 3 % 2, "clip": i // 6}
        rows.append((f"r{i}", settings, 1, 50.0 + 20 * (i % 3 == 1) + draw.gauss(0, 3)))
    found, why = importance(analyse(evidence(rows)))
    assert found is not None and why == ""
    shares = {item.key: item for item in found}
    assert shares["alpha"].p == pytest.approx(0.05) and shares["alpha"].share > shares["alpha"].null
    assert shares["batch"].p > 0.05 and shares["clip"].p > 0.05


def test_importance_is_refused_below_20_runs() -> None:
    rows = [(f"r{i}", {"alpha": i}, 1, float(i)) for i in range(19)]
    found, why = importance(analyse(evidence(rows)))
    assert found is None and "needs at least 20 different runs with a score, not 19" in why
