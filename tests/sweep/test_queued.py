"""What is done to entries of the queue, and who may work on one."""

from pathlib import Path

import pytest

from lora_lab.errors import ConfigError
from lora_lab.store import locks
from lora_lab.store.queue import Entry, Queue
from lora_lab.sweep import queued
from lora_lab.sweep.queued import add, move, pause, remove, take_next


def entry(name: str, *overrides: str) -> Entry:
    return Entry(0, name, f"/sweeps/{name}.yaml", "/", overrides=list(overrides))


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    """Three entries that wait: a, b and みこ 1."""
    made = Queue(tmp_path)
    for name in ("a", "b", "みこ 1"):
        add(made, entry(name))
    return made


def names(queue: Queue) -> list[str]:
    return [one.name for one in queue.entries()]


def states(queue: Queue) -> list[str]:
    return [one.status for one in queue.entries()]


def test_the_same_request_stands_once_but_another_of_the_same_sweep_is_another(queue: Queue) -> None:
    with pytest.raises(ConfigError, match=r"a\.yaml is entry 1 of the queue already \(waiting\).*move 1 1"):
        add(queue, entry("a"))
    assert add(queue, entry("a", "optimizer=lion")).number == 4
    turn = take_next(queue)
    assert turn is not None
    with pytest.raises(ConfigError, match=r"already \(running\)"):
        add(queue, entry("a"))
    turn.conclude("done")
    assert add(queue, entry("a")).number == 5, "what has ended can be asked for again"


def test_an_entry_is_meant_by_number_name_or_file(queue: Queue) -> None:
    assert [one.number for one in remove(queue, ["みこ 1", "/sweeps/a.yaml", "2"])] == [3, 1, 2]
    assert names(queue) == []
    with pytest.raises(ConfigError, match="no entry 'a' in the queue; it is empty"):
        remove(queue, ["a"])


def test_each_word_that_means_nothing_is_named_and_nothing_is_done(queue: Queue) -> None:
    with pytest.raises(ConfigError) as said:
        remove(queue, ["a", "nobody", "7"])
    lines = str(said.value).splitlines()
    assert lines == [
        "no entry 'nobody' in the queue; known: 1 (a), 2 (b), 3 (みこ 1)",
        "no entry '7' in the queue; known: 1 (a), 2 (b), 3 (みこ 1)",
    ]
    assert names(queue) == ["a", "b", "みこ 1"]


def test_a_name_of_several_wants_a_number(queue: Queue) -> None:
    add(queue, entry("a", "optimizer=lion"))
    with pytest.raises(ConfigError, match="'a' means entries 1, 4: give a number"):
        move(queue, "a", 1)
    move(queue, "4", 1)
    assert [one.number for one in queue.entries()] == [4, 1, 2, 3]


def test_a_name_of_digits_is_a_number(queue: Queue) -> None:
    assert add(queue, entry("2")).number == 4
    assert remove(queue, ["2"])[0].name == "b"
    assert remove(queue, ["4"])[0].name == "2"


def test_one_that_waits_comes_before_one_that_ended_under_a_name(queue: Queue) -> None:
    turn = take_next(queue)
    assert turn is not None and turn.conclude("failed", "why").state == "failed"
    with pytest.raises(ConfigError, match=r"entry 1 \(a\) has ended: failed"):
        pause(queue, ["a"])
    add(queue, entry("a"))
    assert [one.number for one in pause(queue, ["a"])] == [4]
    assert [one.number for one in remove(queue, ["b"], ended=True)] == [2, 1]


def test_places_are_those_of_what_waits(queue: Queue) -> None:
    turn = take_next(queue)
    assert turn is not None and turn.entry.name == "a"
    move(queue, "みこ 1", 1)
    assert names(queue) == ["a", "みこ 1", "b"]
    move(queue, "みこ 1", 99)
    assert names(queue) == ["a", "b", "みこ 1"]
    with pytest.raises(ConfigError, match=r"PLACE must be at least 1, .* got 0"):
        move(queue, "b", 0)
    turn.conclude("done")


def test_what_runs_is_left_alone(queue: Queue) -> None:
    turn = take_next(queue)
    assert turn is not None
    for change in (lambda: remove(queue, ["a"]), lambda: pause(queue, ["a"]), lambda: move(queue, "1", 2)):
        with pytest.raises(ConfigError, match=r"entry 1 \(a\) is running: Ctrl-C .* `lora-lab stop`"):
            change()
    assert [one.name for one in pause(queue, [])] == ["b", "みこ 1"], "all that wait"
    assert states(queue) == ["running", "paused", "paused"]
    turn.conclude("done")


def test_paused_ones_are_passed_over_until_it_is_taken_back(queue: Queue) -> None:
    assert [one.name for one in pause(queue, ["a", "b"])] == ["a", "b"]
    assert pause(queue, ["a"]) == []
    first = take_next(queue)
    assert first is not None and first.entry.name == "みこ 1"
    assert take_next(queue) is None
    assert [one.name for one in pause(queue, [], undo=True)] == ["a", "b"]
    second = take_next(queue)
    assert second is not None and second.entry.name == "a"
    first.conclude("done")
    second.conclude("done")


def test_two_at_once_never_have_one_entry_and_each_says_how_its_own_ended(queue: Queue) -> None:
    first, second = take_next(queue), take_next(Queue(queue.results))
    assert first is not None and second is not None
    assert (first.entry.name, second.entry.name) == ("a", "b")
    first.conclude("done", "3 done")
    second.conclude("failed", "the disk is full")
    assert [(one.name, one.state, one.reason) for one in queue.entries()] == [
        ("a", "done", "3 done"), ("b", "failed", "the disk is full"), ("みこ 1", "waiting", ""),
    ]  # fmt: skip


def test_an_interrupted_one_is_the_next(queue: Queue) -> None:
    turn = take_next(queue)
    assert turn is not None
    began = turn.conclude("interrupted", "1 cancelled").began_at
    assert states(queue) == ["interrupted", "waiting", "waiting"]
    again = take_next(queue)
    assert again is not None and (again.entry.name, again.entry.began_at) == ("a", began)
    again.conclude("done")


def test_one_that_was_taken_over_meanwhile_is_the_others_to_conclude(queue: Queue) -> None:
    turn = take_next(queue)
    assert turn is not None
    lock = queue.lock_of(turn.entry)
    theirs = locks.take(lock, locks.newest(lock))
    assert theirs is not None, "as another machine does that saw no beat"
    assert turn.conclude("done").state == "running"
    assert states(queue)[0] == "running"


def test_a_claim_of_before_a_power_cut_is_watched_and_one_that_beats_is_left(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = take_next(queue)
    assert turn is not None
    lock = queue.lock_of(turn.entry)
    looks = 0

    def beat(_: float) -> None:
        nonlocal looks
        looks += 1
        claim = locks.newest(lock)
        assert claim is not None
        claim.path.write_bytes(locks.beat_text(10**6 + looks))

    monkeypatch.setattr(queued.time, "sleep", beat)
    queued.watch_claims(queue)
    assert looks == 1 and states(queue)[0] == "running"

    at = [locks.time.monotonic()]
    monkeypatch.setattr(locks.time, "monotonic", lambda: at[0])
    monkeypatch.setattr(queued.time, "sleep", lambda seconds: at.__setitem__(0, at[0] + seconds))
    queued.watch_claims(queue)
    assert states(queue)[0] == "interrupted"
