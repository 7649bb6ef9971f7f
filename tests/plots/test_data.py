"""What plots show, number by number."""

from pathlib import Path

import pytest

from lora_lab.errors import ConfigError, RunFolderError
from lora_lab.files import append_line
from lora_lab.plots import Subject, subject
from lora_lab.plots.by_setting import by_setting
from lora_lab.plots.cost import costs
from lora_lab.plots.curves import thinned
from lora_lab.plots.epochs import epochs
from lora_lab.plots.interaction import interaction, interactions
from lora_lab.plots.loss import losses
from lora_lab.plots.timings import timings, unit_of
from lora_lab.store import SweepFolder
from lora_lab.verdict.front import front
from tests import scored

ALPHA = "network.network_alpha"


def test_scores_stand_at_their_settings_value(made: Subject) -> None:
    plot = by_setting(made, ALPHA)
    shown = {point.run: (point.value, point.score) for point in plot.points}
    assert shown == {
        "base": (1.0, 90.0), "base-r2": (1.0, 80.0), "alpha-16": (16.0, 60.0), "alpha-64": (64.0, 20.0),
        "lion": (1.0, 85.0), "lion-16": (16.0, 0.0), "broken": (128.0, None),
    }  # fmt: skip
    assert plot.scale.kind == "log"
    assert plot.scale.ticks == ((1.0, "1"), (16.0, "16"), (64.0, "64"), (128.0, "128"))
    assert plot.criterion == "score"


def test_runs_that_differ_in_the_setting_alone_are_joined(made: Subject) -> None:
    pairs = set(by_setting(made, ALPHA).pairs)
    assert {("base", "alpha-16"), ("alpha-16", "alpha-64"), ("lion", "lion-16")} <= pairs
    assert ("base", "alpha-64") not in pairs, "the line goes by way of alpha 16"
    assert ("base-r2", "alpha-16") not in pairs, "there is a partner with the same seed"
    assert not {("base", "lion-16"), ("base", "lion")} & pairs


def test_a_run_without_a_score_is_kept_with_its_reason(made: Subject) -> None:
    (broken,) = [point for point in by_setting(made, ALPHA).points if point.run == "broken"]
    assert broken.broken and broken.score is None
    assert "not a number" in broken.missing


def test_the_seeds_band_spans_the_replicates(made: Subject) -> None:
    band = by_setting(made, ALPHA).noise
    assert band is not None
    assert (band.runs, band.low, band.high) == (("base", "base-r2"), 80.0, 90.0)


def test_names_make_a_category_axis(made: Subject) -> None:
    plot = by_setting(made, "optimizer.name")
    assert plot.scale.kind == "category"
    assert [text for _, text in plot.scale.ticks] == ["adamw", "lion"]
    assert {point.run: point.x for point in plot.points}["lion-16"] == 1.0


def test_a_setting_that_is_the_same_everywhere_is_refused(made: Subject) -> None:
    with pytest.raises(
        ConfigError, match="network.network_dim is the same in all runs of made; there differ: .*alpha"
    ):
        by_setting(made, "network.network_dim")


def test_two_settings_at_once_show_the_means_of_runs_alike_in_the_rest(made: Subject) -> None:
    plot = interaction(made, ALPHA, "optimizer.name")
    cells = {(cell.value, cell.by): (cell.score, cell.runs) for cell in plot.cells}
    assert cells == {
        (1.0, "adamw"): (85.0, ("base", "base-r2")),
        (16.0, "adamw"): (60.0, ("alpha-16",)),
        (64.0, "adamw"): (20.0, ("alpha-64",)),
        (1.0, "lion"): (85.0, ("lion",)),
        (16.0, "lion"): (0.0, ("lion-16",)),
    }
    assert [cell.x for cell in plot.lines["adamw"]] == [1.0, 16.0, 64.0]


def test_the_settings_that_can_be_crossed_are_found(made: Subject) -> None:
    assert interactions(made) == [(ALPHA, "optimizer.name")]
    with pytest.raises(ConfigError, match="differ in these two alone"):
        interaction(made, ALPHA, "network.network_dim")


def test_the_best_checkpoint_of_each_run_is_known(made: Subject) -> None:
    plot = epochs(made)
    best = {curve.run: curve.epochs[curve.best] for curve in plot.curves}
    assert best == {"base": 20, "base-r2": 20, "alpha-16": 20, "alpha-64": 10, "lion": 20, "lion-16": 10}
    assert plot.curves[0].scores == (70.0, 90.0)


def test_of_equal_checkpoints_the_earlier_is_the_best(tmp_path: Path) -> None:
    folder = scored.sweep(tmp_path, scored=False)
    for tag in ("000010", "000020"):
        scored.give(folder, "base", tag, "anna", 50)
    (curve,) = epochs(subject(folder)).curves
    assert curve.best == 0


def test_costs_and_which_checkpoints_nothing_cheaper_beats(made: Subject) -> None:
    points = {(point.run, point.tag): point for point in costs(made).points}
    assert points["base", "000020"].costs == (10.0, 8.0, 8.0)
    assert points["alpha-16", "000010"].costs == (6.0, 9.0, 4.0)
    cheap = {place for place, point in points.items() if point.front[0]}
    assert cheap == {("base", "000010"), ("base", "000020")}, "5 minutes for 70, 10 for 90"
    small = {place for place, point in points.items() if point.front[2]}
    assert small == {("alpha-16", "000020"), ("base", "000020")}


@pytest.mark.parametrize(
    ("points", "on"),
    [
        ([(1.0, 5.0), (2.0, 5.0), (2.0, 7.0), (3.0, 6.0)], [True, False, True, False]),
        ([(1.0, 5.0), (1.0, 5.0)], [True, True]),
        ([(None, 9.0), (1.0, 5.0)], [False, True]),
    ],
)
def test_the_front(points: list[tuple[float | None, float]], on: list[bool]) -> None:
    assert front(points) == on


def test_times_by_phase(made: Subject) -> None:
    plot = timings(made)
    assert [item.run for item in plot.runs] == list(scored.SCORES), "a run without any time is left out"
    assert plot.runs[1].seconds == (6.0, 0.0, 660.0, 0.0, 12.0, 0.0)
    assert unit_of(plot.runs[0].total) == ("min", 60.0)
    assert unit_of(90.0) == ("s", 1.0) and unit_of(7200.0) == ("h", 3600.0)


def test_losses_and_their_running_mean(made: Subject) -> None:
    curve = losses(made).curves[0]
    assert (curve.run, len(curve.loss)) == ("base", 40)
    # A twentieth of 40 steps: each with its neighbours, of which the first has one.
    assert curve.mean[:2] == pytest.approx(((1 + 1 / 2) / 2, (1 + 1 / 2 + 1 / 3) / 3))
    assert curve.samples[-1] == 40


def test_a_resumed_run_has_one_loss_per_update(tmp_path: Path) -> None:
    folder = scored.sweep(tmp_path)
    file = folder.run("base").steps_file
    for line in ({"step": 40, "samples": 40, "loss": 0.5}, {"step": 41, "samples": 41, "loss": float("nan")}):
        append_line(file, line)
    curve = losses(subject(folder)).curves[0]
    assert (len(curve.loss), curve.loss[-1]) == (40, 0.5)


def test_thinning_keeps_the_extremes() -> None:
    x = [float(n) for n in range(5000)]
    y = [(-1.0) ** n * n for n in range(5000)]
    y[3210] = 1e6
    few_x, few_y = thinned(x, y)
    assert len(few_x) <= 600 and few_x == sorted(few_x)
    assert 1e6 in few_y and min(few_y) == min(y)
    assert thinned([1, 2], [3, 4]) == ([1, 2], [3, 4])


def test_without_scores_a_metric_stands_in(unscored: Path) -> None:
    about = subject(SweepFolder(unscored))
    assert about.evidence.criterion == "likeness" and about.judged
    with pytest.raises(RunFolderError, match="beauty"):
        subject(SweepFolder(unscored), "beauty")


def test_a_metric_that_only_describes_stands_in_for_nothing(tmp_path: Path) -> None:
    folder = scored.sweep(tmp_path, scored=False)
    for run in folder.runs():
        run.run_file.write_text(run.run_file.read_text().replace('"likeness"', '"brightness"'))
    assert not subject(folder).judged


def test_scores_that_were_asked_for_are_not_replaced(unscored: Path) -> None:
    about = subject(SweepFolder(unscored), "score")
    assert about.evidence.criterion == "score" and not about.judged
