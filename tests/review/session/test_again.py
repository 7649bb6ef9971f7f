"""The second session over HTTP: offered when the first is closed, blind, of the same images."""

from starlette.testclient import TestClient

from lora_lab.store import SweepFolder, read_scores
from lora_lab.verdict.leaders import PART
from tests.review.asking import begin, say


def scored(
    client: TestClient, sweep: SweepFolder, values: dict[str, int], default: int = 60, which: str = "all"
) -> str:
    """A closed session with a score of everything, the same for all checkpoints of a run."""
    identity = begin(client, repeats="0", which=which)
    for position, (run, _, _) in enumerate(read_scores(sweep).sessions[identity].order):
        say(client, identity, position, values.get(run, default))
    client.post(f"/session/{identity}/close")
    return identity


def test_it_is_offered_where_the_top_is_open_and_begins_there(client: TestClient, sweep: SweepFolder) -> None:
    first = scored(client, sweep, {"base-run": 64, "lion-fast": 40})
    told = client.get(f"/sweep/demo/result/{first}").text
    assert "Begin the second session" in told and "more looks" in told
    answer = client.post(f"/sweep/demo/again/{first}")
    assert answer.status_code == 303 and answer.headers["location"].startswith("/score/")
    log = read_scores(sweep)
    second = log.sessions[answer.headers["location"].rsplit("/", 1)[1]]
    one = log.sessions[first]
    assert (second.rater, second.shots, second.mode) == (one.rater, one.shots, "score")
    shown = {(run, tag) for run, tag, _ in second.order}
    assert len(shown) > 1 and shown <= {(run, tag) for run, tag, _ in one.order}, "the bridge to the first"
    assert client.get("/sweep/demo/look").status_code == 409, "names are hidden while it is open"
    page = client.get(answer.headers["location"]).text
    assert not any(run in page for run, _ in shown)


def test_its_scores_decide_what_it_shows_next(client: TestClient, sweep: SweepFolder) -> None:
    first = scored(client, sweep, {"base-run": 64, "lion-fast": 40})
    identity = client.post(f"/sweep/demo/again/{first}").headers["location"].rsplit("/", 1)[1]
    start = read_scores(sweep).sessions[identity]
    assert len(start.order) == PART < start.target and set(start.places) >= {step[:2] for step in start.order}
    for position in range(PART - 1):
        assert say(client, identity, position, 60).json()["known"] == PART, "chosen when a part is whole"
    assert client.get(f"/session/{identity}/image/{PART}/0").status_code == 404
    assert say(client, identity, PART - 1, 60).json()["known"] == 2 * PART
    assert client.get(f"/session/{identity}/image/{PART}/0").status_code == 200
    assert say(client, identity, PART - 1, 20).json()["known"] == 2 * PART, "what is chosen stays"
    client.post(f"/score/{identity}/undo", json={})
    say(client, identity, PART - 1, 50)
    for position in range(PART, start.target):
        say(client, identity, position, 60)
    order = read_scores(sweep).sessions[identity].order
    assert len(order) == start.target
    seen = [step[:2] for step in order]
    assert [again for _, _, again in order] == [place in seen[:at] for at, place in enumerate(seen)]
    client.post(f"/session/{identity}/close")
    assert client.get(f"/sweep/demo/result/{identity}").status_code == 200


def test_none_is_offered_where_one_is_clearly_best(client: TestClient, sweep: SweepFolder) -> None:
    first = scored(client, sweep, {"base-run": 99}, default=10, which="last")
    assert "Begin the second session" not in client.get(f"/sweep/demo/result/{first}").text
    assert client.post(f"/sweep/demo/again/{first}").status_code == 409


def test_a_session_that_is_not_there_or_open_starts_none(client: TestClient, sweep: SweepFolder) -> None:
    assert client.post(f"/sweep/demo/again/{'0' * 32}").status_code == 404
