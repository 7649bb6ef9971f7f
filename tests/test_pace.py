"""Speed, rest and trend of runs, from what workers report."""

from datetime import datetime

import pytest

from lora_lab.pace import (
    Progress,
    RunPace,
    SweepPace,
    shortened,
    spell_end,
    spell_memory,
    spell_seconds,
    spell_speed,
)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_run_that_goes_on_is_as_fast_as_its_fresh_steps() -> None:
    clock = Clock()
    pace = SweepPace({"a": 600, "b": 400}, clock)
    pace.step("a", {"step": 501, "loss": 0.5})
    whole = pace.progress
    assert whole.speed is None and whole.seconds_left is None, "500 steps of an earlier time are no speed"
    clock.now += 10
    pace.step("a", {"step": 521, "loss": 0.5})
    assert pace.runs["a"].speed == 2 and pace.runs["a"].seconds_left == 79 / 2
    assert pace.progress.done == 521 and pace.progress.total == 1000
    assert pace.progress.speed == 2 and pace.progress.seconds_left == 479 / 2
    clock.now += 10
    assert pace.progress.speed == 1, "loading and previews take their time, too"


def test_what_has_ended_early_needs_no_more_time() -> None:
    clock = Clock()
    pace = SweepPace({"a": 100, "b": 100}, clock)
    pace.step("a", {"step": 1, "memory": 2**30})
    pace.step("b", {"step": 1, "memory": 2**31})
    assert spell_memory(pace.memory) == "2.0 GiB"
    pace.end("b")
    assert pace.progress.done == 101 and spell_memory(pace.memory) == "1.0 GiB"
    pace.end("a")
    assert pace.progress.done == pace.progress.total and spell_memory(pace.memory) == ""


def test_progress_is_said_in_one_way() -> None:
    whole = Progress(total=2000, done=500, runs=4, ended=1, fresh=300, seconds=150.0)
    assert (whole.speed, whole.seconds_left) == (2.0, 750.0)
    assert whole.words.startswith("25% of 2,000 steps, 1/4 runs ended, 2.0 steps/s, 12:30 min left, ends ")
    unknown = Progress(total=2000, done=0, runs=4, ended=0, fresh=0, seconds=0.0)
    assert unknown.words == "0% of 2,000 steps, 0/4 runs ended"


@pytest.mark.parametrize(
    ("losses", "arrow"),
    [
        ([0.5] * 200, "→"),
        ([0.5 - 0.002 * step for step in range(200)], "↓"),
        ([0.1 + 0.002 * step for step in range(200)], "↑"),
        ([0.5] * 10, ""),
    ],
)
def test_the_trend_of_the_loss(losses: list[float], arrow: str) -> None:
    run = RunPace(len(losses))
    for step, loss in enumerate(losses):
        run.hear(step, loss, float(step))
    assert run.loss.partition(" ")[2] == arrow


def test_numbers_are_spelled_for_people() -> None:
    assert [spell_speed(value) for value in (None, 0, 12.34, 0.25)] == ["", "", "12.3 steps/s", "4.0 s/step"]
    assert [spell_seconds(value) for value in (None, 5, 65, 3599, 7265)] == [
        "",
        "0:05 min",
        "1:05 min",
        "59:59 min",
        "2 h 01 min",
    ]
    now = datetime(2026, 11, 26, 23, 50)
    assert spell_end(300, now) == "23:55" and spell_end(900, now) == "Fri 00:05" and spell_end(None) == ""


def test_names_keep_both_ends() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("adafactor-lr-1e-4", 9) == "adaf…1e-4"
    assert all(len(shortened("x" * 50, width)) == width for width in range(2, 20))
