"""The local engine against a fake worker: every way in which a worker can end."""

import os
import signal
import sys
import time

import pytest

from lora_lab.config import EngineConfig
from lora_lab.engines import Event, Local, Supervisor, supervisor
from lora_lab.store import RunFolder, RunRecord, read_record, write_record
from lora_lab.store.locks import is_locked
from tests.engines.bench import Bench, held, statuses

pytestmark = pytest.mark.slow  # every test starts workers


def test_a_pack_runs_in_one_worker_and_its_events_arrive(bench: Bench) -> None:
    a, b = bench.run("a"), bench.run("b")
    bench.go([a, b])
    assert statuses(a, b) == ["done", "done"]
    assert bench.started == ["a b"]
    assert [event.values["step"] for event in bench.kinds("step") if event.run == "a"] == [1, 2, 3]
    assert {event.run for event in bench.kinds("end")} == {"a", "b"}
    assert bench.kinds("exit")[0].values == {"code": 0}
    for run in (a, b):
        assert "threads" in run.log_file.read_text()


def test_packs_share_the_workers(bench: Bench) -> None:
    bench.engine = Supervisor(Local(EngineConfig(workers=2, threads=3)), bench.engine._command)
    runs = [bench.run(name, seconds=0.05) for name in "abcd"]
    bench.go(*([run] for run in runs))
    assert statuses(*runs) == ["done"] * 4
    assert all("threads 3" in run.log_file.read_text() for run in runs)
    order = [event.kind for event in bench.events if event.kind in ("start", "exit")]
    assert order[:2] == ["start", "start"], "two workers at a time"


@pytest.mark.parametrize("then", ["kill", "exit"])
def test_a_lost_pack_is_halved_until_the_culprit_is_alone(bench: Bench, then: str) -> None:
    good = [bench.run(name) for name in "abc"]
    bad = bench.run("d", at=2, then=then)
    bench.go([*good, bad])
    assert statuses(*good) == ["done"] * 3
    # What was killed from outside goes on whole once, since that may have been a mishap.
    second = ["a b c d", "d"] if then == "kill" else ["a b", "c d"]
    assert bench.started[:3] == ["a b c d", *second]
    assert bench.kinds("retry")[0].values["packs"] == (1 if then == "kill" else 2)
    record = read_record(bad)
    assert record.status == "failed" and record.finished_at
    assert ("SIGKILL" if then == "kill" else "exit code 3: ") in record.reason
    assert then == "kill" or "the library gave up" in record.reason
    assert record.reason in bad.log_file.read_text()


def test_a_single_run_that_was_killed_gets_a_second_chance(bench: Bench) -> None:
    run = bench.run("a", at=2, then="kill", once=True)
    bench.go([run])
    assert statuses(run) == ["done"]
    assert read_record(run).resumed_at_steps == [1]
    assert len(bench.started) == 2


def test_a_single_run_that_is_killed_again_fails(bench: Bench) -> None:
    run, other = bench.run("a", at=2, then="kill"), bench.run("b")
    bench.go([run], [other])
    record = read_record(run)
    assert record.status == "failed", record
    assert statuses(other) == ["done"]


def test_a_diverged_run_is_a_result(bench: Bench) -> None:
    a, b = bench.run("a", at=1, then="diverge"), bench.run("b")
    bench.go([a, b])
    assert statuses(a, b) == ["diverged", "done"]
    assert bench.started == ["a b"]


def test_out_of_memory_halves_packs_and_keeps_them_small(bench: Bench) -> None:
    runs = [bench.run(name, at=1, then="memory", room=2) for name in "abcd"]
    more = [bench.run(name) for name in "efg"]
    bench.go(runs, more)
    assert statuses(*runs, *more) == ["done"] * 7
    assert bench.started == ["a b c d", "a b", "c d", "e f", "g"]


def test_out_of_memory_alone_is_a_failure(bench: Bench) -> None:
    run = bench.run("a", at=1, then="memory")
    bench.go([run])
    assert statuses(run) == ["failed"]
    assert len(bench.started) == 1


def test_a_run_that_another_process_keeps_is_left_alone_in_the_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "HELD_SECONDS", 0.5)
    mine, mate, other = bench.run("mine"), bench.run("mate"), bench.run("other")
    with held(other):
        bench.go([mate, other], [mine])
    assert bench.started == ["mine", "mate"]
    assert statuses(mine, mate, other) == ["done", "done", "planned"]
    assert [event.pack for event in bench.kinds("held")] == [("other",)]
    assert [event.values["reason"] for event in bench.kinds("end") if event.run == "other"] == [
        supervisor.HELD
    ]


def test_runs_that_an_orphan_still_saves_are_taken_up_whole_once_they_are_free(bench: Bench) -> None:
    mine, a, b = bench.run("mine"), bench.run("a"), bench.run("b")
    with held(b) as lock:

        def save(event: Event) -> None:
            if event.kind == "exit" and is_locked(b):
                write_record(b, RunRecord(status="cancelled", reason="the launcher is gone", step=2))
                lock.release()

        bench.go([a, b], [mine], then=save)
    assert bench.started == ["mine", "a b"]
    assert statuses(mine, a, b) == ["done"] * 3
    assert read_record(b).resumed_at_steps == [2]


def test_a_run_that_its_holder_finished_is_not_begun_again(bench: Bench) -> None:
    mine, other = bench.run("mine"), bench.run("other")
    with held(other) as lock:

        def finish(event: Event) -> None:
            if event.kind == "exit":
                write_record(other, RunRecord(status="done", step=3))
                lock.release()

        bench.go([other], [mine], then=finish)
    assert bench.started == ["mine"]
    assert statuses(mine, other) == ["done", "done"]


def test_a_worker_that_found_a_run_held_tries_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = bench.run("a")
    real, seen = supervisor.is_locked, []

    def late(folder: RunFolder) -> bool:
        seen.append(folder)
        return len(seen) > 1 and real(folder)  # at the first look it seems free: the orphan is just starting

    monkeypatch.setattr(supervisor, "is_locked", late)
    with held(run) as lock:
        bench.go([run], then=lambda event: lock.release() if event.kind == "left_out" else None)
    assert bench.started == ["", "a"]
    assert statuses(run) == ["done"]


def test_output_that_is_no_event_goes_to_the_log(bench: Bench) -> None:
    run = bench.run("a", at=1, then="garbage")
    bench.go([run])
    assert "a library that prints to stdout" in run.log_file.read_text()


def test_a_worker_that_cannot_start_fails_its_runs(bench: Bench) -> None:
    bench.engine = Supervisor(Local(EngineConfig(workers=1)), (sys.executable, "/nowhere/worker.py"))
    run = bench.run("a")
    bench.go([run])
    assert statuses(run) == ["failed"]
    assert "No such file" in read_record(run).reason


def interrupt(event: Event) -> None:
    if event.kind == "step" and event.values["step"] == 2:
        raise KeyboardInterrupt


def test_ctrl_c_lets_the_workers_save_and_the_same_call_goes_on(bench: Bench) -> None:
    a, b, c = (bench.run(name, steps=5, seconds=0.05) for name in "abc")
    with pytest.raises(KeyboardInterrupt):
        bench.go([a, b], [c], then=interrupt)
    assert statuses(a, b, c) == ["cancelled", "cancelled", "planned"]
    assert bench.kinds("stopping")
    for run in (a, b):
        write_record(run, RunRecord(step=read_record(run).step))
    bench.go([a, b], [c])
    assert statuses(a, b, c) == ["done"] * 3
    assert read_record(a).resumed_at_steps


def test_a_signal_from_the_terminal_reaches_the_engine_only(bench: Bench) -> None:
    run = bench.run("a", steps=200, seconds=0.05)
    sent: list[Event] = []

    def press(event: Event) -> None:
        if event.kind == "step" and not sent:
            sent.append(event)
            os.kill(os.getpid(), signal.SIGINT)

    # A job of a shell in the background inherits an ignored SIGINT; a terminal's does not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            bench.go([run], then=press)
    finally:
        signal.signal(signal.SIGINT, before)
    assert statuses(run) == ["cancelled"]
    assert bench.kinds("step")


def test_no_worker_outlives_an_error_of_ours(bench: Bench) -> None:
    run = bench.run("a", steps=200, seconds=0.05)
    workers = []

    def fail(event: Event) -> None:
        if event.kind == "step":
            workers.extend(item.work.process for item in bench.engine._working.values())
            raise RuntimeError("drawing failed")

    with pytest.raises(RuntimeError):
        bench.go([run], then=fail)
    time.sleep(0.1)
    assert workers[0].returncode == -signal.SIGKILL


def breadth_first(bench: Bench) -> None:
    bench.engine = Supervisor(Local(EngineConfig(workers=1)), bench.engine._command, rounds=2)


def test_packs_take_turns_in_rounds(bench: Bench) -> None:
    breadth_first(bench)
    packs = [[bench.run(name, steps=4) for name in names] for names in ("ab", "c", "d")]
    bench.go(*packs)
    assert bench.started == ["a b", "c", "d", "a b", "c", "d"]
    assert statuses(*(run for pack in packs for run in pack)) == ["done"] * 4
    assert [event.values["step"] for event in bench.kinds("step") if event.run == "a"] == [1, 2, 3, 4]
    assert [event.run for event in bench.kinds("aside")] == ["a", "b", "c", "d"]


def test_where_all_packs_have_a_place_none_is_set_aside(bench: Bench) -> None:
    breadth_first(bench)
    bench.go([bench.run("a", steps=4), bench.run("b", steps=4)])
    assert bench.started == ["a b"]


def test_a_worker_that_is_killed_in_its_second_round_goes_on(bench: Bench) -> None:
    breadth_first(bench)
    runs = [bench.run("a", steps=4, at=3, then="kill", once=True), bench.run("b", steps=4)]
    bench.go(*([run] for run in runs))
    assert statuses(*runs) == ["done"] * 2
    assert bench.started == ["a", "b", "a", "a", "b"]
    assert read_record(runs[0]).resumed_at_steps == [2, 2]


def test_a_run_that_is_stopped_between_rounds_is_left_alone(bench: Bench) -> None:
    breadth_first(bench)
    a, b = bench.run("a", steps=4), bench.run("b", steps=4)

    def stop_it(event: Event) -> None:
        if event.kind == "exit" and event.pack == ("a",):
            record = read_record(a)
            record.status, record.reason = "stopped", "by hand at step 2"
            write_record(a, record)

    bench.go([a], [b], then=stop_it)
    assert statuses(a, b) == ["stopped", "done"]
    assert bench.started.count("a") == 1


def test_ctrl_c_between_rounds_and_the_same_call_goes_on(bench: Bench) -> None:
    breadth_first(bench)
    runs = [bench.run(name, steps=4, seconds=0.05) for name in "ab"]

    def interrupt(event: Event) -> None:
        if event.kind == "step" and event.run == "b" and event.values["step"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.go(*([run] for run in runs), then=interrupt)
    assert statuses(*runs) == ["planned", "cancelled"]
    bench.go(*([run] for run in runs))
    assert statuses(*runs) == ["done"] * 2
