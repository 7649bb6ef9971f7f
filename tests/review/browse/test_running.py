"""The page of what runs, and its button."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from lora_lab.review.web.app import create_app
from lora_lab.run.lock import FolderLock
from lora_lab.store import RunRecord, SweepFolder, read_record, write_record
from lora_lab.store.steps import append_step
from lora_lab.store.underway import how_far, underway, until_all_end

ADDRESS = "http://127.0.0.1:7868"
PAGE = "/sweep/faces/look/running"


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[SweepFolder]:
    """Two runs of one worker, one that waits, one that is done."""
    folder, locks = SweepFolder(tmp_path / "faces"), []
    share = {"device": "cpu", "peak_memory_bytes": 3 * 2**29}
    for name, record in {
        "busy": RunRecord(status="running", step=40, total_steps=100, seconds={"train": 80.0}, **share),
        "mate": RunRecord(status="running", step=10, total_steps=30, seconds={"train": 5.0}, **share),
        "next": RunRecord(status="planned", total_steps=100),
        "over": RunRecord(status="done", step=100, total_steps=100),
    }.items():
        run = folder.run(name)
        run.path.mkdir(parents=True)
        write_record(run, record)
        if name in ("busy", "mate"):
            locks.append(FolderLock(run.lock_file))
            assert locks[-1].acquire()
    for step in range(1, 41):
        append_step(folder.run("busy"), {"step": step, "epoch": 1, "loss": 1.0 / step})
    yield folder
    for lock in locks:
        lock.release()


@pytest.fixture
def client(sweep: SweepFolder) -> Iterator[TestClient]:
    with TestClient(create_app(sweep.path.parent), ADDRESS, headers={"origin": ADDRESS}) as client:
        yield client


def test_shares_of_a_worker_add_up_to_its_time(sweep: SweepFolder) -> None:
    rows = {row.run: row for row in underway(sweep)}
    assert {name: row.state for name, row in rows.items()} == {
        "busy": "running", "mate": "running", "next": "waiting",
    }  # fmt: skip
    # 60 steps at 2 s and 20 at 0.5 s
    assert until_all_end(rows.values()) == pytest.approx(120.0 + 10.0)
    assert until_all_end([rows["next"]]) is None


def test_how_far_the_whole_sweep_is_and_when_it_ends(sweep: SweepFolder, client: TestClient) -> None:
    # Two workers by their claims; 50 steps took 85 s of theirs, which is 42.5 s by the clock.
    whole = how_far(sweep)
    assert (whole.total, whole.done, whole.runs, whole.ended) == (330, 150, 4, 1)
    workers = len({row.pid for row in underway(sweep) if row.pid})
    assert whole.speed == pytest.approx(50 / 85 * workers)
    assert whole.seconds_left == pytest.approx(180 / whole.speed)
    assert (
        f"The whole sweep: {whole.words[:40]}" in client.get(PAGE).text and "45% of 330 steps" in whole.words
    )


def test_a_run_that_was_stopped_counts_as_whole_and_copies_do_not_count(sweep: SweepFolder) -> None:
    write_record(sweep.run("next"), RunRecord(status="stopped", step=20, total_steps=100))
    for name, record in {
        "twin": RunRecord(status="done", same_as="over", total_steps=100),
        "theirs": RunRecord(status="done", external={"source": "x"}),
    }.items():
        sweep.run(name).path.mkdir()
        write_record(sweep.run(name), record)
    whole = how_far(sweep)
    assert (whole.total, whole.done, whole.runs, whole.ended) == (330, 250, 4, 2)


def test_nobody_at_work_has_no_end(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "faces")
    folder.run("a").path.mkdir(parents=True)
    write_record(
        folder.run("a"), RunRecord(status="cancelled", step=5, total_steps=10, seconds={"train": 5.0})
    )
    assert how_far(folder).words == "50% of 10 steps, 0/1 runs ended"


def test_the_page_says_how_far_it_is(client: TestClient) -> None:
    text = client.get(PAGE).text
    assert "1 of 4 runs done, 2 running, 1 waiting." in text and "trained in 2:10 min" in text
    assert "40 of 100" in text and "1.5 GiB" in text and "↓" in text and "over" not in text
    assert 'http-equiv="refresh"' in text


def test_the_button_stops_at_the_next_checkpoint_and_takes_it_back(
    client: TestClient, sweep: SweepFolder
) -> None:
    answer = client.post(PAGE, data={"run": "busy", "act": "stop"})
    assert answer.status_code == 200 and "Go on" in answer.text
    assert sweep.run("busy").stop_request.exists()
    client.post(PAGE, data={"run": "busy", "act": "undo"})
    assert not sweep.run("busy").stop_request.exists()


def test_what_nobody_works_on_is_stopped_at_once(client: TestClient, sweep: SweepFolder) -> None:
    client.post(PAGE, data={"run": "next", "act": "stop"})
    record = read_record(sweep.run("next"))
    assert (record.status, record.reason) == ("stopped", "by hand before it began")


def test_no_other_page_and_no_other_name_stops_anything(client: TestClient, sweep: SweepFolder) -> None:
    assert client.post(PAGE, data={"run": "busy"}, headers={"origin": "http://elsewhere"}).status_code == 403
    assert client.post(PAGE, data={"run": "../faces/busy"}).status_code == 404
    assert not sweep.run("busy").stop_request.exists()
