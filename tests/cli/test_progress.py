"""What is shown while runs are being worked on, and after."""

import io
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
        "step": Event("step", PACK, "a", {"step": 4, "total": 10, "loss": 0.25}),
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
    assert any("killed by SIGKILL" in line for line in said)
    assert not any("steps:" in line for line in said), "steps are not worth a line each"


def test_steps_are_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    said: list[str] = []
    Lines(plan(), said.append).report(events("step")[0])
    assert said == ["steps: a 4/10"]


def test_bars_follow_the_runs() -> None:
    out = io.StringIO()
    with progress._progress(Console(file=out, force_terminal=True, width=150, highlight=False)) as shown:
        bars = Bars(plan(), shown)
        for event in events("start", "load", "step"):
            bars.report(event)
        running = {task.description: task for task in shown.tasks}
        assert set(running) == {"[bold]sweep[/] 0/2 runs", "a", "b"}
        assert running["a"].completed == 4 and running["a"].fields["loss"] == "loss 0.2500"
        assert running["b"].fields["phase"] == "load"
        for event in events("preview", "checkpoint", "retry", "end", "stopping"):
            bars.report(event)
        assert [task.description for task in shown.tasks] == ["[bold]sweep[/] 1/2 runs", "b"]
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
