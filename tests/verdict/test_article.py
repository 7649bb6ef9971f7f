"""The article's own scores: its conclusions where they are decidable, and no others."""

import re
from pathlib import Path

import pytest

from lora_lab.__main__ import main
from lora_lab.axes import show
from lora_lab.verdict.judge import judge
from lora_lab.verdict.result import NOT_DECIDED, SEEMS_TO_HURT, SEEMS_TO_INTERACT, Verdict
from lora_lab.verdict.score_table import read_score_table

ARTICLE = Path(__file__).parents[1] / "data" / "article.csv"


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    return judge(read_score_table(ARTICLE))


def test_matched_pairs_are_the_articles(verdict: Verdict) -> None:
    found = {
        (item.key, show(contrast.level)): [
            (pair.reference, pair.other, pair.difference) for pair in contrast.pairs
        ]
        for item in verdict.settings
        for contrast in item.contrasts
    }
    assert found == {
        ("network.network_alpha", "16"): [("3", "6", -30.0)],
        ("network.network_alpha", "64"): [("9", "2", -80.0), ("3", "5", -30.0)],
        ("dataset.repeats", "5"): [("3", "11", -20.0)],
        ("dataset.repeats", "25"): [("3", "12", -10.0)],
        ("train.max_train_epochs", "40"): [("3", "10", -15.0)],
        ("train.train_batch_size", "4"): [("3", "13", -2.0)],
        ("base_model.path", "meichidarkMix_meichidarkV45"): [("3", "8", 0.0)],
        ("optimizer.name", "DAdaptation"): [("13", "17", -8.0)],
        ("optimizer.name", "the rest"): [("13", "other optimizers", -38.0)],
    }


def test_alpha_hurts_and_interacts_with_lion(verdict: Verdict) -> None:
    alpha = next(item for item in verdict.settings if item.key == "network.network_alpha")
    assert alpha.call == SEEMS_TO_HURT and {item.call for item in alpha.contrasts} == {SEEMS_TO_HURT}
    (square,) = verdict.interactions
    assert square.call == SEEMS_TO_INTERACT
    assert square.scores == (90, 60, 80, 0) and square.difference == -50
    assert "dataset.repeats" in square.assumed, "nothing is known of it under Lion"


def test_without_replicates_the_rest_is_not_decided(verdict: Verdict) -> None:
    assert verdict.noise.source == "unmeasured"
    calls = {item.key: item.call for item in verdict.settings}
    for key in ("train.max_train_epochs", "dataset.repeats", "train.train_batch_size", "base_model.path"):
        assert calls[key] == NOT_DECIDED
    assert all(contrast.low is None for item in verdict.settings for contrast in item.contrasts)


def test_patterns_13_23_and_24_are_one_experiment(verdict: Verdict) -> None:
    same = {run.name: run.same_as for run in verdict.evidence.runs if run.same_as}
    assert same == {"23": "13", "24": "13"}
    assert any("sets its own learning rate" in text for text in verdict.notes)


def test_failures_are_data(verdict: Verdict) -> None:
    assert verdict.missing["25"].startswith("black")
    assert verdict.missing["8bit optimizers"].startswith("failed")
    assert verdict.missing["4"] == "the table only says <90"
    shares = {
        str(item.value): (item.usable, item.of) for item in verdict.usable if item.key == "optimizer.name"
    }
    assert shares["Lion"] == (2, 3) and shares["every 8bit"] == (0, 1) and shares["Adafactor"] == (10, 10)


def test_with_an_assumed_noise_floor_the_larger_ones_are_decided() -> None:
    verdict = judge(read_score_table(ARTICLE), noise_floor=5.0)
    calls = {item.key: item.call for item in verdict.settings}
    assert calls["network.network_alpha"] == "hurts" and calls["dataset.repeats"] == "hurts"
    assert calls["train.max_train_epochs"] == "hurts"
    assert calls["train.train_batch_size"] == NOT_DECIDED and calls["base_model.path"] == NOT_DECIDED
    assert verdict.recommendation is not None and verdict.recommendation.run == "3"


def test_the_page_on_verdicts_shows_what_comes_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verdict", "--scores", str(ARTICLE)]) == 0
    told = "".join(capsys.readouterr().out.split())
    page = (Path(__file__).parents[2] / "docs" / "verdict_reference.md").read_text(encoding="utf-8")
    shown = re.findall(r"```text\n(.*?)```", page.split("## The article's scores")[1], re.DOTALL)[0]
    for line in re.split(r"\.\.\.|\n(?=\S)", shown):
        assert "".join(line.split()) in told, line
