"""Scoring and comparing by keyboard in a real browser, and what reaches it meanwhile."""

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from lora_lab.store import SweepFolder, read_scores
from lora_lab.verdict.leaders import PART
from tests.review import made_up
from tests.review.conftest import Answer, Recorder, watched

pytestmark = [pytest.mark.browser, pytest.mark.slow]

GIVES_AWAY = (
    *made_up.RUNS, *made_up.TAGS, "twin", "out-of-memory", "network_alpha", "learning_rate", "batch_size",
    "lion", "p0-s7", "p1-s7", "safetensors", "previews/", "results/demo", "parameters", "thebase",
)  # fmt: skip
"""What would tell a run from another."""


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Any]:
    with watched(chromium, address, 10_000) as (made, problems):
        made.problems = problems
        yield made


def begin(page: Any, mode: str = "score", rater: str = "Anna", **values: str) -> None:
    """Fill the first page as a person does: the name, then Enter."""
    page.goto(f"/sweep/demo/{mode}")
    for name, value in values.items():
        page.fill(f"[name={name}]", value)
    page.fill("[name=rater]", rater)
    page.keyboard.press("Enter")
    at(page, 0, mode)


def at(page: Any, position: int | str, mode: str = "score") -> None:
    """Wait until what stands at a position is shown."""
    page.wait_for_selector(f'#{mode}[data-position="{position}"]')
    # What is said sooner was meant for the images before.
    page.wait_for_timeout(320)


def value(page: Any) -> str:
    return str(page.inner_text("#value"))


def scored(sweep: SweepFolder) -> dict[int, float]:
    return {item.position: item.value for item in read_scores(sweep).scores}


def test_a_whole_session_by_keyboard_stays_blind(page: Any, sweep: SweepFolder, recorder: Recorder) -> None:
    page.goto("/sweep/demo/score")
    recorder.answers.clear()
    page.keyboard.type("Anna")
    page.keyboard.press("Enter")
    at(page, 0)
    total = 9  # eight checkpoints, and one of them twice
    for position, keys in enumerate(("85", "7", "0", "-", "100", "05", "42", "99", "1")):
        assert page.inner_text("#count") == f"{position} of {total}"
        page.keyboard.type(keys)
        if position == 2:
            page.keyboard.press("n")
            page.keyboard.type("eyes 11 are odd")
            page.keyboard.press("Enter")
            for key in ("t", "2", "Enter"):
                page.keyboard.press(key)
            # The key that closes the tags does nothing else.
            page.wait_for_selector("#tagbox", state="hidden")
            assert page.get_attribute("#score", "data-position") == "2"
        page.keyboard.press("Enter")
        at(page, position + 1 if position + 1 < total else "")
    assert scored(sweep) == dict(enumerate((85, 70, 0, 100, 100, 5, 42, 99, 10)))
    third = next(item for item in read_scores(sweep).scores if item.position == 2)
    assert (third.note, third.tags) == ("eyes 11 are odd", ("wrong person",))
    assert_blind(page, recorder.answers)
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.wait_for_selector("table.rows")
    assert "base-run" in page.content() and "wrong person" in page.content()
    assert page.problems == []


def assert_blind(page: Any, answers: list[Answer]) -> None:
    """Nothing that the browser was sent, sent or shows tells a run from another."""
    shown = f"{page.url} {page.title()} {page.content()}"
    assert not [word for word in GIVES_AWAY if word in shown]
    sizes = set()
    for answer in answers:
        head = f"{answer.asked} {answer.headers}".lower()
        assert not [word for word in GIVES_AWAY if word in head or word.encode() in answer.body], head
        if "/static/" not in answer.asked:
            assert not re.search("etag|last-modified|content-disposition|accept-ranges", answer.headers)
        if "/image/" in answer.asked:
            with Image.open(io.BytesIO(answer.body)) as image:
                image.load()
                assert (image.format, image.mode, image.info) == ("PNG", "RGB", {})
                sizes.add(image.size)
    assert sizes == {(32, 48)}


def test_keys_move_the_number_and_undo_takes_back(page: Any, sweep: SweepFolder) -> None:
    begin(page)
    for keys, shown in (
        ("7", "7_"), ("3", "73"), ("ArrowUp", "74"), ("Shift+ArrowDown", "69"), ("ArrowDown", "68"),
        ("-", "100"), ("ArrowUp", "100"), ("Backspace", "–"), ("ArrowUp", "50"), ("4", "4_"),
    ):  # fmt: skip
        page.keyboard.press(keys)
        assert value(page) == shown
    page.wait_for_selector("#value:has-text('40')")
    page.keyboard.press("Control+5")
    assert value(page) == "40"
    page.keyboard.type("1500")
    assert value(page) == "–" and "two digits, or is 100" in page.inner_text("#notice")
    page.wait_for_timeout(800)
    page.keyboard.type("40")
    assert value(page) == "40"
    page.keyboard.press("Enter")
    at(page, 1)
    assert value(page) == "–"
    page.keyboard.press("Enter")
    assert "Type a score first" in page.inner_text("#notice")
    page.keyboard.press("s")
    at(page, 2)
    page.keyboard.press("u")
    at(page, 1)
    page.keyboard.press("u")
    at(page, 0)
    assert value(page) == "40"
    assert "Taken back: 40" in page.inner_text("#notice")
    assert scored(sweep) == {} and read_scores(sweep).skips == []
    page.keyboard.type("45")
    page.keyboard.press("Enter")
    at(page, 1)
    page.reload()
    at(page, 1)
    assert page.inner_text("#count") == "1 of 9"
    page.keyboard.press("l")
    page.click("#listbox .scores button")
    at(page, 0)
    assert value(page) == "45"
    assert scored(sweep) == {0: 45}


def test_controls_do_not_move(page: Any) -> None:
    begin(page)

    def boxes() -> list[Any]:
        return [
            item.bounding_box()
            for item in page.query_selector_all(".controls > *, .bar > button, .anchors img")
        ]

    before = boxes()
    page.keyboard.press("n")
    page.keyboard.type("a long note " * 20)
    page.keyboard.press("Enter")
    for number in "123":
        page.keyboard.press("t")
        page.keyboard.press(number)
        page.keyboard.press("t")
        page.wait_for_selector("#tagbox", state="hidden")
    page.keyboard.press("Enter")
    assert boxes() == before
    page.keyboard.press("f")
    page.keyboard.press("-")
    assert boxes() == before
    page.keyboard.press("Enter")
    at(page, 1)
    assert boxes() == before


def test_anchors_keep_their_room_while_they_load(page: Any) -> None:
    waiting: list[Any] = []
    anchor = re.compile("/(training|bare)/")
    page.route(anchor, lambda route: waiting.append(route))
    begin(page)
    empty = [item.bounding_box() for item in page.query_selector_all(".anchors img")]
    assert len(empty) > 3 and min(box["height"] for box in empty) > 20
    for route in waiting:
        route.continue_()
    loaded = "[...document.querySelectorAll('.anchors img')].every((one) => one.naturalWidth)"
    # Not wait_for_function: the page's own policy forbids the eval that it uses.
    while not page.evaluate(loaded):
        page.wait_for_timeout(20)
    assert [item.bounding_box() for item in page.query_selector_all(".anchors img")] == empty


def test_a_score_that_was_not_stored_is_not_passed_over(page: Any, sweep: SweepFolder) -> None:
    begin(page)
    page.route("**/judge", lambda route: route.abort())
    page.keyboard.type("64")
    page.keyboard.press("Enter")
    page.wait_for_selector("#notice.bad")
    assert "Not stored" in page.inner_text("#notice")
    assert page.get_attribute("#score", "data-position") == "0"
    assert (value(page), page.inner_text("#count")) == ("64", "0 of 9")
    page.unroute("**/judge")
    page.keyboard.press("Enter")
    at(page, 1)
    assert scored(sweep) == {0: 64}


def test_two_people_score_at_once(chromium: Any, page: Any, address: str, sweep: SweepFolder) -> None:
    other = chromium.new_context(base_url=address).new_page()
    begin(page, rater="Anna")
    begin(other, rater="Bo")
    for position, keys in enumerate(("11", "22", "33")):
        for person, add in ((page, ""), (other, "ArrowUp")):
            person.keyboard.type(keys)
            if add:
                person.keyboard.press(add)
            person.keyboard.press("Enter")
            at(person, position + 1)
    page.keyboard.press("u")
    at(page, 2)
    log = read_scores(sweep)
    given = {(item.rater, item.position): item.value for item in log.scores}
    assert given == {("Anna", 0): 11, ("Anna", 1): 22, ("Bo", 0): 12, ("Bo", 1): 23, ("Bo", 2): 34}
    one, two = (item.order for item in log.sessions.values())
    assert one != two
    other.context.close()


def test_comparing_by_keyboard_stays_blind(page: Any, sweep: SweepFolder, recorder: Recorder) -> None:
    page.goto("/sweep/demo/compare")
    recorder.answers.clear()
    page.fill("[name=target]", "4")
    page.fill("[name=rater]", "Anna")
    page.keyboard.press("Enter")
    at(page, 0, "compare")
    for position, key in enumerate(("ArrowLeft", "ArrowRight", "ArrowDown", "ArrowUp")):
        page.keyboard.press(key)
        at(page, position + 1, "compare")
    page.keyboard.press("u")
    at(page, 3, "compare")
    page.reload()
    at(page, 3, "compare")
    page.keyboard.press("ArrowLeft")
    at(page, 4, "compare")
    assert [item.result for item in read_scores(sweep).pairs] == ["left", "right", "tie", "left"]
    assert_blind(page, recorder.answers)
    page.click("text=Close")
    page.click("text=Close and show the result")
    page.wait_for_selector("table.rows")
    assert "4 comparisons" in page.content()
    assert page.problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1400, 844), (1100, 500)])
def test_nothing_is_cut_off(chromium: Any, address: str, width: int, height: int, scheme: str) -> None:
    context = chromium.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, base_url=address
    )
    page = context.new_page()
    begin(page)
    # As wide as the counts of a long session.
    page.evaluate("document.getElementById('count').textContent = '1000 of 1100'")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.documentElement.scrollHeight") <= height
    for item in page.query_selector_all(
        ".controls button, .bar button, .item:not([hidden]) canvas, .anchors img"
    ):
        box = item.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= width
        assert box["y"] >= 0 and box["y"] + box["height"] <= height
    overflow = "section => section.scrollHeight - section.clientHeight"
    assert [page.evaluate(overflow, item) for item in page.query_selector_all(".anchors section")] == [0, 0]
    context.close()


@pytest.mark.parametrize(("width", "height"), [(390, 844), (844, 390), (683, 384), (1280, 800)])
@pytest.mark.parametrize("layout", ["one", "grid"])
def test_images_have_room_in_every_window(
    chromium: Any, address: str, width: int, height: int, layout: str
) -> None:
    page = chromium.new_context(viewport={"width": width, "height": height}, base_url=address).new_page()
    page.goto("/sweep/demo/score")
    page.check(f"[name=layout][value={layout}]")
    page.fill("[name=rater]", "Anna")
    page.click("button.first")
    at(page, 0)
    boxes = [item.bounding_box() for item in page.query_selector_all(".item:not([hidden]) canvas")]
    shown = [box for box in boxes if box]
    if height < 400:
        assert max(box["height"] for box in shown) > 0.6 * height
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in shown)
    # No control lies over another, and all of them lie in the window.
    controls = [item.bounding_box() for item in page.query_selector_all(".controls button, .controls input")]
    there = [box for box in controls if box]
    assert len(there) >= 6 and all(box["y"] + box["height"] <= height for box in there)
    for number, one in enumerate(there):
        for other in there[number + 1 :]:
            apart = (
                one["x"] + one["width"] <= other["x"] + 1 or other["x"] + other["width"] <= one["x"] + 1
                or one["y"] + one["height"] <= other["y"] + 1 or other["y"] + other["height"] <= one["y"] + 1
            )  # fmt: skip
            assert apart, (one, other)
    page.context.close()


def test_one_at_a_time_takes_a_score_when_all_were_seen(page: Any, sweep: SweepFolder) -> None:
    page.goto("/sweep/demo/score")
    page.check("[name=layout][value=one]")
    page.fill("[name=rater]", "Anna")
    page.click("button.first")
    at(page, 0)
    page.keyboard.type("64")
    page.click("[data-act=confirm]")
    assert "1 more image to look at first" in page.inner_text("#notice")
    assert scored(sweep) == {}
    page.click(".item:not([hidden]) figure:not([hidden]) canvas")
    page.click("[data-act=confirm]")
    at(page, 1)
    assert scored(sweep) == {0: 64}


def test_a_tap_enlarges_an_image_of_the_grid(page: Any) -> None:
    begin(page)
    figures = ".item:not([hidden]) figure:not([hidden])"
    assert len(page.query_selector_all(figures)) == 2
    page.click(f"{figures}:nth-child(2) canvas")
    (left,) = page.query_selector_all(figures)
    assert "hat" in left.inner_text()
    page.click(f"{figures} canvas")
    assert len(page.query_selector_all(figures)) == 2
    page.click(f"{figures} canvas")
    page.keyboard.press("s")
    at(page, 1)
    assert len(page.query_selector_all(figures)) == 2, "the next item is shown as usual"


@pytest.mark.parametrize(
    ("pressed", "shown"),
    [
        ([("Digit6", "-"), ("Digit7", "è")], "67"),
        ([("Numpad8", "ArrowUp"), ("Numpad5", "Clear")], "85"),
        ([("Numpad1", "End"), ("Numpad0", "Insert")], "10"),
        ([("Digit1", "&"), ("Digit0", "à")], "10"),
        ([("Slash", "-")], "100"),
    ],
)
def test_digits_go_by_the_place_of_their_keys(page: Any, pressed: list[tuple[str, str]], shown: str) -> None:
    begin(page)
    for code, key in pressed:
        page.evaluate(
            "([code, key]) => document.body.dispatchEvent("
            "new KeyboardEvent('keydown', {code, key, bubbles: true, cancelable: true}))",
            [code, key],
        )
    assert value(page) == shown


def test_presses_in_a_row_are_one_comparison(page: Any, sweep: SweepFolder) -> None:
    begin(page, "compare")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    at(page, 1, "compare")
    assert len(read_scores(sweep).pairs) == 1


def test_a_second_session_goes_on_to_what_its_scores_leave_open(page: Any, sweep: SweepFolder) -> None:
    begin(page)
    for position in range(9):
        at(page, position)
        page.keyboard.type("60")
        page.keyboard.press("Enter")
    at(page, "")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    # What the page of results still loads is refused from when the next blind session is open.
    page.wait_for_load_state("networkidle")
    page.click("text=Begin the second session")
    at(page, 0)
    (total,) = re.findall(r"of (\d+)", page.inner_text("#count"))
    for position in range(int(total)):
        at(page, position)
        assert page.inner_text("#count") == f"{position} of {total}"
        page.keyboard.type(str(50 + position))
        page.keyboard.press("Enter")
    at(page, "")
    assert page.inner_text("#count") == f"{total} of {total}"
    second = list(read_scores(sweep).sessions.values())[-1]
    assert len(second.order) == int(total) > PART, "more was chosen as it went on"
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.wait_for_selector("table.rows")
    assert page.problems == []
