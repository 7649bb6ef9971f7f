"""Verdict, plots, report and export in the browser say what the command line says."""

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from lora_lab.__main__ import main
from lora_lab.review.web.app import create_app
from lora_lab.review.web.gallery import TABS
from lora_lab.store import append_score_line
from tests import scored
from tests.review.conftest import ADDRESS


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one scored sweep."""
    return scored.sweep(tmp_path_factory.mktemp("results"), images=True).path.parent


@pytest.fixture(scope="module")
def asking(results: Path) -> Iterator[TestClient]:
    with TestClient(create_app(results), ADDRESS, follow_redirects=False) as made:
        made.headers["origin"] = ADDRESS
        yield made


def findings(html: str) -> list[str]:
    """The table of findings of a report, as text."""
    table = html.split('<section id="answer">')[1].split("</section>")[0]
    return re.sub(r"<[^>]+>", " ", table).split()


@pytest.mark.slow
def test_the_verdict_is_the_reports(asking: TestClient, results: Path, tmp_path: Path) -> None:
    answer = asking.get("/sweep/made/verdict/")
    assert answer.status_code == 200
    assert main(["report", str(results / "made"), "-o", str(tmp_path / "out")]) == 0
    written = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert findings(answer.text) == findings(written) != []
    assert "sha256-" in answer.headers["content-security-policy"]
    for address in set(re.findall(r'(?:src|srcset)="([^"]+)"', answer.text)):
        assert asking.get(f"/sweep/made/verdict/{address}").status_code == 200, address
    for _, _, path in TABS:
        assert f'href="/sweep/made/{path}"' in answer.text
        assert asking.get(f"/sweep/made/{path}").status_code == 200
    assert 'class="links"' not in written, "a report that is passed on leads nowhere else"


@pytest.mark.slow
def test_another_language_and_another_judge(asking: TestClient) -> None:
    answer = asking.get("/sweep/made/verdict/?language=ja")
    assert '<html lang="ja">' in answer.text
    source = re.findall(r'src="(plots/[^"]+)"', answer.text)[0]
    assert source.endswith("?language=ja") and asking.get(f"/sweep/made/verdict/{source}").status_code == 200
    assert asking.get("/sweep/made/verdict/?language=de").status_code == 400
    assert asking.get("/sweep/made/verdict/?metric=beauty").status_code == 404
    assert asking.get("/sweep/made/verdict/plots/../../../scores.jsonl").status_code == 404
    assert asking.get(f"/sweep/made/verdict/plots/{quote('../index.html', safe='')}").status_code == 404


@pytest.mark.slow
def test_a_new_score_is_in_the_next_verdict(tmp_path: Path) -> None:
    folder = scored.sweep(tmp_path, images=True)
    with TestClient(create_app(tmp_path), ADDRESS) as asking:
        before = asking.get("/sweep/made/verdict/").text
        assert "Best so far: base " in before.replace("base-r2", "")
        for tag in ("000010", "000020"):
            scored.give(folder, "alpha-64", tag, "anna", 100.0)
            scored.give(folder, "alpha-64", tag, "bert", 100.0)
        after = asking.get("/sweep/made/verdict/").text
    assert findings(before) != findings(after)


@pytest.mark.slow
def test_the_report_can_be_taken_away(asking: TestClient) -> None:
    answer = asking.get("/sweep/made/report.zip")
    names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    assert "made-report/index.html" in names and any(name.endswith(".svg") for name in names)


def test_what_cannot_be_exported_is_said_on_the_page(asking: TestClient) -> None:
    answer = asking.post("/sweep/made/make-export", data={"checkpoint": "nobody:000010"})
    assert answer.status_code == 303
    assert "no run &#39;nobody&#39;" in asking.get(answer.headers["location"]).text
    assert asking.get("/sweep/made/export/../scores.jsonl").status_code == 404
    assert asking.get("/sweep/made/export/none.safetensors").status_code == 404


def test_nothing_of_it_is_shown_during_a_blind_session(results: Path, tmp_path: Path) -> None:
    folder = scored.sweep(tmp_path, images=True)
    order = [["base", "000010", False], ["lion", "000020", False]]
    given = {
        "rater": "anna",
        "mode": "score",
        "order": order,
        "shots": [[0, 7, 1.0]],
        "prompts": [],
        "seed": 1,
    }
    session = append_score_line(folder, "session", **given)
    with TestClient(create_app(tmp_path), ADDRESS) as asking:
        asking.cookies.set("lora_lab_sessions", session)
        for path in ("verdict/", "plots", "export", "report.zip", "verdict/plots/cost.svg"):
            answer = asking.get(f"/sweep/made/{path}")
            assert answer.status_code == 409 and "lion" not in answer.text, path
