"""Several raters on one scale."""

import random
from dataclasses import replace
from statistics import mean

import pytest

from lora_lab.store import Score
from lora_lab.store.scales import fit
from lora_lab.store.scores import ScoreLog
from lora_lab.verdict.agreement import interval, krippendorff
from lora_lab.verdict.evidence import CheckpointEvidence
from lora_lab.verdict.judge import judge
from lora_lab.verdict.raters import combine
from tests.verdict.made import of, run


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
    found = combine(ScoreLog(scores=scores("anna", true) + scores("ben", narrow)), {})
    scales = fit({("anna", ""): _places(true), ("ben", ""): _places(narrow)})
    assert scales.slopes["anna"] / scales.slopes["ben"] == pytest.approx(4, rel=0.1), (
        "they agree in all but it"
    )
    each = [scales.adjusted((name, ""), own["r8"]) for name, own in (("anna", true), ("ben", narrow))]
    assert each[0] == pytest.approx(each[1], abs=3) and found.places["r8", "1"].value <= 100


def _places(values: dict[str, float]) -> dict[tuple[str, str], float]:
    return {(run, "1"): value for run, value in values.items()}


def test_a_rater_who_saw_only_good_runs_is_not_stretched() -> None:
    draw = random.Random(8)
    true = {f"r{i}": 4.0 * i for i in range(25)}

    def seen(names: list[str], error: float = 5) -> dict[str, float]:
        return {name: min(100, max(0, round(true[name] + draw.gauss(0, error)))) for name in names}

    good = [name for name, value in true.items() if value > 60]
    log = ScoreLog(
        scores=scores("anna", seen(list(true))) + scores("ben", seen(list(true))) + scores("cleo", seen(good))
    )
    found = combine(log, {})
    errors = [found.places[name, "1"].value - value for name, value in true.items()]
    assert (sum(error * error for error in errors) / len(errors)) ** 0.5 < 4
    slopes = fit(
        {(name, ""): {i.place: i.value for i in log.scores if i.rater == name} for name in ("anna", "cleo")}
    ).slopes
    assert 0.8 < slopes["cleo"] < 1.25


def test_levels_of_a_weak_chain_are_exact() -> None:
    # Ten raters, each sharing one checkpoint with the next: rater k is k points stricter.
    own = {}
    for k in range(10):
        own[f"rater{k}", ""] = {(f"r{k}", "1"): 50.0 - 3 * k, (f"r{k + 1}", "1"): 60.0 - 3 * k}
    levels = fit(own).levels
    # The second place of a rater is the first one of the next, who gives it less.
    steps = [levels[f"rater{k}"] - levels[f"rater{k + 1}"] for k in range(9)]
    assert steps == pytest.approx([(60 - 3 * k) - (50 - 3 * (k + 1)) for k in range(9)])
    assert sum(levels.values()) == pytest.approx(0)


def test_raters_with_nothing_in_common_are_named_and_never_compared() -> None:
    log = ScoreLog(scores=scores("anna", {"a": 80, "b": 60, "e": 50}) + scores("ben", {"c": 30, "d": 10}))
    found = combine(log, {})
    assert any("ben scored no checkpoint that the others scored" in text for text in found.notes)
    assert found.places["a", "1"].scale == "" and found.places["c", "1"].scale == "ben"
    items = {
        name: CheckpointEvidence("1", human=given.value, scale=given.scale)
        for (name, _), given in found.places.items()
    }
    values = {"a": 0, "b": 1, "e": 2, "c": 3, "d": 4}
    runs = [run(name, {"x": values[name]}, checkpoints=(item,)) for name, item in items.items()]
    verdict = judge(of(runs))
    pairs = {
        (pair.reference, pair.other) for one in verdict.settings for c in one.contrasts for pair in c.pairs
    }
    assert pairs and not any((one in "abe") != (other in "abe") for one, other in pairs)
    assert verdict.recommendation is not None and verdict.recommendation.rivals == ()


def test_printed_scores_stay_on_the_scale() -> None:
    # One score of a strict rater against 26 of another: the level of the one must not lead out of 0 to 100.
    many = {f"r{i}": 100.0 for i in range(26)}
    found = combine(ScoreLog(scores=scores("anna", many) + scores("ben", {"r0": 10.0})), {})
    assert all(0 <= given.value <= 100 for given in found.places.values())


def test_a_session_with_a_bridge_is_put_on_one_level_and_one_without_is_named() -> None:
    first = {f"r{i}": 10.0 * i for i in range(8)}
    later = {"r1": 22.0, "r4": 52.0, "r6": 72.0, "new": 92.0}
    found = combine(ScoreLog(scores=scores("anna", first, "s1") + scores("anna", later, "s2")), {})
    assert 80 < found.places["new", "1"].value < 90, "drawn towards the rater's level, and so not all of 12"
    assert any("sessions were put on one level" in text for text in found.notes)
    apart = combine(ScoreLog(scores=scores("anna", first, "s1") + scores("anna", {"new": 92.0}, "s2")), {})
    assert apart.places["new", "1"].value == pytest.approx(92)
    assert any("whether one was stricter cannot be seen" in text for text in apart.notes)


def test_leaders_who_score_less_when_they_are_shown_again_make_no_strict_session() -> None:
    # They had luck: nobody is stricter, and over many sessions no level may be found.
    draw, levels, too_high = random.Random(3), [], []
    for _ in range(60):
        true = {f"r{i}": draw.gauss(55, 10) for i in range(25)}
        first = {name: value + draw.gauss(0, 6) for name, value in true.items()}
        top = sorted(first, key=lambda name: -first[name])[:8]
        again = {name: true[name] + draw.gauss(0, 6) for name in top}
        scales = fit({("anna", "s1"): _places(first), ("anna", "s2"): _places(again)})
        levels.append(scales.sessions["anna", "s2"] - scales.sessions["anna", "s1"])
        log = ScoreLog(scores=scores("anna", first, "s1") + scores("anna", again, "s2"))
        off = {name: combine(log, {}).places[name, "1"].value - true[name] for name in true}
        rest = [name for name in true if name not in top]
        too_high.append(mean(off[name] for name in top) - mean(off[name] for name in rest))
    assert abs(mean(levels)) < 0.7, "fixed levels are off by -2"
    assert mean(too_high) < 4, "fixed levels make it 5"


def test_a_second_session_of_all_that_is_stricter_is_found_to_be() -> None:
    first = {f"r{i}": 12.0 + 10 * i for i in range(9)}
    strict = {name: value - 8 for name, value in first.items()}
    scales = fit({("anna", "s1"): _places(first), ("anna", "s2"): _places(strict)})
    apart = scales.sessions["anna", "s1"] - scales.sessions["anna", "s2"]
    assert 6 < apart < 8, "drawn towards none"
    values = combine(ScoreLog(scores=scores("anna", first, "s1") + scores("anna", strict, "s2")), {}).places
    assert values["r8", "1"].value - values["r0", "1"].value == pytest.approx(80)


def test_every_look_of_a_rater_counts_as_much() -> None:
    looks = scores("anna", {"a": 60.0, "b": 20.0}) + scores("anna", {"a": 90.0}, start=5)
    looks += scores("anna", {"a": 90.0}, start=9)
    assert combine(ScoreLog(scores=looks), {}).places["a", "1"].value == pytest.approx(80)


def test_repeats_measure_the_rater_and_drift() -> None:
    first = scores("anna", {"a": 80, "b": 60, "c": 40}, "s")
    again = scores("anna", {"a": 75, "b": 55, "c": 35}, "s", start=10)
    (rater,) = combine(ScoreLog(scores=first + again), {}).raters
    assert rater.repeats == 3 and rater.repeat_sd == pytest.approx(0, abs=1e-9)
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
    two = {name: {1: 5.0, 2: 90.0} for name in "AB"}
    assert krippendorff(two) is None, "two checkpoints say nothing of agreement"


def test_the_interval_of_a_rank_correlation() -> None:
    low, high = interval(0.5, 30)
    assert low < 0.5 < high and (low, high) == pytest.approx((0.143, 0.741), abs=0.01)
    assert interval(1.0, 10)[1] <= 1


def test_one_score_of_another_rater_does_not_move_26() -> None:
    # Anna gave 26 scores, from 2 to 94; Ben 100 for the very one that she gave 2.
    many = {"r0": 2.0, **{f"r{i}": 19.0 + 3 * i for i in range(1, 26)}}
    assert max(many.values()) == 94
    found = combine(ScoreLog(scores=scores("anna", many) + scores("ben", {"r0": 100.0})), {})
    values = {run: found.places[run, "1"].value for run in many}
    assert all(0 <= value <= 100 for value in values.values())
    others = [values[f"r{i}"] for i in range(1, 26)]
    assert others == sorted(set(others)), "what anna told apart stays apart, also at the end of the scale"
    assert values["r25"] == pytest.approx(94, abs=10)


def test_other_shots_of_a_checkpoint_are_no_repeats_of_it() -> None:
    wide, narrow = tuple((prompt, 7, 1.0) for prompt in range(3)), ((0, 7, 0.6),)
    first = scores("anna", {"a": 80, "b": 60, "c": 40}, "s1")
    again = scores("anna", {"a": 30, "b": 50}, "s2", start=10)
    looks = [replace(item, shots=wide) for item in first] + [replace(item, shots=narrow) for item in again]
    found = combine(ScoreLog(scores=looks), {})
    (rater,) = found.raters
    assert (rater.judgements, rater.repeats, rater.repeat_sd) == (3, 0, None)
    assert {run: found.places[run, "1"].value for run in "abc"} == {"a": 80, "b": 60, "c": 40}
    assert any(note.startswith("2 scores of other images") for note in found.notes)
