"""The log of scores: only appended to, undone by later lines, whole after a crash."""

from pathlib import Path

import pytest

from lora_lab.errors import RunFolderError
from lora_lab.store import SweepFolder, append_score_line, read_scores


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    return SweepFolder(tmp_path / "demo")


def add_score(sweep: SweepFolder, value: float, run: str = "03", **more: object) -> str:
    fields = {"session": "s1", "rater": "anna", "run": run, "tag": "000010", "position": 0, "value": value}
    return append_score_line(sweep, "score", **{**fields, **more})


def test_a_missing_log_is_empty(sweep: SweepFolder) -> None:
    log = read_scores(sweep)
    assert (log.sessions, log.scores, log.skips, log.pairs) == ({}, [], [], [])


def test_what_was_said_is_read_back(sweep: SweepFolder) -> None:
    order = [["03", "000010", False], ["04", "000010", False], ["03", "000010", True]]
    session = append_score_line(sweep, "session", rater="anna", mode="score", seed=7, order=order)
    add_score(sweep, 85, session=session, note="skin", tags=["skin"], seconds=2.5)
    append_score_line(sweep, "skip", session=session, rater="anna", run="04", tag="000010", position=1)
    append_score_line(
        sweep,
        "pair",
        session="s2",
        rater="bo",
        left=["03", "000010"],
        right=["04", "000010"],
        position=0,
        result="both_bad",
    )
    log = read_scores(sweep)
    assert log.sessions[session].order[2] == ("03", "000010", True)
    assert not log.sessions[session].closed
    (score,), (skip,), (pair,) = log.scores, log.skips, log.pairs
    assert (score.place, score.value, score.note, score.tags) == (("03", "000010"), 85, "skin", ("skin",))
    assert (skip.run, pair.left, pair.right, pair.result) == (
        "04",
        ("03", "000010"),
        ("04", "000010"),
        "both_bad",
    )
    append_score_line(sweep, "close", session=session, rater="anna")
    assert read_scores(sweep).sessions[session].closed


def test_undo_is_a_line_of_its_own(sweep: SweepFolder) -> None:
    first, second = add_score(sweep, 10), add_score(sweep, 20)
    append_score_line(sweep, "cancel", session="s1", rater="anna", cancels=second)
    assert [item.id for item in read_scores(sweep).scores] == [first]
    assert len(sweep.scores_file.read_text().splitlines()) == 3


def test_a_torn_line_costs_itself_only(sweep: SweepFolder) -> None:
    add_score(sweep, 10)
    with open(sweep.scores_file, "ab") as file:
        file.write(b'{"kind": "score", "id": "x", "val')
    add_score(sweep, 30)
    log = read_scores(sweep)
    assert [item.value for item in log.scores] == [10, 30]
    assert log.damaged_lines == 1


@pytest.mark.parametrize("value", [-1, 101, float("nan")])
def test_no_score_lies_outside_the_scale(sweep: SweepFolder, value: float) -> None:
    with pytest.raises(ValueError):
        add_score(sweep, value)
    assert not sweep.scores_file.exists()


def test_what_a_newer_version_wrote_is_no_obstacle(sweep: SweepFolder) -> None:
    add_score(sweep, 10, mood="good")
    sweep.scores_file.write_text(
        sweep.scores_file.read_text() + '{"kind": "smell", "id": "1", "at": ""}\n[1]\n'
    )
    log = read_scores(sweep)
    assert [item.value for item in log.scores] == [10]
    assert log.damaged_lines == 2


def test_a_log_that_cannot_be_opened_is_one_clear_message(sweep: SweepFolder) -> None:
    sweep.scores_file.mkdir(parents=True)
    with pytest.raises(RunFolderError, match=r"scores\.jsonl cannot be read"):
        read_scores(sweep)


def test_a_session_says_what_it_shows_and_lines_are_numbered(sweep: SweepFolder) -> None:
    places = [["03", "000010"], ["04", "000010"]]
    shots = [[0, 7, 1], [1, 7, 0.5]]
    session = append_score_line(
        sweep, "session", rater="bo", mode="compare", seed=1, places=places, shots=shots, target=9
    )
    add_score(sweep, 10)
    add_score(sweep, 20)
    log = read_scores(sweep)
    found = log.sessions[session]
    assert found.places == (("03", "000010"), ("04", "000010"))
    assert (found.shots, found.target, found.layout) == (((0, 7, 1.0), (1, 7, 0.5)), 9, "grid")
    assert [item.line for item in log.scores] == [1, 2]
