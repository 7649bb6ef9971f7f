"""The log of scores: only appended to, undone by later lines, whole after a crash."""

import json
from pathlib import Path

import pytest

from lora_lab.errors import RunFolderError
from lora_lab.store import SweepFolder, append_score_line, comparable_scores, ratings, read_scores


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


# --- damaged lines ---

GOOD = {
    "kind": "score", "id": "a", "at": "2026-01-01T00:00:00+00:00", "session": "s", "rater": "anna",
    "run": "03", "tag": "000010", "position": 0, "value": 70,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"value": "70"}, "value must be a number"),
        ({"value": True}, "value must be a number"),
        ({"value": None}, "value must be a number"),
        ({"value": 101}, "value must lie from 0 to 100"),
        ({"at": "2026-01-01T00:00:00"}, "at must be a time with its zone"),
        ({"at": "yesterday"}, "at must be a time with its zone"),
        ({"at": 7}, "at must be a time with its zone"),
        ({"position": "0"}, "position must be a whole number"),
        ({"position": -1}, "position must be a whole number"),
        ({"run": 3}, "run must be a text"),
        ({"tag": 10}, "tag must be a text"),
        ({"tags": "skin"}, "tags must be a list of texts"),
        ({"seconds": "5"}, "seconds must be a number"),
        ({"repeat": 1}, "repeat must be true or false"),
        ({"shots": [[0, 1]]}, "shots must be a list"),
        ({"rater": "\u200b"}, "cannot be seen"),
        ({"rater": " "}, "a name is empty"),
        ({"kind": "smell"}, "its kind is 'smell'"),
        ({"kind": ["score"]}, "its kind is"),
    ],
)
def test_a_damaged_line_is_left_out_and_named(sweep: SweepFolder, change: dict, reason: str) -> None:
    sweep.path.mkdir(parents=True)
    text = "\n".join(json.dumps(line) for line in (GOOD, {**GOOD, "id": "b", **change}, {**GOOD, "id": "c"}))
    sweep.scores_file.write_text(text + "\n")
    log = read_scores(sweep)
    assert [item.id for item in log.scores] == ["a", "c"]
    assert log.damaged_lines == 1 and log.damage[0].startswith("line 2: ") and reason in log.damage[0]
    assert log.damage_note().startswith(f"1 damaged line of {sweep.scores_file} left out: line 2: ")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "[" * 20000])
def test_what_is_no_number_is_damage(sweep: SweepFolder, text: str) -> None:
    sweep.path.mkdir(parents=True)
    line = json.dumps({**GOOD, "value": 0}).replace('"value": 0', f'"value": {text}')
    sweep.scores_file.write_text(line + "\n" + json.dumps({**GOOD, "id": "c"}) + "\n")
    log = read_scores(sweep)
    assert [item.id for item in log.scores] == ["c"] and log.damaged_lines == 1


def test_a_mark_of_the_encoding_loses_nothing(sweep: SweepFolder) -> None:
    session = append_score_line(sweep, "session", rater="anna", mode="score", seed=7)
    add_score(sweep, 10, session=session)
    text = sweep.scores_file.read_text()
    # As Windows editors save it, and as two such files are joined.
    sweep.scores_file.write_text("\ufeff" + text.replace("\n", "\r\n\ufeff", 1), encoding="utf-8")
    log = read_scores(sweep)
    assert list(log.sessions) == [session] and len(log.scores) == 1 and log.damage == ()


def test_a_line_that_stands_twice_counts_once(sweep: SweepFolder) -> None:
    add_score(sweep, 10)
    add_score(sweep, 20)
    sweep.scores_file.write_text(sweep.scores_file.read_text() * 2)
    assert [item.value for item in read_scores(sweep).scores] == [10, 20]


# --- raters, shots, pixels ---


def test_spellings_of_a_name_are_one_rater_with_the_first(sweep: SweepFolder) -> None:
    for name in ("Ann\u00e9 B", "ANNE\u0301 b", " ann\u00e9  B ", "Ben"):
        add_score(sweep, 10, rater=name)
    assert [item.rater for item in read_scores(sweep).scores] == ["Ann\u00e9 B"] * 3 + ["Ben"]


WIDE, NARROW = [[0, 7, 1.0], [1, 7, 1.0]], [[0, 7, 0.6]]


def test_only_equal_shots_are_combined_and_the_others_are_named(sweep: SweepFolder) -> None:
    for run, value in (("03", 80), ("04", 60), ("05", 40)):
        add_score(sweep, value, run, shots=WIDE)
    add_score(sweep, 10, "03", shots=NARROW)
    log = read_scores(sweep)
    assert {run: item.value for (run, _), item in ratings(log).items()} == {"03": 80, "04": 60, "05": 40}
    kept, notes = comparable_scores(log.scores)
    assert len(kept) == 3 and len(notes) == 1
    assert notes[0].startswith("1 score of other images (prompt 1, seed 7, strength 0.6) left out")
    assert "prompts 1, 2, seed 7, strength 1" in notes[0]


def test_of_equally_many_the_later_shots_are_taken(sweep: SweepFolder) -> None:
    add_score(sweep, 80, shots=WIDE)
    add_score(sweep, 10, shots=NARROW)
    assert [item.value for item in ratings(read_scores(sweep)).values()] == [10]


def test_shots_in_another_order_are_the_same(sweep: SweepFolder) -> None:
    add_score(sweep, 80, shots=WIDE)
    add_score(sweep, 60, shots=WIDE[::-1])
    (rating,) = ratings(read_scores(sweep)).values()
    assert (rating.value, rating.count) == (70, 2)


def test_scores_of_earlier_versions_have_the_shots_of_their_session(sweep: SweepFolder) -> None:
    session = append_score_line(sweep, "session", rater="anna", mode="score", seed=7, shots=WIDE)
    add_score(sweep, 80, session=session)
    add_score(sweep, 60, shots=WIDE)
    (rating,) = ratings(read_scores(sweep)).values()
    assert (rating.value, rating.count) == (70, 2)


def test_images_rendered_anew_are_not_averaged_with_the_old_ones(sweep: SweepFolder) -> None:
    add_score(sweep, 80, shots=WIDE, shown="old")
    add_score(sweep, 90, "04", shots=WIDE, shown="other")
    add_score(sweep, 20, shots=WIDE, shown="new")
    log = read_scores(sweep)
    assert {run: item.value for (run, _), item in ratings(log).items()} == {"03": 20, "04": 90}
    assert "1 score of images that were rendered anew" in comparable_scores(log.scores)[1][0]


def test_a_score_counts_for_all_checkpoints_of_its_pixels(sweep: SweepFolder) -> None:
    add_score(sweep, 80, also=[["04", "000010"]])
    found = ratings(read_scores(sweep))
    assert {place: item.value for place, item in found.items()} == {
        ("03", "000010"): 80, ("04", "000010"): 80,
    }  # fmt: skip


# --- discarded sessions ---


def test_nothing_of_a_discarded_session_counts(sweep: SweepFolder) -> None:
    one, other = (append_score_line(sweep, "session", rater="anna", mode="score", seed=7) for _ in range(2))
    for session in (one, other):
        add_score(sweep, 10, session=session)
        append_score_line(sweep, "skip", session=session, rater="anna", run="04", tag="1", position=1)
    gone = append_score_line(sweep, "discard", session=one, rater="anna")
    log = read_scores(sweep)
    assert list(log.sessions) == [other] and log.discarded == 1
    assert {item.session for item in (*log.scores, *log.skips)} == {other}
    append_score_line(sweep, "cancel", session=one, rater="anna", cancels=gone)
    assert len(read_scores(sweep).scores) == 2, "a discard can be cancelled as everything else"
