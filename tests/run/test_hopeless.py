"""`stop=hopeless`: a run far behind the others ends at a checkpoint, keeps its state, and can go on."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest

from lora_lab.config import compose
from lora_lab.errors import RunFolderError
from lora_lab.run import hopeless
from lora_lab.run.hopeless import hopeless_ones, looked_at
from lora_lab.run.task import Task
from lora_lab.store import Checkpoint, RunFolder, RunRecord, append_score_line, read_record, write_record
from tests.run.bench import Bench
from tests.run.test_following import go

STOP = ("stop=hopeless", "stop.judge=likeness", "preview.seeds=[]")


def record(*likeness: float | None, status: str = "planned", **more: object) -> RunRecord:
    """A run of 80 steps with a checkpoint every 10."""
    items = [
        Checkpoint(f"{n:06d}", f"{n}.safetensors", n, 10 * n, 10 * n, metrics={"likeness": value})
        for n, value in enumerate(likeness, start=1)
    ]
    return RunRecord(status=status, checkpoints=items, step=10 * len(items), total_steps=80, **more)  # type: ignore[arg-type]


@pytest.fixture
def judged(bench: Bench) -> Callable[..., dict[str, str]]:
    """What becomes of the run `it` beside others."""

    def ask(own: RunRecord, *extra: str, **others: RunRecord) -> dict[str, str]:
        folder = bench.write("it", "stop=hopeless", "stop.judge=likeness", *extra)
        for name, one in {**others, "it": own}.items():
            bench.sweep.run(name).path.mkdir(parents=True, exist_ok=True)
            write_record(bench.sweep.run(name), one)
        task = Task.open(folder)
        assert task
        task.lock.release()
        return hopeless_ones([task])

    return ask


GOOD = {"a": record(60, 70), "b": record(58, 68)}


def test_by_a_metric_with_the_reason(judged: Callable[..., dict[str, str]]) -> None:
    assert judged(record(10, 12), **GOOD) == {
        "it": "hopeless: likeness 11 at epoch 2, where the second best had 63; 28 less would be allowed; "
        "stop=off trains on"
    }
    assert judged(record(50, 52), **GOOD) == {}
    assert judged(record(10, 12), "stop.noise=20", **GOOD) == {}
    assert judged(record(10, 12), "stop=off", **GOOD) == {}


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (record(None, None), record(58, 68)),
        (record(10, 12, hopeless_at_steps=[10]), record(58, 68)),
        (record(10, 12), record(None)),
        (record(10, 12), record(58, 68, status="diverged")),
        (record(10, 12), record(58, 68, external={"source": "elsewhere"})),
        (record(10, 12), record(58, 68, prefix_of="a")),
    ],
    ids=["not-measured", "went-on-before", "other-not-measured", "diverged", "external", "same-training"],
)
def test_it_is_not_ended_where(
    judged: Callable[..., dict[str, str]], own: RunRecord, other: RunRecord
) -> None:
    assert judged(own, a=record(60, 70), b=other) == {}


def test_by_peoples_scores_and_without_any_by_nothing(
    bench: Bench, judged: Callable[..., dict[str, str]]
) -> None:
    runs = {"it": record(90, 90), "a": record(0, 0), "b": record(0, 0)}
    ask = lambda: judged(runs["it"], "stop.judge=score", a=runs["a"], b=runs["b"])  # noqa: E731
    assert ask() == {}
    session = append_score_line(bench.sweep, "session", rater="me", mode="score", seed=1, order=[])
    for position, (run, value) in enumerate((("it", 5), ("a", 80), ("b", 75))):
        append_score_line(
            bench.sweep, "score", session=session, rater="me", run=run, tag="000002", position=position,
            value=value,
        )  # fmt: skip
    assert ask()["it"].startswith("hopeless: score 5 at epoch 2, where the second best had 75; 32 less")


@pytest.fixture
def likeness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs whose name begins with b are bad at all checkpoints."""

    def value(judge: str, *_: object) -> Callable[[str, Checkpoint], float]:
        assert judge == "likeness"
        return lambda name, _: 5.0 if name.startswith("b") else 80.0

    monkeypatch.setattr(hopeless, "_value", value)


def statuses(runs: Sequence[RunFolder]) -> list[str]:
    return [read_record(run).status for run in runs]


def test_a_worker_ends_it_at_a_checkpoint_and_asked_again_trains_it_to_its_end(
    bench: Bench, likeness: None
) -> None:
    runs = [bench.write(name, *STOP) for name in ("bad", "one", "two")]
    bench.work(runs)
    found = read_record(runs[0])
    assert statuses(runs) == ["stopped", "done", "done"]
    assert found.reason.startswith("hopeless: likeness 5 at epoch 1, where the second best had 80; ")
    assert (found.step, found.hopeless_at_steps, runs[0].saved_states()) == (5, [5], [5])
    bench.work([runs[0]])
    found = read_record(runs[0])
    assert (found.status, found.step, found.resumed_at_steps) == ("done", 10, [5])


@pytest.mark.slow
def test_one_that_fell_behind_while_it_was_set_aside_ends_before_it_trains_on(
    bench: Bench, likeness: None
) -> None:
    bad, one, two = (bench.write(name, *STOP) for name in ("bad", "one", "two"))
    bench.work([bad], rounds=2)
    assert read_record(bad).status == "planned", "nobody was there to be held against"
    bench.work([one, two], rounds=2)
    bench.work([bad], rounds=2)
    found = read_record(bad)
    assert (found.status, found.step, found.hopeless_at_steps) == ("stopped", 5, [5])
    assert found.reason.startswith("hopeless: ") and bad.saved_states() == [5]


@pytest.mark.slow
def test_a_longer_run_is_not_ended_while_shorter_ones_take_their_weights_from_it(
    bench: Bench, likeness: None
) -> None:
    bad = bench.write("bad", *STOP, "train.max_train_epochs=3")
    short = bench.write("b-short", *STOP)
    write_record(bad, RunRecord(adopters=["b-short"]))
    write_record(short, RunRecord(prefix_of="bad"))
    others = [bench.write(name, *STOP, "train.max_train_epochs=3") for name in ("one", "two")]
    go([bad, *others])
    assert statuses([short, *others]) == ["done"] * 3
    # The shorter one ended with epoch 2, and not with epoch 1, where both were bad.
    assert (read_record(bad).status, read_record(bad).step) == ("stopped", 10)


def test_scores_that_cannot_be_read_end_nothing_and_it_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_: object) -> None:
        raise RunFolderError("scores.jsonl cannot be read")

    monkeypatch.setattr(hopeless, "read_scores", unreadable)
    run = bench.write("bad", "stop=hopeless", "preview.seeds=[]")
    bench.work([run])
    assert read_record(run).status == "done"
    assert read_record(run).notes == ["stop=hopeless ended nothing: scores.jsonl cannot be read"]


@pytest.mark.parametrize(("saved", "due"), [((), False), ((2,), True), ((2, 3), False), ((2, 9), True)])
def test_a_run_is_looked_at_where_it_has_saved_anything(saved: tuple[int, ...], due: bool) -> None:
    checkpoints = [Checkpoint(f"{step}", "x", 1, step, step) for step in saved]
    record = RunRecord(total_steps=16, checkpoints=checkpoints)
    task = SimpleNamespace(record=record, config=compose(["stop=hopeless"], checked=False))
    assert looked_at(task) is due  # type: ignore[arg-type]
