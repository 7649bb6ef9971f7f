"""What a plan costs, in a terminal."""

from __future__ import annotations

from rich.markup import escape

from lora_lab.cli.show import console
from lora_lab.counts import counted
from lora_lab.sweep import Plan

UNKNOWN = (
    "not known: nothing like it was trained on this device yet; lora-lab plan FILE --calibrate finds out"
)


def show_costs(plan: Plan) -> None:
    """Print time, memory and disk of the whole, and the runs that cost most."""
    if not plan.packs and not any(row.to_render for row in plan.external):
        return
    out, found = console(), plan.estimate
    count = f"{counted(found.steps, 'step')}, {counted(found.samples, 'image')} seen"
    out.print(f"\n[bold]costs[/]: {count}", soft_wrap=True)
    if found.seconds is None or found.low is None or found.high is None:
        out.print(f"  time and memory: {UNKNOWN}", soft_wrap=True)
    else:
        rests = f"by {counted(found.timed, 'timed run')} on {found.device}"
        out.print(
            f"  time: {duration(found.seconds)} ({duration(found.low)} to {duration(found.high)}, "
            f"{escape(rests)})",
            soft_wrap=True,
        )
        if found.memory:
            out.print(f"  memory: {size(found.memory)} at most, in one worker", soft_wrap=True)
    if found.disk:
        out.print(f"  disk: {size(found.disk)} of checkpoints and previews", soft_wrap=True)
    dear = sorted(found.runs.items(), key=lambda pair: -pair[1].seconds)[:3]
    if len(found.runs) > 3:
        named = ", ".join(f"{name} {duration(one.seconds)}" for name, one in dear)
        out.print(f"  most of it: {escape(named)}", soft_wrap=True)


def duration(seconds: float) -> str:
    """Seconds as people say them: 40 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes as people say them."""
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"
