"""The pages for looking, as a browser would get them."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from lora_lab.review.web.app import create_app
from lora_lab.store import append_score_line
from tests.review import made_up
from tests.review.made_up import write_run
from tests.review.troubled import REASON, make_troubled

ADDRESS = "http://127.0.0.1:7868"
LOOK = "/sweep/bad/look"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("results") / "bad"
    sweep = make_troubled(folder)
    for number in range(40):
        write_run(sweep, f"more-{number:02}", [f"train.seed={100 + number}"], status="planned")
    with TestClient(create_app(folder.parent), ADDRESS) as client:
        yield client


def page(client: TestClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def rows(html: str) -> list[str]:
    return re.findall(r'<tr data-row="([^"]*)"', html)


@pytest.mark.parametrize("path", ["", "/view", "/compare", "/curves", "/running", "/timings", "/settings"])
def test_pages_hold_no_inline_script_or_style(pages: TestClient, path: str) -> None:
    html = page(pages, LOOK + path)
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", html)
    assert "http://" not in html.replace("http://www.w3.org", "") and "https://" not in html


def test_reasons_are_text_not_markup(pages: TestClient) -> None:
    for path in ("", "/view?run=diverged&checkpoint=000010"):
        html = page(pages, LOOK + path)
        assert REASON not in html and REASON in unescape(html)


def test_failures_are_tiles_with_their_reason(pages: TestClient) -> None:
    html = page(pages, LOOK)
    for words in (
        "out of memory",
        "Ctrl-C at step 70",
        "same experiment as good",
        "black",
        "its worker is gone",
    ):
        assert words in html, words
    assert html.count('<span class="badge bad">black</span>') == 2


def test_a_page_holds_the_first_rows_and_the_address_of_the_rest(pages: TestClient) -> None:
    first = page(pages, LOOK)
    link = unescape(re.search(r'class="more"><a href="([^"]*)"', first)[1])
    second = page(pages, link)
    assert len(rows(first)) == 24 and rows(second)[0] == "more-16"
    assert rows(first) + rows(second) == list(dict.fromkeys(rows(page(pages, f"{LOOK}?count=999"))))
    assert 'class="more"' not in second


def test_images_say_their_size_and_wait_until_they_are_seen(pages: TestClient) -> None:
    images = re.findall(r"<img [^>]*>", page(pages, LOOK))
    assert len(images) > 8
    for image in images:
        assert 'loading="lazy"' in image and re.search(r'width="\d+" height="\d+"', image) and "alt=" in image


def test_thumbnails_are_small_typed_and_may_be_kept(pages: TestClient) -> None:
    source = re.search(r'src="(/sweep/bad/thumb/192/\w+)"', page(pages, LOOK))[1]
    answer = pages.get(source)
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    assert "max-age=" in answer.headers["cache-control"]
    again = pages.get(source, headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304 and not again.content
    assert pages.get(source.replace("/192/", "/193/")).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/sweep/bad/thumb/192/00000000000000000000",
        "/sweep/bad/thumb/192/..%2f..%2frun.json",
        "/sweep/bad/image/good%2frun.json",
        "/sweep/..%2f/look",
        f"{LOOK}/view?run=../good",
        f"{LOOK}/compare?pane=good",
        f"{LOOK}/compare?pane=nobody:000005:0:7:1",
    ],
)
def test_what_no_record_names_is_not_there(pages: TestClient, path: str) -> None:
    assert pages.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/view?run=good&prompt=x", "/compare?pane=good:000005:0:x:1"])
def test_a_number_that_is_none_is_refused(pages: TestClient, path: str) -> None:
    assert pages.get(LOOK + path).status_code == 400


@pytest.mark.parametrize("path", ["?start=99999999999", "?start=-1&size=5", "/curves?against=x&run=x"])
def test_odd_addresses_are_no_errors(pages: TestClient, path: str) -> None:
    page(pages, LOOK + path)


def steps_of(html: str) -> dict[str, str]:
    found = re.findall(r'<a href="([^"]*)" data-key="([^"]*)"', html)
    return {key: unescape(address) for address, key in found}


def test_keys_lead_to_the_neighbours(pages: TestClient) -> None:
    html = page(pages, f"{LOOK}/view?run=good&checkpoint=000005&prompt=0&seed=7&strength=1")
    steps = steps_of(html)
    assert "prompt=1" in steps["ArrowRight"] and "ArrowLeft" not in steps
    assert "checkpoint=000010" in steps["ArrowUp"] and "ArrowDown" not in steps
    assert "run=diverged" in steps["PageDown"] and "checkpoint=000005" in steps["PageDown"]
    assert "prompt=1" in steps_of(page(pages, steps["PageDown"] + ""))["ArrowRight"]


def test_going_to_a_run_without_the_checkpoint_gives_its_last_before(pages: TestClient) -> None:
    steps = steps_of(page(pages, f"{LOOK}/view?run=good&checkpoint=000010&prompt=1&seed=7&strength=1"))
    assert "run=diverged&checkpoint=000005&prompt=1" in steps["PageDown"]


def test_the_view_says_what_is_known(pages: TestClient) -> None:
    html = page(pages, f"{LOOK}/view?run=black&checkpoint=000010&prompt=1&seed=7&strength=1")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    for words in (
        "optimizer lion",
        "epoch 10",
        "step 100",
        "loss 0.1000",
        "black",
        "miko, hat",
        "samples seen 200",
    ):
        assert words in text, words
    assert '<span class="badge bad">black</span>' in html


def test_keys_go_through_seeds_and_strengths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_up, "SEEDS", (7, 8))
    monkeypatch.setattr(made_up, "STRENGTHS", (0.5, 1.0))
    folder = tmp_path / "results" / "more"
    make_troubled(folder)
    with TestClient(create_app(folder.parent), ADDRESS) as client:
        look = "/sweep/more/look"
        html = page(client, f"{look}/view?run=good&checkpoint=000005&prompt=0&seed=8&strength=1")
        steps = steps_of(html)
        assert "prompt=1&seed=7" in steps["ArrowRight"] and "prompt=0&seed=7" in steps["ArrowLeft"]
        assert "strength=0.5" in steps["["] and "]" not in steps
        assert 'aria-current="true">1<' in html
        matrix = page(client, look)
        assert "strength=1" in unescape(matrix) and "thumb/192" in matrix
        assert "thumb/192" in page(client, f"{look}?rows=strength&columns=seed&run=good")


def test_a_failed_run_has_a_view_too(pages: TestClient) -> None:
    html = page(pages, f"{LOOK}/view?run=failed")
    assert "out of memory" in html and 'class="shown"' not in html
    assert "run=diverged" in steps_of(html)["PageUp"]


def test_a_comparison_shows_each_image_and_how_the_settings_differ(pages: TestClient) -> None:
    html = page(pages, f"{LOOK}/compare?pane=good:000005:0:7:1&pane=black:000010:0:7:1&pane=good:base:0:7:0")
    assert len(re.findall(r'class="shown"', html)) == 3
    assert "adamw" in html and "lion" in html and "without a LoRA" in html
    assert steps_of(html)["ArrowRight"].count("%3A1%3A7%3A") == 3, "all go to the next prompt"


def test_the_version_tells_whether_anything_changed(pages: TestClient) -> None:
    told = pages.get(f"{LOOK}/version").json()
    assert told["live"] is True and f'data-version="{told["version"]}"' in page(pages, LOOK)


def test_chosen_runs_are_in_the_address_of_curves_and_settings(pages: TestClient) -> None:
    html = page(pages, f"{LOOK}/curves?run=good&run=diverged&against=samples")
    assert html.count('<polyline class="series') == 8 and "samples seen" in html
    assert "diverged" in page(pages, f"{LOOK}/settings?run=good&run=diverged")


def test_timings_name_runs_without_time_of_their_own(pages: TestClient) -> None:
    assert "same experiment as good: no time of its own" in page(pages, f"{LOOK}/timings")


def test_odd_names_are_escaped(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "odd"
    sweep = make_troubled(folder)
    write_run(
        sweep, 'x"><img src=x>&y', ["train.seed=77"], status="failed", reason="<script>alert(1)</script>"
    )
    with TestClient(create_app(folder.parent), ADDRESS) as client:
        html = page(client, "/sweep/odd/look")
        assert "<img src=x>" not in html and "<script>alert" not in html
        link = next(unescape(item) for item in re.findall(r'href="([^"]*/view[^"]*)"', html) if "img" in item)
        assert "<img src=x>" not in page(client, link) and "&lt;img src=x&gt;" in page(client, link)


def test_scores_of_images_that_others_have_replaced_are_named(tmp_path: Path) -> None:
    sweep = made_up.make_sweep(tmp_path / "made")
    for run, drawn in (("base-run", "miko, smile 7 1"), ("lion-fast", "an earlier prompt 7 1")):
        append_score_line(
            sweep, "score", session="s", rater="anna", run=run, tag="000010", position=0, value=41,
            shots=[[0, 7, 1.0]], drawn=[drawn],
        )  # fmt: skip
    with TestClient(create_app(tmp_path), ADDRESS) as client:
        html = page(client, "/sweep/made/look")
    assert "1 of 2 scores were given to images that others have replaced since" in html
    by_row = dict(zip(rows(html), html.split("<tr data-row=")[1:], strict=True))
    assert [name for name, row in by_row.items() if "41 of an earlier image" in row] == ["lion-fast"]
    assert "41" in by_row["base-run"]
