"""Where the time of each run went, phase by phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_lab.plots import style
from lora_lab.plots.style import Look
from lora_lab.plots.subject import Subject
from lora_lab.store import PHASES

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class RunTime:
    """One run's seconds, in the order of `store.PHASES`."""

    run: str
    status: str
    seconds: tuple[float, ...]

    @property
    def total(self) -> float:
        """All phases together, in seconds."""
        return sum(self.seconds)


@dataclass(frozen=True)
class TimingsPlot:
    """The time of all runs of a sweep, in the order of the plan."""

    sweep: str
    runs: tuple[RunTime, ...]

    def rows(self) -> list[dict[str, object]]:
        """One row per run, a column per phase, in seconds."""
        return [
            {
                "run": item.run,
                "status": item.status,
                **{f"{name}_seconds": value for name, value in zip(PHASES, item.seconds, strict=True)},
            }
            for item in self.runs
        ]


def timings(subject: Subject) -> TimingsPlot:
    """The time of every run that was worked on."""
    own = [subject.sweep.runs[run.name] for run in subject.evidence.own]
    runs = [
        RunTime(run.name, run.status, tuple(run.work.seconds.get(name, 0.0) for name in PHASES))
        for run in own
    ]
    return TimingsPlot(subject.folder.name, tuple(item for item in runs if item.total > 0))


def unit_of(seconds: float) -> tuple[str, float]:
    """The unit in which a time is read, and its seconds."""
    return next(
        ((name, size) for name, size in (("h", 3600.0), ("min", 60.0)) if seconds >= 2 * size), ("s", 1.0)
    )


def draw_timings(plot: TimingsPlot, look: Look) -> Figure:
    """One stacked bar per run."""
    unit, size = unit_of(max(item.total for item in plot.runs))
    with style.drawing(look):
        made = style.figure(height=1.3 + 0.24 * len(plot.runs))
        axes = made.subplots()
        left = [0.0] * len(plot.runs)
        for number, phase in enumerate(PHASES):
            lengths = [item.seconds[number] / size for item in plot.runs]
            if not any(lengths):
                continue
            axes.barh(
                range(len(plot.runs)), lengths, left=left, height=0.72, color=look.colour(number),
                hatch=style.HATCHES[number], edgecolor=look.paper, linewidth=0.4,
                label=look.say(f"phase_{phase}"),
            )  # fmt: skip
            left = [start + length for start, length in zip(left, lengths, strict=True)]
        for number, end in enumerate(left):
            axes.annotate(
                _amount(end), (end, number), (3, 0), textcoords="offset points", va="center", fontsize=7.5
            )
        axes.set_yticks(range(len(plot.runs)), [_label(item) for item in plot.runs])
        axes.tick_params(axis="y", length=0, labelsize=8)
        axes.set_ylim(len(plot.runs) - 0.4, -0.6)
        axes.margins(x=0.08)
        axes.set_xlabel(look.say("time_axis", unit=unit))
        style.grid(axes, "x")
        style.title(made, look, look.say("timings_title", sweep=plot.sweep, n=len(plot.runs)))
        made.legend(loc="outside lower center", ncols=6)
    return made


def _amount(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _label(item: RunTime) -> str:
    mark = " ×" if item.status in ("failed", "diverged") else ""
    return style.shortened(item.run) + mark
