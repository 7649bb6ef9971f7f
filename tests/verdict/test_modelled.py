"""What a model of all runs says where matched pairs are missing, and which run it would take."""

import random

from lora_lab.verdict.judge import judge
from tests.verdict.made import Row, evidence


def scattered(effect: float, seed: int = 2, error: float = 4.0) -> list[Row]:
    """Runs in which `a` never changes alone, as `b` follows it but for two runs; `c` is free."""
    draw = random.Random(seed)
    rows: list[Row] = []
    for number in range(24):
        own = {key: draw.randint(0, 2) for key in "abcdefgh"}
        score = 50 + effect * own["a"] + 6 * own["b"] - 8 * own["c"] + draw.gauss(0, error)
        rows.append((f"r{number}", own, number, score))
    return rows


def test_settings_without_pairs_are_said_by_a_model_that_says_what_it_is() -> None:
    verdict = judge(evidence(scattered(10.0)))
    assert not verdict.settings, "no two runs differ in one setting alone"
    told = " ".join(verdict.notes)
    assert "a model of all runs, no test" in told and "leaving out one of 24 runs at a time" in told
    assert "residuals" in told and "largest" in told
    base = verdict.evidence.run(verdict.reference).settings["a"]
    level = 2 if base != 2 else 0
    told_of_a = told.split(f"a {base} -> {level}: ")[1].split(" ")[0]
    assert (float(told_of_a) > 5) == (level > base) and abs(float(told_of_a)) < 30


def test_a_model_that_predicts_nothing_says_nothing() -> None:
    draw = random.Random(5)
    rows = [(name, own, seed, 50 + draw.gauss(0, 6)) for name, own, seed, _ in scattered(0.0)]
    assert "a model of all runs" not in " ".join(judge(evidence(rows)).notes)


def test_the_recommended_run_is_the_one_that_all_runs_speak_for() -> None:
    within, other = [0, 0], 0
    for turn in range(30):
        rows = scattered(10.0, seed=turn, error=7.0)
        true = {name: 10 * own["a"] + 6 * own["b"] - 8 * own["c"] for name, own, _, _ in rows}
        advice = judge(evidence(rows)).recommendation
        assert advice is not None
        for number, run in enumerate((advice.best, advice.run)):
            within[number] += true[run] >= max(true.values()) - 3
        if advice.run != advice.best:
            other += 1
            assert any("is taken instead: all runs together" in reason for reason in advice.reasons)
    assert other and within[1] > within[0], within
