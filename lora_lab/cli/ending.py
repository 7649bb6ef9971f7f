"""What a launch says before and after, and the exit code it ends with."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

from lora_lab.cli.show import coloured
from lora_lab.counts import counted
from lora_lab.sweep import Plan
from lora_lab.sweep.launch import UNSUCCESSFUL, Outcome

INTERRUPTED = 130


def _console() -> Console:
    return Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def show_start(plan: Plan) -> None:
    """Say how much there is to do, and what everybody should know before it starts."""
    out = _console()
    counts = [
        (sum(row.to_do for row in plan.rows), "to do"),
        (sum(row.status == "done" for row in plan.rows), "done already"),
        (sum(bool(row.same_as) for row in plan.rows), "the same as another row"),
        (sum(row.status in UNSUCCESSFUL for row in plan.rows), "failed before (--retry tries again)"),
        (sum(row.status == "stopped" for row in plan.rows), "stopped before (--retry goes on)"),
        (sum(row.status == "running" for row in plan.rows), "being worked on by another process"),
    ]
    words = ", ".join(f"{count} {text}" for count, text in counts if count)
    packs = f", in {counted(len(plan.packs), 'pack')}" if plan.packs else ""
    rows = counted(len(plan.rows), "run")
    out.print(f"[bold]{escape(plan.name)}[/]: {rows}: {words}{packs}, on {plan.device_type}")
    for text in plan.warnings:
        out.print(f"[yellow]note:[/] {escape(text)}")


def show_ending(plan: Plan, outcome: Outcome) -> None:
    """Say what failed and why, and where results lie."""
    out = _console()
    for name in outcome.of(*UNSUCCESSFUL):
        text = f"{escape(name)} {coloured(outcome.statuses[name])}: {escape(outcome.reasons[name])}"
        out.print(f"{text}\n  log: {plan.folder.run(name).log_file}")
    for text in outcome.notes:
        out.print(f"[yellow]note:[/] {escape(text)}")
    counts = ", ".join(
        f"{len(outcome.of(status))} {status}"
        for status in ("done", "diverged", "failed", "stopped", "cancelled", "planned", "running")
        if outcome.of(status)
    )
    out.print(f"[bold]{escape(plan.name)}[/]: {counts}")
    out.print(f"results: {plan.folder.path}    table: lora-lab table {plan.folder.path}")
    if outcome.sheet:
        out.print(f"images: {outcome.sheet}")
    if outcome.interrupted:
        out.print("interrupted: the same command goes on from here")


def as_plain(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """How a launch ended, for programs."""
    return {
        "sweep": plan.name,
        "folder": str(plan.folder.path),
        "interrupted": outcome.interrupted,
        "runs": [
            {"run": name, "status": status, "reason": outcome.reasons.get(name, "")}
            for name, status in outcome.statuses.items()
        ],
        "table": outcome.table and str(outcome.table),
        "sheet": outcome.sheet and str(outcome.sheet),
        "notes": [*plan.warnings, *outcome.notes],
    }


def exit_code(outcome: Outcome) -> int:
    """0 all done or stopped, 1 a run failed or diverged, 130 interrupted."""
    if outcome.interrupted:
        return INTERRUPTED
    return 0 if len(outcome.of("done", "stopped")) == len(outcome.statuses) else 1
