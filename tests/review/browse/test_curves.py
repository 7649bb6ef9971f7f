"""Curves: what is read from step logs, how it is smoothed and thinned, and where it is drawn."""

import math
from pathlib import Path

import pytest

from lora_lab.files import append_line
from lora_lab.review.browse import curves
from lora_lab.review.browse.chart import HEIGHT, LEFT, RIGHT, TOP, WIDTH, drawing, ticks
from lora_lab.review.browse.curves import POINTS, Chart, Curve, StepLogs, charts, thinned
from lora_lab.review.browse.runs import Run, SweepCache
from lora_lab.store import SweepFolder
from tests.review.troubled import STEPS, make_troubled


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return make_troubled(tmp_path / "bad")


def runs_of(folder: SweepFolder, *names: str) -> list[Run]:
    sweep = SweepCache().read(folder)
    return [sweep.runs[name] for name in names]


def test_the_charts_are_those_of_which_something_was_logged(folder: SweepFolder) -> None:
    found = charts(runs_of(folder, "good", "failed", "diverged"), StepLogs(), "step")
    assert [chart.title for chart in found] == ["Loss", "Learning rate", "Gradient norm"]
    assert [(curve.label, curve.number) for curve in found[0].curves] == [("good", 0), ("diverged", 2)]
    assert charts(runs_of(folder, "failed"), StepLogs(), "step") == []


def test_the_line_is_the_running_mean_and_the_raw_values_stay(folder: SweepFolder) -> None:
    loss = charts(runs_of(folder, "good"), StepLogs(), "step")[0].curves[0]
    assert loss.raw[0] == (1.0, 1 - 1 / 200) and len(loss.raw) == STEPS
    place, height = loss.points[60]
    # The running mean of a straight line is the line.
    assert (place, height) == (61.0, pytest.approx(1 - 61 / 200))


def test_a_loss_that_is_no_number_is_left_out_and_the_end_is_marked(folder: SweepFolder) -> None:
    curve = charts(runs_of(folder, "diverged"), StepLogs(), "step")[0].curves[0]
    assert curve.points[-1][0] == 56.0 and curve.broken == "diverged"


def test_learning_rates_are_named_where_they_differ(folder: SweepFolder) -> None:
    rates = charts(runs_of(folder, "good"), StepLogs(), "step")[1]
    assert {(curve.label, curve.points[0][1]) for curve in rates.curves} == {
        ("good: unet", 1e-4),
        ("good: text encoder", 5e-5),
    }


@pytest.mark.parametrize(("progress", "last"), [("samples", 240.0), ("epoch", 10.0), ("minutes", 1.0)])
def test_curves_stand_against_what_is_asked_for(folder: SweepFolder, progress: str, last: float) -> None:
    loss = charts(runs_of(folder, "good"), StepLogs(), progress)[0].curves[0]
    assert loss.points[-1][0] == pytest.approx(last)


def test_a_log_that_grew_is_read_again_and_only_then(folder: SweepFolder) -> None:
    logs, (run,) = StepLogs(), runs_of(folder, "diverged")
    before = logs.of(run)
    assert logs.of(run) is before and len(before.columns["step"]) == 57
    append_line(run.read.folder.steps_file, {"step": 58, "loss": 0.5}, durable=True)
    append_line(run.read.folder.steps_file, {"step": 3, "loss": 9.0})
    assert logs.of(run).points("step", "loss")[-1] == (58.0, 0.5)
    assert logs.of(run).points("step", "loss")[2] == (3.0, 9.0), "the later line of an update counts"


def test_few_logs_are_kept(folder: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "KEPT", 1)
    logs, (good, bad) = StepLogs(), runs_of(folder, "good", "diverged")
    first = logs.of(good)
    logs.of(bad)
    assert logs.of(good) is not first
    assert logs.of(good).points("step", "loss") == first.points("step", "loss")


def test_a_validation_loss_has_a_chart_of_its_own(folder: SweepFolder) -> None:
    file = folder.run("good").steps_file
    append_line(file, {"step": STEPS + 1, "loss": 0.3, "validation_loss": 0.25}, durable=True)
    found = charts(runs_of(folder, "good"), StepLogs(), "step")
    assert [chart.title for chart in found][1] == "Validation loss"
    assert found[1].curves[0].points == ((STEPS + 1.0, 0.25),)


def test_a_twin_shows_the_curve_of_the_run_that_did_the_work(folder: SweepFolder) -> None:
    logs = StepLogs()
    twin, good = (logs.of(run) for run in runs_of(folder, "twin", "good"))
    assert twin is good and twin.points("step", "loss")


def test_thinning_keeps_every_extreme() -> None:
    points = [(float(x), math.sin(x / 50) + (7.0 if x == 3333 else 0.0)) for x in range(10_000)]
    few = thinned(points)
    assert len(few) <= POINTS + 2 and (3333.0, points[3333][1]) in few
    assert list(few) == sorted(few), "in the order of progress"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (1.0, 540.0, [100, 200, 300, 400, 500]),
        (0.0, 3e-4, [0, 1e-4, 2e-4, 3e-4]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high, 6) == pytest.approx(expected)


def test_lines_and_labels_stay_within_the_chart_and_apart() -> None:
    lines = tuple(
        Curve(f"run {number}", number, tuple((float(x), 0.5 + number / 1000) for x in range(1, 50)))
        for number in range(8)
    )
    drawn = drawing(Chart("Loss", lines), "steps")
    for line in drawn.lines:
        for pair in line.points.split():
            x, y = map(float, pair.split(","))
            assert LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT
    labels = sorted(line.label_y for line in drawn.lines)
    assert all(after - before >= 13.9 for before, after in zip(labels, labels[1:], strict=False))
    assert labels[0] > 0 and labels[-1] < HEIGHT
    assert drawn.words.startswith("run 0 from 0.5 to 0.5; run 1 from 0.501")


@pytest.mark.parametrize("log", [False, True])
def test_a_single_point_can_be_drawn(log: bool) -> None:
    drawn = drawing(Chart("Loss", (Curve("one", 0, ((1.0, 0.25),)),), log), "steps")
    assert "nan" not in drawn.lines[0].points and drawn.y_marks


def test_zero_heights_can_be_drawn() -> None:
    points = tuple((float(x), 0.0) for x in range(5))
    assert drawing(Chart("Loss", (Curve("flat", 0, points),)), "steps").lines[0].points
