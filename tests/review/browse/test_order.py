"""Scores in the matrix, and runs in their order."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from lora_lab.review.browse.order import Scores, ordered, orders
from lora_lab.review.browse.runs import SweepCache
from lora_lab.review.web.app import create_app
from lora_lab.store.comparable import ratings
from tests import scored
from tests.review.conftest import ADDRESS


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scored.sweep(tmp_path_factory.mktemp("results"), images=True).path.parent


def test_runs_stand_by_their_best_score_and_those_without_one_last(results: Path) -> None:
    sweep = SweepCache().read(scored.SweepFolder(results / "made"))
    runs = list(sweep.runs.values())
    scores = Scores(ratings(sweep.read.scores(), sweep.read.twins))
    known = orders(runs, scores, sweep.judging_metrics)
    names = [run.name for run in ordered(runs, known["score"])]
    best = {name: max(values) for name, values in scored.SCORES.items()}
    assert names[:-1] == sorted(best, key=lambda name: -best[name]) and names[-1] == "broken"
    assert [run.name for run in ordered(runs, known["plan"])] == list(scored.RUNS)
    assert [run.name for run in ordered(runs, known["name"])] == sorted(scored.RUNS)
    assert scores.best(sweep.runs["alpha-64"])[0] == "000010"  # type: ignore[index]
    assert scores.best(sweep.runs["broken"]) is None


def test_the_page_shows_scores_and_keeps_the_order(results: Path) -> None:
    with TestClient(create_app(results), ADDRESS) as client:
        text = client.get("/sweep/made/look?sort=score&size=128").text
        plain = client.get("/sweep/made/look?sort=nonsense").text
    rows = [part.split('"')[0] for part in text.split('data-row="')[1:]]
    assert rows[0] == "base" and rows[-1] == "broken"
    assert 'class="badge score" title="score of this checkpoint">90<' in text
    assert 'value="score" selected' in text and "sort=score&amp;size=256" in text
    assert [part.split('"')[0] for part in plain.split('data-row="')[1:]] == list(scored.RUNS)
