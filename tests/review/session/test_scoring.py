"""Scoring over HTTP: what is stored, taken back, gone on with, and revealed."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

from lora_lab.errors import RunFolderError
from lora_lab.review.browse.runs import SweepCache
from lora_lab.review.session.sessions import SessionProgress, pause
from lora_lab.review.web.app import create_app
from lora_lab.store import Score, Session, SweepFolder, ratings, read_record, read_scores, write_record
from tests.review import made_up
from tests.review.asking import FORM, begin, say
from tests.review.conftest import ADDRESS


def test_a_session_stores_its_order(client: TestClient, sweep: SweepFolder) -> None:
    identity = begin(client)
    session = read_scores(sweep).sessions[identity]
    assert (session.rater, session.mode, session.closed) == ("anna", "score", False)
    assert len(session.order) == 10 and sum(repeat for *_, repeat in session.order) == 2
    assert session.shots == ((0, 7, 1.0), (1, 7, 1.0))


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"rater": "  "}, "write your name first"),
        ({"rater": "x" * 41}, "at most 40 characters"),
        ({"prompt": []}, "choose at least one prompt"),
        ({"which": "chosen"}, "nothing is left to show"),
        ({"repeats": "many"}, "repeats must be a number"),
        ({"repeats": "nan"}, "repeats must be a number"),
    ],
)
def test_a_wrong_answer_is_told_and_starts_nothing(
    client: TestClient, sweep: SweepFolder, values: dict[str, object], problem: str
) -> None:
    answer = client.post("/sweep/demo/score", data={**FORM, **values})
    assert answer.status_code == 400
    assert problem in answer.text
    assert not sweep.scores_file.exists()


def test_which_checkpoints_can_be_chosen(client: TestClient, sweep: SweepFolder) -> None:
    last = begin(client, which="last", repeats="0")
    client.cookies.clear()
    chosen = begin(client, which="chosen", place=["1", "6"], repeats="0")
    client.cookies.clear()
    one = begin(client, prompt=["1"], which="last", repeats="0")
    sessions = read_scores(sweep).sessions
    assert {(run, tag) for run, tag, _ in sessions[last].order} == {(r, "000010") for r in made_up.RUNS}
    assert len(sessions[chosen].order) == 2
    assert sessions[one].shots == ((1, 7, 1.0),)


def test_a_score_is_stored_with_all_that_was_said(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client)
    answer = say(client, session, 0, 85, note=" odd \n eyes ", tags=["skin", "skin", "own"])
    assert answer.json() == {
        "position": 0,
        "said": {"value": 85, "note": "odd eyes", "tags": ["skin", "own"]},
        "pause": False,
        "known": 10,
    }
    (score,) = read_scores(sweep).scores
    run, tag, repeat = read_scores(sweep).sessions[session].order[0]
    assert (score.run, score.tag, score.repeat, score.value) == (run, tag, repeat, 85)
    assert (score.rater, score.note, score.tags, score.seconds) == ("anna", "odd eyes", ("skin", "own"), 1.5)


@pytest.mark.parametrize("value", [-1, 101, 50.5, "x", [], {}, float("nan"), True])
def test_only_whole_numbers_from_0_to_100_are_scores(
    client: TestClient, sweep: SweepFolder, value: object
) -> None:
    session = begin(client)
    body = json.dumps({"position": 0, "value": value, "seconds": 1})
    answer = client.post(
        f"/score/{session}/judge", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert "value must be" in answer.json()["error"]
    assert read_scores(sweep).scores == []


@pytest.mark.parametrize("position", [-1, 10, 1.5, "first", None])
def test_only_positions_of_the_session_are_scored(client: TestClient, position: object) -> None:
    answer = client.post(
        f"/score/{begin(client)}/judge", json={"position": position, "value": 5, "seconds": 1}
    )
    assert answer.status_code == 400


def test_undo_cancels_the_last_and_then_the_one_before(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client)
    for position, value in ((0, 10), (1, None), (2, 30)):
        say(client, session, position, value)
    undone = [client.post(f"/score/{session}/undo", json={}).json() for _ in range(4)]
    assert [item["position"] for item in undone] == [2, 1, 0, None]
    assert all(item["said"] is None for item in undone)
    log = read_scores(sweep)
    assert (log.scores, log.skips) == ([], [])
    assert len(sweep.scores_file.read_text().splitlines()) == 7


def test_a_second_thought_replaces_the_first(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client)
    say(client, session, 0, 10)
    say(client, session, 1, 20)
    say(client, session, 0, 15)
    assert [(item.position, item.value) for item in read_scores(sweep).scores] == [(1, 20), (0, 15)]
    # Undo takes back what was said last, not what stands last.
    assert client.post(f"/score/{session}/undo", json={}).json()["position"] == 0


def test_the_same_sent_twice_counts_once(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client)
    assert say(client, session, 0, 10).json() == say(client, session, 0, 10).json()
    assert len(sweep.scores_file.read_text().splitlines()) == 2


def test_a_session_goes_on_after_a_restart(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client)
    say(client, session, 0, 10)
    say(client, session, 1, None)
    order = read_scores(sweep).sessions[session].order
    image = client.get(f"/session/{session}/image/2/1")
    again = TestClient(create_app(sweep.path.parent), ADDRESS)
    page = again.get(f"/score/{session}").text
    assert "&#34;0&#34;: {&#34;note&#34;" in page and "&#34;1&#34;:" in page and "&#34;2&#34;:" not in page
    assert read_scores(sweep).sessions[session].order == order
    assert again.get(f"/session/{session}/image/2/1").content == image.content


def test_new_checkpoints_wait_for_the_next_session(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client, repeats="0")
    for position in range(8):
        say(client, session, position, 50)
    run = made_up.write_run(sweep, "late", ["network.network_alpha=64"])
    shown = [made_up.checkpoint(run, "000010", 150)]
    made_up.write_run(sweep, "late", ["network.network_alpha=64"], checkpoints=shown)
    assert say(client, session, 8, 50).status_code == 400
    client.post(f"/session/{session}/close", data={})
    later = begin(client, new="1", repeats="0")
    order = read_scores(sweep).sessions[later].order
    # With three of the earlier ones: without any in common, nobody knows whether one session was stricter.
    assert ("late", "000010", False) in order and len(order) == 4 and not any(step[2] for step in order)
    client.post(f"/session/{later}/close", data={})
    assert client.post("/sweep/demo/score", data={**FORM, "rater": "bo", "new": "1"}).status_code == 303


def test_a_run_that_has_gone_does_not_end_the_session(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client, repeats="0")
    order = read_scores(sweep).sessions[session].order
    gone = next(number for number, step in enumerate(order) if step[0] == "lion-fast")
    (sweep.path / "lion-fast" / "config.yaml").unlink()
    assert client.get(f"/session/{session}/image/{gone}/0").status_code in (200, 404)
    assert client.get(f"/score/{session}").status_code == 200
    assert say(client, session, gone, None).status_code == 200
    client.post(f"/session/{session}/close", data={})
    assert client.get(f"/sweep/demo/result/{session}").status_code == 200


def test_names_are_shown_when_the_session_is_closed_and_not_before(
    client: TestClient, sweep: SweepFolder
) -> None:
    session = begin(client)
    say(client, session, 0, 85)
    for address in ("look", f"result/{session}", "score", "compare"):
        answer = client.get(f"/sweep/demo/{address}")
        assert answer.status_code == 409
        assert not any(name in answer.text for name in made_up.RUNS)
    assert client.get("/sweep/demo").status_code == 200
    other = TestClient(create_app(sweep.path.parent), ADDRESS)
    assert other.get("/sweep/demo/look").status_code == 200
    assert other.get(f"/sweep/demo/result/{session}").status_code == 409
    answer = client.post(f"/session/{session}/close", data={})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/sweep/demo/result/{session}")
    page = client.get(answer.headers["location"])
    assert read_scores(sweep).sessions[session].order[0][0] in page.text
    assert say(client, session, 1, 5).status_code == 409
    assert client.post(f"/score/{session}/undo", json={}).status_code == 409
    assert client.get("/sweep/demo/look").status_code == 200


def test_the_result_tells_how_steady_the_rater_is(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client, repeats="100")
    order = read_scores(sweep).sessions[session].order
    # By turns, whatever the order drawn: three moved the same way would be drift, and no noise at all.
    moves = itertools.cycle([10, -10])
    for position, (*_, repeat) in enumerate(order):
        say(client, session, position, 50 + next(moves) if repeat else 50, tags=["wrong person"])
    client.post(f"/session/{session}/close", data={})
    page = client.get(f"/sweep/demo/result/{session}").text
    # Three differences of 10 to either side on two degrees of freedom, drift left out: one score varies by
    # sqrt(200 to 300) / sqrt(2) / sqrt(2), by how far apart the showings are.
    assert "3 checkpoints were shown twice" in page
    assert any(f"±{number}<" in page for number in (7, 8, 9))
    assert "alpha 16" in page and "wrong person" in page
    assert page.count("<circle") == 11


def test_a_repeat_cannot_be_told_by_its_address(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client, repeats="50")
    order = read_scores(sweep).sessions[session].order
    # Every position has a name of its own, repeat or not.
    names = {client.get(f"/session/{session}/image/{at}/0").headers["x-item"] for at in range(len(order))}
    assert len(names) == len(order)
    second = next(number for number, step in enumerate(order) if step[2])
    first = order.index((*order[second][:2], False))
    one, other = (client.get(f"/session/{session}/image/{number}/0") for number in (first, second))
    assert one.content == other.content
    assert {key: value for key, value in one.headers.items() if key not in ("content-length", "x-item")} == {
        key: value for key, value in other.headers.items() if key not in ("content-length", "x-item")
    }


def test_images_outside_the_session_are_not_there(client: TestClient) -> None:
    session = begin(client)
    for address in ("image/10/0", "image/0/2", "image/-1/0", "training/3", "bare/2", "image/0/x"):
        assert client.get(f"/session/{session}/{address}").status_code == 404
    assert client.get(f"/session/{'0' * 32}/image/0/0").status_code == 404
    assert client.get("/score/nothing").status_code == 404


def test_two_raters_do_not_disturb_each_other(client: TestClient, sweep: SweepFolder) -> None:
    other = TestClient(create_app(sweep.path.parent), ADDRESS, follow_redirects=False)
    other.headers["origin"] = ADDRESS
    one, two = begin(client), begin(other, rater="bo")
    say(client, one, 0, 10)
    say(other, two, 0, 90)
    assert client.post(f"/score/{one}/undo", json={}).json()["position"] == 0
    (score,) = read_scores(sweep).scores
    assert (score.rater, score.value) == ("bo", 90)


def test_a_score_survives_a_kill_right_after_the_key_press(sweep: SweepFolder, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lora_lab", "review", str(sweep.path), "--port", "0", "--no-browser"]
    served = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    try:
        assert served.stdout is not None
        address = served.stdout.readline().split(" at ")[1].split()[0].rstrip("/")
        client = httpx2.Client(base_url=address, headers={"origin": address})
        location = client.post("/sweep/demo/score", data=FORM).headers["location"]
        answer = client.post(f"{location}/judge", json={"position": 0, "value": 77, "seconds": 1})
        os.kill(served.pid, signal.SIGKILL)
        assert answer.json()["said"]["value"] == 77
    finally:
        served.kill()
        served.wait(10)
    assert [item.value for item in read_scores(sweep).scores] == [77]


@pytest.mark.parametrize(
    ("minutes_ago", "progress"),
    [([], 0), ([2], 2), ([32, 25, 18, 11, 4], 32), ([60, 40, 9, 5, 1], 9), ([12], 0)],
)
def test_a_sitting_lasts_from_the_last_break(minutes_ago: list[int], progress: int) -> None:
    session = Session("s", "anna", "score", 1)
    at = [(datetime.now(UTC) - timedelta(minutes=ago)).isoformat() for ago in minutes_ago]
    scores = {n: Score(f"{n}", "s", "anna", "r", "t", n, 50, at=text) for n, text in enumerate(at)}
    found = SessionProgress("demo", SweepFolder(Path()), session, scores)
    assert found.minutes() == progress
    assert pause(found) == (progress >= 30)


# --- what an answer belongs to, and what is no answer ---


@pytest.mark.parametrize(
    ("seconds", "stored"), [(0, False), (0.05, False), (0.29, False), (0.3, True), (2, True)]
)
def test_what_nobody_can_have_seen_is_not_taken(
    client: TestClient, sweep: SweepFolder, seconds: float, stored: bool
) -> None:
    answer = say(client, begin(client), 0, 50, seconds=seconds)
    assert (answer.status_code == 200) == stored == (len(read_scores(sweep).scores) == 1)
    assert stored or "too soon" in answer.json()["error"]


@pytest.mark.parametrize(
    ("seconds", "kept"), [(90000.0, 86400.0), (10**7, 86400.0), (-5, None), (86400.04, 86400.0), ("7", 7.0)]
)
def test_pages_left_open_and_clocks_set_back_lose_no_score(
    client: TestClient, sweep: SweepFolder, seconds: float, kept: float | None
) -> None:
    assert say(client, begin(client), 0, 50, seconds=seconds).status_code == 200
    assert [item.seconds for item in read_scores(sweep).scores] == [kept]


@pytest.mark.parametrize("seconds", ["soon", None, [], True, "9" * 400])
def test_seconds_that_are_no_number_are_refused(client: TestClient, seconds: object) -> None:
    answer = say(client, begin(client), 0, 50, seconds=seconds)
    assert answer.status_code == 400 and "seconds must be a number" in answer.json()["error"]


def test_an_answer_belongs_to_the_item_that_was_shown(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client)
    items = [client.get(f"/session/{session}/image/{at}/0").headers["x-item"] for at in (0, 1)]
    assert say(client, session, 0, 50, item=items[1]).status_code == 409
    assert read_scores(sweep).scores == []
    assert say(client, session, 0, 50, item=items[0]).status_code == 200
    assert [item.position for item in read_scores(sweep).scores] == [0]


def test_a_clock_that_was_set_back_is_no_sitting() -> None:
    at = [(datetime.now(UTC) + timedelta(hours=hours)).isoformat() for hours in (5, 3, 1)]
    scores = {n: Score(f"{n}", "s", "anna", "r", "t", n, 50, at=text) for n, text in enumerate(at)}
    assert (
        SessionProgress("demo", SweepFolder(Path()), Session("s", "anna", "score", 1), scores).minutes() == 0
    )


# --- what a score belongs to ---


def test_a_score_says_what_was_shown(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client, prompt=["1"])
    say(client, session, 0, 50)
    (score,) = read_scores(sweep).scores
    assert score.shots == ((1, 7, 1.0),) and len(score.shown) == 32
    made_up.write_image(sweep.run(score.run).previews(score.tag) / "p1-s7-w1.png", 199)
    say(client, session, 0, 60)
    (again,) = read_scores(sweep).scores
    assert again.shots == score.shots and again.shown != score.shown


def test_equal_pixels_are_shown_once_and_scored_for_both(client: TestClient, sweep: SweepFolder) -> None:
    for name in ("p0-s7-w1.png", "p1-s7-w1.png"):
        shutil.copy(
            sweep.run("base-run").previews("000010") / name, sweep.run("batch-four").previews("000010") / name
        )
    session = begin(client, repeats="0")
    order = read_scores(sweep).sessions[session].order
    assert len(order) == 7 and ("batch-four", "000010", False) not in order
    say(client, session, order.index(("base-run", "000010", False)), 80)
    found = ratings(read_scores(sweep))
    assert found["base-run", "000010"] == found["batch-four", "000010"]
    assert found["batch-four", "000010"].value == 80
    # Both are scored by that: neither waits in the next session.
    client.post(f"/session/{session}/close", data={})
    later = begin(client, new="1", repeats="0")
    new = [step[:2] for step in read_scores(sweep).sessions[later].order]
    assert new.count(("base-run", "000010")) + new.count(("batch-four", "000010")) == 1, "as a bridge"


def test_other_images_wait_in_the_next_session(client: TestClient, sweep: SweepFolder) -> None:
    session = begin(client, prompt=["0"], repeats="0")
    for position in range(8):
        say(client, session, position, 50)
    client.post(f"/session/{session}/close", data={})
    # With both prompts nothing was scored yet, and there is nothing to bridge to.
    later = begin(client, new="1", repeats="0")
    assert len(read_scores(sweep).sessions[later].order) == 8


def test_what_a_prompt_drew_is_known_when_another_has_its_number(
    client: TestClient, sweep: SweepFolder
) -> None:
    session = begin(client, prompt=["0"], repeats="0")
    for position in range(8):
        say(client, session, position, 50)
    client.post(f"/session/{session}/close", data={})
    for name in made_up.RUNS:
        record = read_record(sweep.run(name))
        for shot in (shot for item in record.checkpoints for shot in item.previews):
            shot.prompt = 1 - shot.prompt
        write_record(sweep.run(name), record)
    # The first prompt now is the second one of then, of which nothing was scored; and the other way round.
    later = begin(client, prompt=["0"], new="1", repeats="0")
    assert len(read_scores(sweep).sessions[later].order) == 8
    client.post(f"/session/{later}/discard", data={})
    nothing = client.post("/sweep/demo/score", data={**FORM, "prompt": ["1"], "new": "1"})
    assert nothing.status_code == 400 and "nothing is left to show" in nothing.text
    # What it said is shown with the images that were judged.
    seen = client.get(f"/sweep/demo/result/{session}").text
    run = SweepCache().read(sweep).runs["base-run"]
    shots = {
        shot.text: run.image("000010", shot) for (tag, *_), shot in run.previews.items() if tag == "000010"
    }
    assert shots["miko, smile"] in seen and shots["miko, hat"] not in seen


# --- raters, and sessions that were a mistake ---


@pytest.mark.parametrize("name", ["Ann\u00e9", "ann\u00e9", "ANNE\u0301", "  Ann\u00e9 ", "Anne\u0301"])
def test_one_name_in_many_spellings_is_one_rater(client: TestClient, sweep: SweepFolder, name: str) -> None:
    first = begin(client, rater="Ann\u00e9")
    client.post(f"/session/{first}/close", data={})
    session = begin(client, rater=name)
    assert read_scores(sweep).sessions[session].rater == "Ann\u00e9"


@pytest.mark.parametrize("name", ["\u200b", "an\u200bna", "\ufeff", "a\u202eb", " ", "a\x00b"])
def test_a_name_that_cannot_be_seen_is_refused(client: TestClient, sweep: SweepFolder, name: str) -> None:
    answer = client.post("/sweep/demo/score", data={**FORM, "rater": name})
    assert answer.status_code == 400 and ("cannot be seen" in answer.text or "write your name" in answer.text)
    assert not sweep.scores_file.exists()


def test_a_session_can_be_discarded_before_and_after_it_was_closed(
    client: TestClient, sweep: SweepFolder
) -> None:
    kept = begin(client, rater="bo")
    say(client, kept, 0, 33)
    client.post(f"/session/{kept}/close", data={})
    for closed in (False, True):
        session = begin(client)
        say(client, session, 0, 90)
        if closed:
            client.post(f"/session/{session}/close", data={})
        answer = client.post(f"/session/{session}/discard", data={})
        assert (answer.status_code, answer.headers["location"]) == (303, "/sweep/demo")
        assert say(client, session, 1, 5).status_code == 404
        assert client.get(f"/score/{session}").status_code == 404
    log = read_scores(sweep)
    assert [item.value for item in log.scores] == [33] and list(log.sessions) == [kept]
    assert log.discarded == 2 and log.damage == ()
    assert sweep.scores_file.read_text().count('"kind": "score"') == 3, "nothing is removed from the log"
    assert client.get("/sweep/demo/look").status_code == 200
    assert client.get("/sweep/demo").text.count("/discard") == 1


# --- what only a program sends ---


@pytest.mark.parametrize(
    "body",
    [
        b'{"position": 0, "seconds": 1, "value": ' + b"9" * 400 + b"}",
        b'{"position": 0, "seconds": 1, "value": ' + b"9" * 5000 + b"}",
        b'{"position": 0, "seconds": 1, "value": ' + b"[" * 20000 + b"]" * 20000 + b"}",
        b"[" * 20000,
        b'{"position": 0, "seconds": 1, "value": 5, "note": "\\ud800"}',
        b'{"position": 0, "seconds": 1, "value": 5, "tags": ["\\udfff"]}',
        b'{"position": 1e400, "seconds": 1, "value": 5}',
        b'{"position": 0, "seconds": 1, "value": {"a": 1}}',
        b"\xff\xfe", b"", b"null",
    ],
)  # fmt: skip
def test_odd_bodies_are_one_sentence(client: TestClient, sweep: SweepFolder, body: bytes) -> None:
    session = begin(client)
    answer = client.post(
        f"/score/{session}/judge", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400 and 10 < len(answer.json()["error"]) < 200
    assert read_scores(sweep).scores == []


@pytest.mark.parametrize("rater", [b"%ED%A0%80", b"9" * 400, b"[" * 20000])
def test_odd_forms_are_one_sentence(client: TestClient, rater: bytes) -> None:
    answer = client.post(
        "/sweep/demo/score",
        content=b"which=all&prompt=0&layout=grid&repeats=25&rater=" + rater,
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code in (303, 400)


def test_a_score_that_the_disk_did_not_keep_is_not_acknowledged(
    client: TestClient, sweep: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin(client)
    assert say(client, session, 0, 10).status_code == 200

    def full(*_: object, **__: object) -> None:
        raise RunFolderError("cannot write scores.jsonl: No space left on device; nothing of it was kept")

    monkeypatch.setattr("lora_lab.store.scores.append_line", full)
    answer = say(client, session, 1, 20)
    assert answer.status_code == 500 and "nothing of it was kept" in answer.json()["error"]
    monkeypatch.undo()
    assert [item.value for item in read_scores(sweep).scores] == [10]
    assert say(client, session, 1, 20).status_code == 200, "and it can be given again"


@pytest.mark.parametrize("change", [{"value": "70"}, {"at": "2026-01-01T00:00:00"}])
def test_a_damaged_line_ends_no_page_and_is_named(
    client: TestClient, sweep: SweepFolder, change: dict[str, object]
) -> None:
    say(client, begin(client), 0, 50)
    good = json.loads(sweep.scores_file.read_text().splitlines()[-1])
    with open(sweep.scores_file, "a") as file:
        file.write(json.dumps({**good, "id": "x", **change}) + "\n")
    client.cookies.clear()
    for page in ("/", "/sweep/demo", "/sweep/demo/look", "/sweep/demo/score"):
        assert client.get(page).status_code == 200, page
    assert "1 damaged line of" in client.get("/sweep/demo").text
    assert [item.value for item in read_scores(sweep).scores] == [50]
