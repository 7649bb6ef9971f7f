"""The pages for looking in a real browser: keys, zoom, slider, difference, later rows, live rows."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lora_lab.store import SweepFolder
from tests.review.conftest import watched
from tests.review.made_up import anchors, checkpoint, write_run
from tests.review.troubled import make_troubled

pytestmark = [pytest.mark.browser, pytest.mark.slow]
FIRST = "run=good&checkpoint=000005&prompt=0&seed=7&strength=1"
PANES = "pane=good:000005:0:7:1&pane=black:000010:0:7:1"


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    """In place of the fixture of the same name: one with all kinds of runs."""
    return make_troubled(tmp_path / "results" / "bad")


@pytest.fixture
def tab(chromium: Any, address: str) -> Iterator[Any]:
    """A page of the gallery; the test fails where the browser reports an error."""
    with watched(chromium, f"{address}/sweep/bad/") as (made, errors):
        yield made
    assert errors == []


def place(tab: Any) -> str:
    return tab.locator("h1").inner_text() + ", " + tab.locator(".place b").inner_text()


def until(tab: Any, condition: str) -> None:
    """Wait for a condition; the driver's own way needs `eval`, which the pages forbid."""
    end = time.monotonic() + 15
    while not tab.evaluate(condition):
        assert time.monotonic() < end, condition
        tab.wait_for_timeout(30)


def press(tab: Any, key: str, expected: str) -> None:
    tab.keyboard.press(key)
    tab.wait_for_url(f"**{expected}**")


def test_arrow_keys_go_from_image_to_image(tab: Any) -> None:
    tab.goto(f"look/view?{FIRST}")
    assert place(tab) == "good, epoch 5"
    press(tab, "ArrowRight", "prompt=1")
    press(tab, "ArrowUp", "checkpoint=000010")
    assert place(tab) == "good, epoch 10"
    assert "miko, hat" in tab.locator(".facts .prompt").inner_text()
    press(tab, "PageDown", "run=diverged")
    assert place(tab) == "diverged, epoch 5", "its last one before that epoch"
    press(tab, "PageDown", "run=failed")
    assert "out of memory" in tab.locator(".pane .why").inner_text()
    tab.keyboard.press("Delete")
    tab.keyboard.press("Backspace")
    assert "run=failed" in tab.url
    press(tab, "PageUp", "run=diverged")
    tab.keyboard.press("Escape")
    tab.wait_for_selector("table.matrix")


def test_escape_comes_back_to_the_same_matrix(tab: Any) -> None:
    tab.goto("look?rows=run&columns=prompt&size=128")
    tab.locator("td a").nth(1).click()
    tab.wait_for_selector("html[data-keys=ready] .view img.shown")
    # The way out wins, whatever the arrow had asked for.
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("Escape")
    tab.wait_for_selector("table.matrix")
    assert tab.url.endswith("rows=run&columns=prompt&size=128")


def looks(tab: Any) -> list[list[float]]:
    """For each pane: the scale, and the point of its image that is in the middle of the frame."""
    return tab.evaluate(
        """() => [...document.querySelectorAll('.frame')].map(frame => {
            const image = frame.querySelector('img.shown'), m = new DOMMatrix(image.style.transform);
            const box = frame.getBoundingClientRect();
            const middle = [box.width / 2 - m.e, box.height / 2 - m.f].map(length => length / m.a);
            return [m.a, middle[0] / image.naturalWidth, middle[1] / image.naturalHeight];
        })"""
    )


def drag(tab: Any, pane: int, dx: float, dy: float) -> None:
    box = tab.locator(".frame").nth(pane).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x + dx, y + dy, steps=3)
    tab.mouse.up()


def wheel(tab: Any, pane: int, amount: float) -> None:
    box = tab.locator(".frame").nth(pane).bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.wheel(0, amount)
    tab.wait_for_timeout(60)


def shift(tab: Any) -> list[float]:
    one, two = looks(tab)
    return [two[0] / one[0], two[1] - one[1], two[2] - one[2]]


def test_panes_move_together_and_keep_an_offset_of_their_own(tab: Any) -> None:
    tab.goto(f"look/compare?{PANES}")
    until(tab, "document.querySelectorAll('.frame img').length == 2")
    tab.wait_for_load_state("networkidle")
    assert shift(tab) == pytest.approx([1, 0, 0])
    start = looks(tab)[0]
    wheel(tab, 1, -600)
    drag(tab, 1, -40, 25)
    assert looks(tab)[0][0] > 2 * start[0], "the first pane followed"
    assert shift(tab) == pytest.approx([1, 0, 0])
    tab.keyboard.press("s")
    drag(tab, 1, 60, 0)
    wheel(tab, 1, -200)
    apart = shift(tab)
    assert apart[0] > 1.1 and apart[1] < -0.01
    tab.keyboard.press("s")
    drag(tab, 0, 30, 30)
    wheel(tab, 0, 150)
    assert shift(tab) == pytest.approx(apart, abs=1e-6), "moved together again, the offset stays"
    tab.get_by_role("button", name="Align").click()
    assert shift(tab) == pytest.approx([1, 0, 0])
    tab.keyboard.press("z")
    assert looks(tab)[0][0] == pytest.approx(1.0), "one pixel on one pixel"


def test_zoom_and_mode_stay_when_the_prompt_changes(tab: Any) -> None:
    tab.goto(f"look/compare?{PANES}")
    tab.wait_for_load_state("networkidle")
    wheel(tab, 0, -400)
    before = looks(tab)
    first = tab.locator("img.shown").first.get_attribute("src")
    tab.keyboard.press("ArrowRight")
    until(tab, f"document.querySelector('img.shown').getAttribute('src') != '{first}'")
    tab.wait_for_timeout(60)
    for now, then in zip(looks(tab), before, strict=True):
        assert now == pytest.approx(then, abs=1e-6)


def test_the_slider_uncovers_the_other_image(tab: Any) -> None:
    tab.goto(f"look/compare?{PANES}")
    tab.wait_for_load_state("networkidle")
    tab.keyboard.press("l")
    divider = tab.locator(".divider")
    box, frame = divider.bounding_box(), tab.locator(".pane.leading .frame").bounding_box()
    assert box["x"] + box["width"] / 2 == pytest.approx(frame["x"] + frame["width"] / 2, abs=2)
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    tab.mouse.down()
    tab.mouse.move(frame["x"] + frame["width"] * 0.75, box["y"] + 60, steps=4)
    tab.mouse.up()
    assert int(divider.get_attribute("aria-valuenow")) == pytest.approx(75, abs=1)
    clip = tab.locator("img.over").evaluate("image => image.style.clipPath")
    assert float(clip.split()[-1].strip("%)")) > 50
    tab.keyboard.press("l")
    assert tab.locator(".divider").count() == 0


def test_the_difference_is_absolute_and_amplified(tab: Any) -> None:
    tab.goto(f"look/compare?{PANES}")
    tab.wait_for_load_state("networkidle")
    tab.get_by_role("button", name="Difference").click()
    read = """() => {
        const of = image => {
            const canvas = Object.assign(document.createElement('canvas'), { width: 32, height: 48 });
            const context = canvas.getContext('2d');
            context.drawImage(image, 0, 0);
            return [...context.getImageData(1, 1, 1, 1).data].slice(0, 3);
        };
        return [...document.querySelectorAll('img.shown, canvas.over')].map(of);
    }"""
    until(tab, "document.querySelector('canvas.over')?.width == 32")
    one, shown, two = tab.evaluate(read)
    assert shown == [min(4 * abs(a - b), 255) for a, b in zip(one, two, strict=True)] and any(shown)
    tab.locator("#gain").select_option("1")
    until(tab, "document.querySelector('canvas.over')?.width == 32")
    one, shown, two = tab.evaluate(read)
    assert shown == [abs(a - b) for a, b in zip(one, two, strict=True)]


def test_images_are_chosen_in_the_matrix_and_compared(tab: Any) -> None:
    tab.goto("look")
    for number in (0, 2):
        tab.locator(".tile").filter(has=tab.locator("[name=pane]")).nth(number).hover()
        tab.locator("[name=pane]").nth(number).check()
    tab.get_by_role("button", name="Compare images").click()
    tab.wait_for_selector(".comparing")
    assert tab.locator("img.shown").count() == 2


def test_rows_come_as_they_are_needed(tab: Any, sweep: SweepFolder) -> None:
    for number in range(60):
        write_run(sweep, f"more-{number:02}", status="planned")
    tab.goto("look")
    first = tab.locator("tbody tr").count()
    tab.locator(".scroll").evaluate("(box) => box.scrollTo(0, box.scrollHeight)")
    until(tab, f"document.querySelectorAll('tbody tr').length > {first}")
    tab.locator(".scroll").evaluate("(box) => box.scrollTo(0, box.scrollHeight)")
    until(tab, "document.querySelectorAll('tbody tr').length == 68")
    names = tab.locator("tbody tr").evaluate_all("rows => rows.map(row => row.dataset.row)")
    assert len(set(names)) == 68


def test_a_running_sweep_stays_up_to_date_without_being_loaded_again(tab: Any, sweep: SweepFolder) -> None:
    tab.goto("look")
    tab.evaluate("document.querySelector('tr[data-row=good] img').mine = 'kept'")
    assert tab.locator("tr[data-row=waiting] img").count() == 0
    run = sweep.run("waiting")
    made = [checkpoint(run, "000005", 77)]
    overrides = json.loads(run.run_file.read_text())["overrides"]
    write_run(sweep, "waiting", overrides, checkpoints=made)
    until(tab, "document.querySelector('tr[data-row=waiting] img')")
    assert tab.locator("tr[data-row=good] img").first.evaluate("image => image.mine") == "kept"


def test_a_page_of_a_sweep_that_has_just_begun_fills_up(tab: Any, sweep: SweepFolder) -> None:
    shutil.rmtree(sweep.path)
    run = write_run(sweep, "first", status="planned")
    tab.goto("look")
    assert tab.locator(".beside img").count() == 0 and "planned" in tab.locator("td").inner_text()
    made = [checkpoint(run, "000005", 3)]
    anchors(sweep, run)
    write_run(sweep, "first", checkpoints=made)
    until(tab, "document.querySelector('td img') && document.querySelector('.beside img')")
    assert tab.locator("thead th").nth(1).inner_text() == "epoch 5"
    assert tab.locator("#view .group").first.inner_text().split() == ["Prompt", "1", "2"]
    assert "miko, smile" in tab.locator(".bar .prompt").inner_text()


def test_frames_are_equally_large_whatever_their_captions_say(tab: Any) -> None:
    tab.set_viewport_size({"width": 700, "height": 800})
    tab.goto("look/compare?pane=good:000005:0:7:1&pane=twin:000010:0:7:1")
    captions = [item.bounding_box()["height"] for item in tab.locator(".pane figcaption > .chips").all()]
    frames = [item.bounding_box() for item in tab.locator(".frame").all()]
    assert captions[1] >= captions[0]
    assert frames[0]["height"] == frames[1]["height"] > 100 and frames[0]["width"] == frames[1]["width"]


@pytest.mark.parametrize(("width", "height"), [(390, 844), (683, 384), (844, 390)])
@pytest.mark.parametrize("part", ["", "/running", "/settings", "/curves", "/timings"])
def test_no_page_is_wider_than_its_window(tab: Any, part: str, width: int, height: int) -> None:
    tab.set_viewport_size({"width": width, "height": height})
    answer = tab.goto(f"look{part}")
    assert answer and answer.status == 200
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
