"""The verdict in the gallery has the numbers of the command line, the report and the plots."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from lora_lab.plots import subject
from lora_lab.plots.by_setting import by_setting
from lora_lab.review.web.app import create_app
from lora_lab.store import SweepFolder
from lora_lab.store.verdicts import read_verdicts
from lora_lab.verdict.calls import points
from lora_lab.verdict.lines import noise_text, scale_of
from lora_lab.verdict.taken import take
from lora_lab.words import LANGUAGES, in_language
from tests import scored
from tests.review.conftest import ADDRESS


@pytest.fixture
def made(tmp_path: Path) -> SweepFolder:
    return scored.sweep(tmp_path)


@pytest.fixture
def gallery(made: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    # Drawing takes most of the time, and is tested elsewhere.
    monkeypatch.setattr("lora_lab.report.page.plots", lambda subject: [])
    with TestClient(create_app(made.path.parent), ADDRESS) as client:
        yield client


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_shows_the_numbers_that_the_command_line_shows(
    gallery: TestClient, made: SweepFolder, language: str
) -> None:
    answer = gallery.get(f"/sweep/{made.name}/verdict/?language={language}")
    assert answer.status_code == 200
    told = words(answer.text)
    found = subject(made)
    verdict = take(made, found.evidence)
    scale = scale_of(verdict)
    assert in_language(noise_text(verdict.noise, scale), language) in told
    for effect in verdict.settings:
        for item in effect.contrasts:
            assert points(item.difference, scale).replace("-", "−") in told
    assert verdict.recommendation is not None and verdict.recommendation.run in told


def test_it_is_kept_as_every_verdict_is_and_says_which_look_it_is(
    gallery: TestClient, made: SweepFolder
) -> None:
    first = words(gallery.get(f"/sweep/{made.name}/verdict/").text)
    assert "this is the first verdict on these scores" in first
    assert len(read_verdicts(made)) == 1
    gallery.get(f"/sweep/{made.name}/verdict/")
    assert len(read_verdicts(made)) == 1, "asking again without new scores is no new look"


def test_plots_draw_the_scores_that_the_verdict_judges(made: SweepFolder) -> None:
    found = subject(made)
    scores = {run.name: run.score for run in take(made, found.evidence).evidence.scored}
    drawn = [point for key in found.settings for point in by_setting(found, key).points]
    assert drawn and all(scores[point.run] == point.score for point in drawn if point.run in scores)
