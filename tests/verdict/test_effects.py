"""What settings are called."""

import random

import pytest

from lora_lab.errors import ConfigError
from lora_lab.verdict.evidence import CheckpointEvidence
from lora_lab.verdict.gather import one_luck
from lora_lab.verdict.judge import judge
from lora_lab.verdict.result import (
    DEPENDS,
    HELPS,
    HURTS,
    INTERACTS,
    MIXED,
    NO_DIFFERENCE,
    NOT_DECIDED,
    SEEMS_TO_HURT,
    SettingEffect,
    Verdict,
)
from tests.verdict.made import Row, evidence, of, run

BASE = {"network.network_alpha": 8.0, "optimizer.name": "adamw", "optimizer.learning_rate": 1e-3}


def changed(**values: object) -> dict[str, object]:
    return {**BASE, **{key.replace("__", "."): value for key, value in values.items()}}


def replicates(scores: list[float], settings: dict[str, object] = BASE) -> list[Row]:
    return [(f"base-{seed}", settings, seed, score) for seed, score in enumerate(scores)]


STEADY = replicates([60.0, 61.0, 60.5, 59.5, 60.2])


def effect(verdict: Verdict, key: str) -> SettingEffect:
    return next(item for item in verdict.settings if item.key == key)


def test_calls() -> None:
    verdict = judge(
        evidence(
            [
                *STEADY,
                ("alpha-1", changed(network__network_alpha=1.0), 0, 80.0),
                ("alpha-64", changed(network__network_alpha=64.0), 0, 20.0),
                ("lion", changed(optimizer__name="lion"), 0, 30.0),
                ("lr", changed(optimizer__learning_rate=3e-3), 0, 61.0),
            ]
        )
    )
    alpha = effect(verdict, "network.network_alpha")
    assert alpha.call == MIXED and [item.call for item in alpha.contrasts] == [HELPS, HURTS]
    assert alpha.shape == "falling" and not alpha.survives_all, "both were run once"
    assert effect(verdict, "optimizer.name").call == HURTS
    rate = effect(verdict, "optimizer.learning_rate")
    assert rate.call == NOT_DECIDED and rate.repeat == {"base-0": 1, "lr": 6}, (
        "steady repeats of the base say little of it"
    )
    assert rate.under == ("optimizer.name", "adamw") and rate.title == "learning rate (adamw)"
    assert verdict.reference == "base-0"
    assert verdict.recommendation is not None and verdict.recommendation.run == "alpha-1"
    assert verdict.recommendation.overrides == ("network.network_alpha=1",)


def test_what_is_not_decided_says_how_many_runs_would() -> None:
    verdict = judge(
        evidence([*replicates([60.0, 64.0, 56.0]), ("lion", changed(optimizer__name="lion"), 0, 55.0)])
    )
    found = effect(verdict, "optimizer.name")
    assert found.call == NOT_DECIDED and found.more_runs == 12 and found.repeat == {"lion": 7, "base-0": 5}
    assert "about 12 more runs (base-0 5x, lion 7x) would find 10 points" in found.sentence


def test_without_replicates_nothing_is_tested() -> None:
    rows = [("base", BASE, 0, 90.0), ("lion", changed(optimizer__name="lion"), 0, 50.0)]
    rows.append(("alpha", changed(network__network_alpha=1.0), 0, 80.0))
    verdict = judge(evidence(rows))
    lion, alpha = effect(verdict, "optimizer.name"), effect(verdict, "network.network_alpha")
    assert lion.call == SEEMS_TO_HURT and lion.contrasts[0].low is None and lion.contrasts[0].p is None
    # 40 points are twice the normal quantile times sd times the square root of 2.
    assert lion.contrasts[0].holds_up_to == pytest.approx(40 / 1.95996 / 2**0.5, rel=1e-4)
    assert alpha.call == NOT_DECIDED and "run-to-run variation not measured" in alpha.sentence
    assumed = judge(evidence(rows), noise_floor=2.0)
    assert effect(assumed, "network.network_alpha").call == HURTS
    assert judge(evidence(rows), noise_floor=2.0).noise.source == "assumed"
    with pytest.raises(ConfigError, match="--noise-floor must be above 0, got -1"):
        judge(evidence(rows), noise_floor=-1.0)


def test_a_setting_that_helps_here_and_hurts_there_depends() -> None:
    lion = changed(optimizer__name="lion")
    verdict = judge(
        evidence(
            [
                *STEADY,
                ("alpha", changed(network__network_alpha=1.0), 0, 40.0),
                ("lion", lion, 0, 0.0),
                ("lion-alpha", {**lion, "network.network_alpha": 1.0}, 0, 75.0),
            ]
        )
    )
    alpha = effect(verdict, "network.network_alpha")
    assert alpha.call == DEPENDS
    assert "-20.2" in alpha.sentence or "-20" in alpha.sentence
    assert "+75 with optimizer lion" in alpha.sentence
    (square,) = verdict.interactions
    assert square.call == INTERACTS
    assert square.difference == pytest.approx(75.0 - (40.0 - 60.24))
    assert square.squares == (("base-0", "alpha", "lion", "lion-alpha"),)


def test_a_choice_is_compared_at_the_reference_of_its_own_settings() -> None:
    adafactor = {key: value for key, value in BASE.items() if key != "optimizer.learning_rate"}
    verdict = judge(
        evidence(
            [
                *STEADY,
                ("too-low", changed(optimizer__learning_rate=1e-6), 0, 5.0),
                ("adafactor", {**adafactor, "optimizer.name": "adafactor"}, 0, 40.0),
            ]
        )
    )
    (contrast,) = effect(verdict, "optimizer.name").contrasts
    assert [(pair.reference, pair.other) for pair in contrast.pairs] == [("base-0", "adafactor")]
    assert contrast.difference == pytest.approx(40 - 60.24)


def test_settings_that_always_change_together_are_named() -> None:
    both = changed(network__network_alpha=1.0, optimizer__learning_rate=1e-4)
    verdict = judge(evidence([*STEADY, ("both", both, 0, 80.0)]))
    assert verdict.settings == ()
    assert verdict.together == (("network.network_alpha", "optimizer.learning_rate"),)


def test_failures_are_missing_and_counted() -> None:
    runs = [run(*row) for row in STEADY]
    lion = changed(optimizer__name="lion")
    runs.append(run("lion", lion, status="diverged", reason="loss is nan at step 8", usable=False))
    verdict = judge(of(runs))
    assert verdict.missing == {"lion": "diverged: loss is nan at step 8"}
    assert verdict.settings == ()
    lion_share = next(item for item in verdict.usable if item.value == "lion")
    assert (lion_share.usable, lion_share.of) == (0, 1)


def test_rows_of_one_experiment_are_no_replicates() -> None:
    runs = [run("a", BASE, 1, 80.0), run("b", BASE, 1, 80.0, same_as="a")]
    runs.append(run("lion", changed(optimizer__name="lion"), 1, 20.0))
    verdict = judge(of(runs))
    assert verdict.noise.source == "unmeasured"
    assert any("b and a are one experiment" in text for text in verdict.notes)


def test_the_best_of_several_checkpoints_is_said_to_flatter() -> None:

    two = (CheckpointEvidence("1", 1, human=50.0), CheckpointEvidence("2", 2, human=40.0))
    runs = [run("a", BASE, 1, checkpoints=two), run("b", changed(optimizer__name="lion"), 1, 45.0)]
    found = of(runs, rule="best")
    assert found.runs[0].score == 50 and of(runs).runs[0].score == 40
    assert any("had more chances" in text for text in judge(found).notes)


def test_false_calls_are_as_rare_as_they_should_be() -> None:
    draw, called = random.Random(7), 0
    for _ in range(300):
        rows = replicates([round(60 + draw.gauss(0, 6)) for _ in range(3)])
        rows.append(("lion", changed(optimizer__name="lion"), 0, round(60 + draw.gauss(0, 6))))
        called += effect(judge(evidence(rows)), "optimizer.name").call not in (NOT_DECIDED, NO_DIFFERENCE)
    assert called <= 300 * 0.08


def test_an_early_checkpoint_is_a_shorter_run_where_no_schedule_looks_ahead() -> None:
    two = tuple(CheckpointEvidence(f"{epoch:06d}", epoch, human=50.0 + epoch) for epoch in (10, 20))
    lengths = {"train.max_train_epochs": 20, "train.max_train_steps": None}
    long = run("long", {**BASE, **lengths, "lr_scheduler.name": "constant"}, checkpoints=two)
    short = run("short", {**long.settings, "train.max_train_epochs": 10}, seed=2, checkpoints=two[:1])
    at_10 = of([long, short], rule="10")
    assert {item.group for item in at_10.runs} == {"long"}, "both are runs of 10 epochs"
    assert len({item.group for item in of([long, short]).runs}) == 2
    cosine = [run(one.name, {**one.settings, "lr_scheduler.name": "cosine"}, one.seed or 0,
                  checkpoints=one.checkpoints) for one in (long, short)]  # fmt: skip
    assert len({item.group for item in of(cosine, rule="10").runs}) == 2


def grid(scores: dict[tuple[int, int], list[float]]) -> list[Row]:
    """Runs of two settings: scores by levels, one for each seed."""
    return [
        (f"r{a}{b}-{seed}", {"network.network_alpha": a, "train.train_batch_size": b}, seed, score)
        for (a, b), own in scores.items()
        for seed, score in enumerate(own)
    ]


CROSSING = {
    (0, 0): [70.0, 75.0, 65.0, 71.0], (0, 1): [40.0, 44.0, 35.0, 41.0],
    (1, 0): [40.0, 36.0, 45.0, 39.0], (1, 1): [70.0, 66.0, 74.0, 71.0],
}  # fmt: skip


def test_effects_that_cross_depend_and_are_never_no_difference() -> None:
    verdict = judge(evidence(grid(CROSSING)))
    for key in ("network.network_alpha", "train.train_batch_size"):
        found = effect(verdict, key)
        assert found.call == DEPENDS and found.more_runs is None
        (contrast,) = found.contrasts
        assert contrast.conflict is not None and contrast.conflict < 1e-6
        assert sorted(round(pair.difference) for pair in contrast.pairs) == [-30, 30]
    (square,) = verdict.interactions
    assert square.call == INTERACTS and square.crossing


def test_where_only_the_base_was_repeated_a_conflict_is_no_request_for_more_runs() -> None:
    once = {key: own[:1] for key, own in CROSSING.items()} | {(0, 0): CROSSING[0, 0]}
    found = effect(judge(evidence(grid(once))), "network.network_alpha")
    assert found.call == DEPENDS and "more run" not in found.sentence


def test_no_difference_needs_every_pair_inside_the_margin() -> None:
    draw = random.Random(5)
    same = {key: [60 + draw.gauss(0, 2) for _ in range(8)] for key in CROSSING}
    assert effect(judge(evidence(grid(same))), "network.network_alpha").call == NO_DIFFERENCE
    # The mean of -9 and +9 is 0, and neither is shown to be smaller than 10.
    moved = {key: [value + (9 if key[0] == key[1] else 0) for value in own] for key, own in same.items()}
    assert effect(judge(evidence(grid(moved))), "network.network_alpha").call == DEPENDS
    few = {key: [60 + draw.gauss(0, 6) for _ in range(2)] for key in CROSSING}
    assert effect(judge(evidence(grid(few))), "network.network_alpha").call == NOT_DECIDED


def test_two_repeats_that_came_out_alike_make_nothing_else_sure() -> None:
    # The demo's two runs of the reference, 0.4 apart by luck; and repeats without any spread.
    for first, second, other in ((60.4, 60.9, 76.4), (61.37, 61.37, 61.38), (100.0, 100.0, 97.0)):
        rows = [*replicates([first, second]), ("lion", changed(optimizer__name="lion"), 0, other)]
        found = effect(judge(evidence(rows)), "optimizer.name")
        assert not found.survives_all
        assert found.call == NOT_DECIDED or other == 76.4


def test_checkpoints_of_one_training_are_shown_and_not_tested() -> None:
    long = {"train.max_train_epochs": 24}
    runs = [
        run("base", {**BASE, "train.max_train_epochs": 12}, 1, 60.0, training="long"),
        run("long", {**BASE, **long}, 1, 90.0),
    ]
    runs += [run(f"other-{seed}", changed(optimizer__name="lion"), seed, 60.0 + seed) for seed in range(4)]
    found = effect(judge(of(runs)), "train.max_train_epochs")
    assert (
        found.call == NOT_DECIDED and found.contrasts[0].difference == 30 and found.contrasts[0].low is None
    )
    assert found.contrasts[0].same_training and "share its luck" in found.sentence
    # Another seed of the reference is a training of its own.
    runs.append(run("base-2", {**BASE, "train.max_train_epochs": 12}, 2, 64.0))
    again = effect(judge(of(runs)), "train.max_train_epochs").contrasts[0]
    assert again.difference == 26 and again.low is not None and not again.same_training


def test_a_setting_that_was_run_once_has_no_star_unless_many_settings_vary_alike() -> None:
    draw, settings = random.Random(2), [changed(network__network_alpha=float(a)) for a in (1, 2, 4, 16)]
    rows = [*STEADY, ("lion", changed(optimizer__name="lion"), 0, 0.0)]
    assert not effect(judge(evidence(rows)), "optimizer.name").survives_all
    for number, own in enumerate(settings):
        rows += [(f"a{number}-{seed}", own, seed, 60 + draw.gauss(0, 1)) for seed in range(3)]
    assert effect(judge(evidence(rows)), "optimizer.name").survives_all


def test_grids_of_many_levels_have_one_test_for_each_pair_of_settings() -> None:
    draw, found = random.Random(4), 0
    for _ in range(60):
        rows: list[Row] = [
            (f"r{a}{b}", {"network.network_alpha": a, "train.train_batch_size": b}, 1, 60 + draw.gauss(0, 5))
            for a in range(4)
            for b in range(4)
        ]
        rows += [(f"again{i}", rows[0][1], i + 2, 60 + draw.gauss(0, 5)) for i in range(3)]
        verdict = judge(evidence(rows))
        found += any(item.call == INTERACTS for item in verdict.interactions)
        assert len(verdict.interactions) < 9
    assert found <= 60 * 0.12


def test_a_run_that_is_a_prefix_of_another_shares_its_luck_though_it_was_trained_again() -> None:
    steady = {**BASE, "lr_scheduler.name": "constant", "dataset.repeats": 3, "train.max_train_epochs": 12}
    runs = [run("reference", steady, 1), run("reference-r2", steady, 2)]
    runs += [run("epochs-24", {**steady, "train.max_train_epochs": 24}, 1)]
    runs += [
        run("repeats-1", {**steady, "dataset.repeats": 1}, 1),
        run("lion", {**steady, "optimizer.name": "lion"}, 1),
    ]
    found = {item.name: item.training for item in one_luck(runs)}
    assert found["reference"] == found["epochs-24"] == found["repeats-1"] == "reference"
    assert found["reference-r2"] == "reference-r2" and found["lion"] == "lion"
    cosine = [run(one.name, {**one.settings, "lr_scheduler.name": "cosine"}, one.seed or 0) for one in runs]
    assert {item.name: item.training for item in one_luck(cosine)} == {one.name: one.name for one in runs}
