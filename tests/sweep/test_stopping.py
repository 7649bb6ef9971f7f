"""What a plan says of `stop=hopeless`, and what it refuses."""

from pathlib import Path

import pytest

from lora_lab.errors import ConfigError
from lora_lab.store import append_score_line
from lora_lab.sweep import Plan

ROWS = "patterns: {a: [], b: [network.network_dim=4]}\n"
STOP = ("stop=hopeless", "preview.seeds=[1]", "train.max_train_epochs=4", "train.save_every_n_epochs=1")
LIKENESS = ("metric.names=[likeness]", "stop.judge=likeness")


def said(plan: Plan) -> list[str]:
    return [text for text in plan.warnings if text.startswith("stop=hopeless")]


def test_the_plan_says_what_it_will_do(make) -> None:
    what, rounds = said(make(ROWS, *STOP, *LIKENESS))
    assert "whose likeness, the mean of its last 3 checkpoints" in what
    assert (
        "by more than 26 after a quarter to 11 at the end; --retry goes on with it, stop=off ends none"
        in what
    )
    assert rounds.startswith("stop=hopeless: with engine.rounds=1 a run is held against its pack")
    (what,) = said(make(ROWS, *STOP, *LIKENESS, "stop.noise=10", "engine.rounds=4"))
    assert "by more than 34 after a quarter to 19" in what
    assert said(make(ROWS, *LIKENESS)) == []


def test_without_scores_nothing_is_ended_and_it_says_so(make, tmp_path: Path) -> None:
    found = make(ROWS, *STOP, "engine.rounds=4")
    assert said(found)[1].startswith(
        "stop=hopeless: nobody has scored a checkpoint yet, so that nothing is ended"
    )
    found.folder.path.mkdir(parents=True)
    session = append_score_line(found.folder, "session", rater="me", mode="score", seed=1, order=[])
    append_score_line(
        found.folder, "score", session=session, rater="me", run="a", tag="000001", position=0, value=5
    )
    assert len(said(make(ROWS, *STOP, "engine.rounds=4"))) == 1


def test_rows_that_keep_no_state_are_named(make) -> None:
    rows = "patterns: {a: [], b: [network.network_dim=4, train.save_state=false], c: [stop=off]}\n"
    text = "with train.save_state=false b would keep no state: --retry would train it from the start"
    assert f"stop=hopeless: {text}" in said(make(f"base: [stop=hopeless]\n{rows}", *STOP[1:], *LIKENESS))
    assert not any("no state" in line for line in said(make(ROWS, *STOP, *LIKENESS)))


def test_rows_that_save_nothing_on_the_way_are_named(make) -> None:
    never = "train.save_every_n_epochs=0"
    text = (
        "base: [stop=hopeless, train.max_train_epochs=4, 'metric.names=[likeness]', stop.judge=likeness]\n"
        f"patterns: {{a: [train.save_every_n_epochs=1], b: [{never}, network.network_dim=4], "
        f"kept: [{never}, stop=off, train.seed=5]}}\n"
    )
    lines = said(make(text))
    assert (
        "stop=hopeless cannot end b: no checkpoint is saved on the way (train.save_every_n_epochs)" in lines
    )
    assert any("cannot end a, b:" in line for line in said(make(text, never)))


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (("stop.judge=likenes",), "stop.judge: there is no metric 'likenes'; did you mean likeness"),
        (
            ("stop.judge=likeness",),
            "stop.judge: likeness is not measured by this sweep: add likeness to metric.n",
        ),
        (("stop.judge=base_distance",), "stop.judge: base_distance: less of it is better"),
        (
            ("metric.names=[basic]", "stop.judge=sharpness"),
            "stop.judge=sharpness has a scale of its own: set st",
        ),
        (
            (*LIKENESS, "preview.seeds=[]"),
            r"likeness is measured on previews, and preview.seeds=\[\] turns them",
        ),
        (("stop.noise=0",), "stop.noise must be greater than 0"),
        (("stop=hopeles",), "hopeles"),
    ],
)
def test_a_judge_that_says_nothing_is_refused(make, extra: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make(ROWS, *STOP, "metric.names=[basic]", *extra)


def test_another_scale_takes_its_noise_in_its_own_unit(make) -> None:
    extra = ("metric.names=[basic]", "stop.judge=sharpness", "stop.noise=0.05", "engine.rounds=4")
    (what,) = said(make(ROWS, *STOP, *extra))
    assert "by more than 0.26 after a quarter to 0.11 at the end" in what


def test_it_changes_no_fingerprint(make) -> None:
    one, other = make(ROWS), make(ROWS, *STOP[:1], *LIKENESS[1:], "metric.names=[likeness,basic]")
    assert [row.fingerprint for row in one.rows] == [row.fingerprint for row in other.rows]
    assert make(ROWS, "metric.names=[basic,likeness]").rows[0].preview_fingerprint == (
        make(ROWS, "metric.names=[basic,likeness]", *STOP[:1]).rows[0].preview_fingerprint
    )
