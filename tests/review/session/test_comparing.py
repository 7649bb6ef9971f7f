"""Comparing over HTTP: what is stored, taken back, gone on with, and ranked."""

import pytest
from starlette.testclient import TestClient

from lora_lab.review.session.blind import pixels_of
from lora_lab.review.web.app import create_app
from lora_lab.store import SweepFolder, read_scores
from tests.review.asking import FORM, begin, prefer
from tests.review.conftest import ADDRESS


def test_a_comparison_is_stored_with_both_and_the_sides_they_had(
    client: TestClient, sweep: SweepFolder
) -> None:
    session = begin(client, "compare")
    assert prefer(client, session, 0, "both_bad").json() == {"position": 1, "pause": False}
    log = read_scores(sweep)
    (pair,) = log.pairs
    assert {pair.left, pair.right} <= set(log.sessions[session].places)
    assert (pair.result, pair.rater, pair.position, pair.seconds) == ("both_bad", "anna", 0, 1.5)
    assert log.scores == []


def test_a_comparison_says_what_was_shown_of_both(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client, "compare", prompt=["1"])
    prefer(client, session, 0, "left")
    (pair,) = read_scores(sweep).pairs
    assert pair.shots == ((1, 7, 1.0),)
    assert pair.drawn == (("miko, hat 7 1",), ("miko, hat 7 1",))
    for place, shown in zip((pair.left, pair.right), pair.shown, strict=True):
        assert shown == pixels_of([sweep.run(place[0]).previews(place[1]) / "p1-s7-w1.png"])
    assert pair.shown[0] != pair.shown[1]


def test_the_images_are_those_of_the_pair(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client, "compare")
    left, right, following = (
        client.get(f"/session/{session}/image/{address}").content for address in ("0/0", "0/2", "1/0")
    )
    assert left != right and following
    prefer(client, session, 0, "left")
    pair = read_scores(sweep).pairs[0]
    # A session over one of the two shows the very same image.
    client.cookies.clear()
    number = list(read_scores(sweep).sessions[session].places).index(pair.left)
    alone = begin(client, which="chosen", place=[str(number)])
    assert client.get(f"/session/{alone}/image/0/0").content == left


def test_no_pair_is_shown_beyond_the_next(client: TestClient) -> None:
    session = begin(client, "compare")
    assert client.get(f"/session/{session}/image/1/3").status_code == 200
    assert client.get(f"/session/{session}/image/2/0").status_code == 404
    assert client.get(f"/session/{session}/image/0/4").status_code == 404


def test_what_was_loaded_ahead_is_what_is_judged_next(client: TestClient) -> None:
    session = begin(client, "compare")
    for position, result in enumerate(("left", "tie", "right", "both_bad", "left", "right")):
        ahead = client.get(f"/session/{session}/image/{position + 1}/0").content
        prefer(client, session, position, result)
        assert client.get(f"/session/{session}/image/{position + 1}/0").content == ahead


def test_undo_shows_the_same_pair_again(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client, "compare")
    for position in range(3):
        prefer(client, session, position, "left")
    shown = client.get(f"/session/{session}/image/2/0").content
    assert client.post(f"/compare/{session}/undo", json={}).json()["position"] == 2
    assert client.get(f"/session/{session}/image/2/0").content == shown
    assert len(read_scores(sweep).pairs) == 2
    assert [client.post(f"/compare/{session}/undo", json={}).json()["position"] for _ in range(3)] == [
        1,
        0,
        0,
    ]


def test_a_session_goes_on_after_a_restart(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client, "compare")
    for position in range(3):
        prefer(client, session, position, "left")
    shown = client.get(f"/session/{session}/image/3/0").content
    again = TestClient(create_app(sweep.path.parent), ADDRESS)
    assert 'data-start="3"' in again.get(f"/compare/{session}").text
    assert again.get(f"/session/{session}/image/3/0").content == shown


@pytest.mark.parametrize(
    "body", [{"position": 0, "result": "better"}, {"position": 1, "result": "left"}, {"result": "left"}]
)
def test_a_wrong_answer_is_refused(client: TestClient, sweep: SweepFolder, body: dict[str, object]) -> None:
    session = begin(client, "compare")
    assert client.post(f"/compare/{session}/judge", json={"seconds": 1, **body}).status_code == 400
    assert read_scores(sweep).pairs == []


def test_the_same_sent_twice_counts_once(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client, "compare")
    assert prefer(client, session, 0, "left").json() == prefer(client, session, 0, "left").json()
    assert len(read_scores(sweep).pairs) == 1


def test_one_checkpoint_cannot_be_compared(client: TestClient) -> None:
    answer = client.post("/sweep/demo/compare", data={**FORM, "which": "chosen", "place": "0"})
    assert answer.status_code == 400
    assert "at least two" in answer.text


def test_the_ranking_follows_what_was_preferred(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client, "compare", which="last", target="20")
    order = ["lion-fast", "batch-four", "base-run", "alpha-sixteen"]
    for position in range(20):
        # Ask what is shown by its images' order in the log: judge, look, take back, judge rightly.
        prefer(client, session, position, "tie")
        pair = read_scores(sweep).pairs[-1]
        client.post(f"/compare/{session}/undo", json={})
        better = "left" if order.index(pair.left[0]) < order.index(pair.right[0]) else "right"
        prefer(client, session, position, better)
    client.post(f"/session/{session}/close", data={})
    page = client.get(f"/sweep/demo/result/{session}").text
    assert [name for _, name in sorted((page.index(f"<td>{name}</td>"), name) for name in order)] == order
    assert "20 comparisons" in page
    assert prefer(client, session, 20, "left").status_code == 409


def test_a_score_session_cannot_be_compared_in_and_the_other_way_round(client: TestClient) -> None:
    session = begin(client)
    assert prefer(client, session, 0, "left").status_code == 409
    assert client.get(f"/compare/{session}").status_code == 303


@pytest.mark.parametrize("seconds", [0.0, 0.1])
def test_a_comparison_in_no_time_is_not_taken(client: TestClient, sweep: SweepFolder, seconds: float) -> None:
    session = begin(client, "compare")
    body = {"position": 0, "result": "left", "seconds": seconds}
    answer = client.post(f"/compare/{session}/judge", json=body)
    assert answer.status_code == 409 and "too soon" in answer.json()["error"]
    assert read_scores(sweep).pairs == []
