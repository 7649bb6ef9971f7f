"""Several raters on one scale."""

import pytest

from lora_lab.store import Score
from lora_lab.store.scores import ScoreLog
from lora_lab.verdict.agreement import interval, krippendorff
from lora_lab.verdict.raters import combine, on_one_scale


def scores(rater: str, values: dict[str, float], session: str = "", start: int = 0) -> list[Score]:
    return [
        Score(f"{rater}{session}{place}{start}", session, rater, place, "1", start + number, value)
        for number, (place, value) in enumerate(values.items())
    ]


def test_one_rater_is_taken_as_given() -> None:
    found = combine(ScoreLog(scores=scores("anna", {"a": 80, "b": 20})), {})
    assert found.places["a", "1"].value == 80 and found.notes == ()


def test_a_strict_rater_who_saw_the_good_runs_does_them_no_harm() -> None:
    # True values 30, 50, 70, 90; anna sees all, ben is 20 stricter and sees the two best.
    log = ScoreLog(
        scores=scores("anna", {"a": 30, "b": 50, "c": 70, "d": 90}) + scores("ben", {"c": 50, "d": 70})
    )
    found = combine(log, {})
    values = [found.places[run, "1"].value for run in "abcd"]
    assert [values[i + 1] - values[i] for i in range(3)] == pytest.approx([20, 20, 20])
    levels = {rater.name: rater.level for rater in found.raters}
    assert levels["anna"] - levels["ben"] == pytest.approx(20)


def test_spread_is_made_equal_where_enough_is_shared() -> None:
    true = {f"r{i}": float(10 * i) for i in range(9)}
    narrow = {run: 40 + value / 4 for run, value in true.items()}
    found, _, notes = on_one_scale(
        {
            "anna": {(run, "1"): v for run, v in true.items()},
            "ben": {(run, "1"): v for run, v in narrow.items()},
        }
    )
    assert found["anna"]["r8", "1"] == pytest.approx(found["ben"]["r8", "1"])
    assert "spread" in notes[0]


def test_raters_with_nothing_in_common_are_named() -> None:
    log = ScoreLog(scores=scores("anna", {"a": 80, "b": 60}) + scores("ben", {"c": 30, "d": 10}))
    found = combine(log, {})
    assert any("scored no checkpoint that somebody else scored" in text for text in found.notes)
    assert found.places["a", "1"].value == pytest.approx(found.places["c", "1"].value)


def test_repeats_measure_the_rater_and_drift() -> None:
    first = scores("anna", {"a": 80, "b": 60, "c": 40}, "s")
    again = scores("anna", {"a": 75, "b": 55, "c": 35}, "s", start=10)
    (rater,) = combine(ScoreLog(scores=first + again), {}).raters
    assert rater.repeats == 3 and rater.repeat_sd == pytest.approx((25 / 2) ** 0.5)
    assert rater.drift == pytest.approx(-5), "5 points in 10 judgements"


def test_scores_of_one_experiment_are_pooled() -> None:
    log = ScoreLog(scores=scores("anna", {"a": 80, "b": 60}))
    assert combine(log, {"b": "a"}).places["a", "1"].value == 70


def test_krippendorff_of_the_published_example() -> None:
    # Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section E: interval data, 0.849.
    rows = {
        "A": "1 2 3 3 2 1 4 1 2 . . .",
        "B": "1 2 3 3 2 2 4 1 2 5 . 3",
        "C": ". 3 3 3 2 3 4 2 2 5 1 .",
        "D": "1 2 3 3 2 4 4 1 2 5 1 .",
    }
    given = {
        name: {place: float(value) for place, value in enumerate(text.split()) if value != "."}
        for name, text in rows.items()
    }
    assert krippendorff(given) == pytest.approx(0.849, abs=0.001)
    assert krippendorff({"A": {1: 5.0}, "B": {2: 6.0}}) is None


def test_the_interval_of_a_rank_correlation() -> None:
    low, high = interval(0.5, 30)
    assert low < 0.5 < high and (low, high) == pytest.approx((0.143, 0.741), abs=0.01)
    assert interval(1.0, 10)[1] <= 1
