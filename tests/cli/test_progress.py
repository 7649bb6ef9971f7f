"""What is shown while runs are being worked on, and after."""

import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from lora_lab.cli import ending, progress
from lora_lab.cli.progress import Bars, Lines
from lora_lab.engines import Event
from lora_lab.store import SweepFolder
from lora_lab.sweep.launch import Outcome

PACK = ("a", "b")


def plan() -> Any:
    rows = [SimpleNamespace(name=name, total_steps=10, to_do=True) for name in PACK]
    return SimpleNamespace(name="demo", rows=rows)


def events(*kinds: str) -> list[Event]:
    known = {
        "start": Event("start", PACK),
        "load": Event("phase", PACK, values={"phase": "load"}),
        "step": Event("step", PACK, "a", {"step": 4, "total": 10, "loss": 0.25, "memory": 3 * 2**29}),
        "preview": Event("preview", PACK, values={"done": 1, "total": 3}),
        "checkpoint": Event("checkpoint", PACK, "a", {"tag": "000001"}),
        "end": Event("end", PACK, "a", {"status": "diverged", "reason": "loss is [nan]"}),
        "retry": Event("retry", PACK, values={"reason": "killed by SIGKILL", "packs": 2}),
        "stopping": Event("stopping", PACK),
        "exit": Event("exit", PACK, values={"code": 0}),
    }
    return [known[kind] for kind in kinds]


def test_lines_tell_starts_ends_and_losses() -> None:
    said: list[str] = []
    lines = Lines(plan(), said.append)
    for event in events("start", "load", "step", "preview", "checkpoint", "end", "retry", "stopping", "exit"):
        lines.report(event)
    assert said[0] == "start: a, b"
    assert "a diverged: loss is [nan] (1/2)" in said
    assert "the worker of a, b was lost; trying again in smaller packs (killed by SIGKILL)" in said
    lines.report(Event("retry", PACK, values={"reason": "killed by SIGKILL", "packs": 1}))
    assert said[-1] == "the worker of a, b was lost; trying again (killed by SIGKILL)"
    assert not any("steps" in line for line in said), "steps are not worth a line each"


def test_the_rest_of_a_run_that_was_stopped_does_not_come() -> None:
    said: list[str] = []
    lines = Lines(plan(), said.append)
    lines.report(events("step")[0])
    lines.report(Event("end", PACK, "a", {"status": "stopped", "reason": "by hand at epoch 1"}))
    assert said == ["a stopped: by hand at epoch 1 (1/2)"]
    assert lines._pace.progress.done == 10


def test_how_far_it_is_is_a_line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress.LINE_SECONDS == 60
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    said: list[str] = []
    lines = Lines(plan(), said.append)
    lines.report(events("step")[0])
    assert said == ["20% of 20 steps, 0/2 runs ended, 1.5 GiB"], "no speed from a single report"
    lines.report(Event("step", PACK, "a", {"step": 6, "total": 10, "loss": 0.25}))
    assert re.fullmatch(
        r"30% of 20 steps, 0/2 runs ended, [\d.]+ steps/s, \d+:\d\d min left, ends .*\d\d:\d\d, 1.5 GiB",
        said[-1],
    )


@pytest.mark.parametrize("width", [56, 60, 80, 100, 150])
def test_names_are_shortened_and_numbers_are_not(width: int) -> None:
    out = io.StringIO()
    name = "adafactor-with-relative-step-and-a-long-name-r2"
    row = SimpleNamespace(name=name, total_steps=1000, to_do=True)
    with progress._progress(Console(file=out, force_terminal=True, width=width, highlight=False)) as shown:
        bars = Bars(SimpleNamespace(name="demo", rows=[row]), shown)  # type: ignore[arg-type]
        bars.report(Event("start", (name,)))
        for step in range(900, 990):
            bars.report(Event("step", (name,), name, {"step": step, "total": 1000, "loss": 1 - step / 1000}))
        shown.refresh()
    text = out.getvalue()
    assert "989/1000" in text and "↓" in text and ("steps/s" in text) == (width >= 78)
    assert (name in text) is False
    assert "r2" in text, "the end of a name tells it from its like"


def test_bars_follow_the_runs() -> None:
    out = io.StringIO()
    with progress._progress(Console(file=out, force_terminal=True, width=150, highlight=False)) as shown:
        bars = Bars(plan(), shown)
        for event in events("start", "load", "step"):
            bars.report(event)
        running = {task.description: task for task in shown.tasks}
        assert set(running) == {"[bold]0/2 runs[/]", "a", "b"}
        assert running["a"].completed == 4 and running["a"].fields["loss"] == "loss 0.2500"
        assert running["b"].fields["phase"] == "load"
        for event in events("preview", "checkpoint", "retry", "end", "stopping"):
            bars.report(event)
        assert [task.description for task in shown.tasks] == ["[bold]1/2 runs[/]", "b"]
        assert shown.tasks[0].completed == 10, "what has ended counts as whole"
        bars.report(events("exit")[0])
        assert len(shown.tasks) == 1
    assert "loss is [nan]" in out.getvalue()


@pytest.mark.parametrize(
    ("statuses", "interrupted", "code"),
    [
        (["done", "done"], False, 0),
        (["done", "failed"], False, 1),
        (["done", "diverged"], False, 1),
        (["done", "cancelled"], True, 130),
    ],
)
def test_exit_codes(statuses: list[str], interrupted: bool, code: int, tmp_path: Path) -> None:
    outcome = Outcome(
        SweepFolder(tmp_path), [], dict(zip("ab", statuses, strict=True)), interrupted=interrupted
    )
    assert ending.exit_code(outcome) == code


def test_the_ending_names_failures_logs_and_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = SweepFolder(tmp_path / "demo")
    outcome = Outcome(
        folder, [], {"a": "done", "b": "failed"}, {"a": "", "b": "no [memory]"}, interrupted=True
    )
    outcome.notes.append("the contact sheet could not be drawn")
    ending.show_ending(SimpleNamespace(name="demo", folder=folder), outcome)  # type: ignore[arg-type]
    text = capsys.readouterr().err
    for words in (
        "b failed: no [memory]",
        "log.txt",
        "1 done, 1 failed",
        "the same command goes on",
        "contact sheet",
    ):
        assert words in text
