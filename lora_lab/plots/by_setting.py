"""Score against one setting: a point per run, runs that differ in nothing else joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lora_lab.axes import Axis, Scale, axis, scale
from lora_lab.effective import compare
from lora_lab.errors import ConfigError
from lora_lab.plots import labels, style
from lora_lab.plots.axes_of import criterion_label, limits, place_axis
from lora_lab.plots.style import Look
from lora_lab.plots.subject import Subject, broken
from lora_lab.verdict.evidence import RunEvidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LABELS = 14
"""With more points than this only matched ones are named, with many more none."""


@dataclass(frozen=True)
class Point:
    """One run; `score` is None for a run without one, with the reason in `missing`."""

    run: str
    value: Any
    x: float
    score: float | None
    missing: str = ""
    broken: bool = False
    matched: bool = False


@dataclass(frozen=True)
class Noise:
    """Runs that differ in the seed alone: how far their scores lie apart without any setting's help."""

    runs: tuple[str, ...]
    low: float
    high: float


@dataclass(frozen=True)
class SettingPlot:
    """Score against one setting.

    Attributes:
        points: The runs in which the setting acts, in the order of the plan.
        pairs: Runs that differ in this setting alone, by name, the one with the lower place first.
        silent: Runs in which the setting does not act; they have no place on the axis.
        noise: The largest group of runs that differ in the seed alone, where there is one.
    """

    sweep: str
    criterion: str
    axis: Axis
    scale: Scale
    points: tuple[Point, ...]
    pairs: tuple[tuple[str, str], ...]
    silent: tuple[str, ...] = ()
    noise: Noise | None = None

    def rows(self) -> list[dict[str, object]]:
        """One row per run; `pairs_with` names the runs it is compared with."""
        return [
            {
                "run": point.run,
                self.axis.key: point.value,
                self.criterion: point.score,
                "missing": point.missing,
                "pairs_with": " ".join(_partners(self.pairs, point.run)),
            }
            for point in self.points
        ]


def _partners(pairs: Sequence[tuple[str, str]], run: str) -> list[str]:
    return [one if other == run else other for one, other in pairs if run in (one, other)]


def by_setting(subject: Subject, key: str) -> SettingPlot:
    """Score against one setting.

    Raises:
        ConfigError: The setting does not differ within the sweep, or acts in none of its runs.
    """
    if key not in subject.settings:
        known = ", ".join(subject.settings) or "none"
        raise ConfigError(f"{key} is the same in all runs of {subject.folder.name}; there differ: {known}")
    own = [run for run in subject.evidence.own if run.settings]
    there = [run for run in own if key in run.settings]
    where = axis(key)
    lies = scale(where, [run.settings[key] for run in there])
    place = {run.name: x for run, x in zip(there, lies.places, strict=True)}
    pairs = _neighbours(_pairs(there, key), place)
    matched = {name for pair in pairs for name in pair}
    points = tuple(
        Point(
            run.name,
            run.settings[key],
            place[run.name],
            run.score,
            run.missing,
            broken(run),
            run.name in matched,
        )
        for run in there
    )
    silent = tuple(run.name for run in own if key not in run.settings)
    return SettingPlot(
        subject.folder.name, subject.evidence.criterion, where, lies, points, pairs, silent, noise(subject)
    )


def _pairs(runs: Sequence[RunEvidence], key: str) -> list[tuple[str, str]]:
    """Runs that differ in `key` alone; where some of the same two settings share the seed, only those."""
    found = next(
        (item.pairs for item in compare([(r.name, r.settings) for r in runs]).settings if item.key == key), ()
    )
    by_name = {run.name: run for run in runs}
    groups = {_groups(by_name, pair) for pair in found if by_name[pair[0]].seed == by_name[pair[1]].seed}
    return [
        (a, b)
        for a, b in found
        if by_name[a].seed == by_name[b].seed or _groups(by_name, (a, b)) not in groups
    ]


def _groups(by_name: Mapping[str, RunEvidence], pair: tuple[str, str]) -> frozenset[str]:
    return frozenset(by_name[name].group for name in pair)


def _neighbours(pairs: Sequence[tuple[str, str]], place: dict[str, float]) -> tuple[tuple[str, str], ...]:
    """Of runs that are all matched with each other, only those next to each other on the axis."""
    ordered = [(a, b) if place[a] <= place[b] else (b, a) for a, b in pairs]
    known = set(ordered)
    return tuple(
        (a, b)
        for a, b in ordered
        if not any((a, c) in known and (c, b) in known and place[a] < place[c] < place[b] for c in place)
    )


def noise(subject: Subject) -> Noise | None:
    """The largest group of scored runs that differ in the seed alone."""
    groups: dict[str, list[RunEvidence]] = {}
    for run in subject.evidence.scored:
        groups.setdefault(run.group, []).append(run)
    largest = max(groups.values(), key=len, default=[])
    if len(largest) < 2:
        return None
    scores = [run.score for run in largest if run.score is not None]
    return Noise(tuple(run.name for run in largest), min(scores), max(scores))


def draw_setting(plot: SettingPlot, look: Look) -> Figure:
    """Points, the lines between matched runs, failed runs as a red x on the axis, the seeds' band."""
    with style.drawing(look):
        made = style.figure(height=4.3)
        axes = made.subplots()
        scored = [point for point in plot.points if point.score is not None]
        place_axis(axes, plot.axis.key, plot.scale, look)
        limits(axes, [point.score for point in scored if point.score is not None], plot.criterion)
        if plot.noise:
            _band(axes, plot.noise, look)
        by_run = {point.run: point for point in scored}
        for one, other in plot.pairs:
            if one in by_run and other in by_run:
                ends = by_run[one], by_run[other]
                axes.plot(
                    [end.x for end in ends],
                    [end.score or 0.0 for end in ends],
                    "-",
                    color=look.muted,
                    linewidth=0.9,
                    zorder=2,
                )
        _points(axes, scored, look)
        lost = [point for point in plot.points if point.score is None and point.broken]
        _crosses(axes, lost, look)
        axes.set_ylabel(criterion_label(plot.criterion, look))
        style.grid(axes)
        style.title(made, look, _title(plot, look))
        if axes.get_legend_handles_labels()[0]:
            made.legend(loc="outside lower center", ncols=2)
        named = scored if len(scored) <= MOST_LABELS else [point for point in scored if point.matched]
        if len(named) <= MOST_LABELS:
            labels.place(
                axes, [(point.x, point.score or 0.0, style.shortened(point.run, 22)) for point in named], look
            )
    return made


def _title(plot: SettingPlot, look: Look) -> str:
    text = look.say(
        "setting_title",
        criterion=look.criterion(plot.criterion),
        setting=axis(plot.axis.key, look.language).label,
        sweep=plot.sweep,
        n=sum(point.score is not None for point in plot.points),
    )
    return text + (look.say("silent", n=len(plot.silent)) if plot.silent else "")


def _band(axes: Axes, found: Noise, look: Look) -> None:
    axes.axhspan(
        found.low, found.high, color=look.faint, alpha=0.75, linewidth=0, zorder=0,
        label=look.say("noise", n=len(found.runs)),
    )  # fmt: skip


def _points(axes: Axes, points: Sequence[Point], look: Look) -> None:
    kinds = (
        ([point for point in points if point.matched], look.colour(0), look.colour(0), look.say("matched")),
        ([point for point in points if not point.matched], look.paper, look.muted, look.say("unmatched")),
    )
    for chosen, face, edge, label in kinds:
        if chosen:
            x, y = [point.x for point in chosen], [point.score or 0.0 for point in chosen]
            axes.plot(
                x, y, "o", markerfacecolor=face, markeredgecolor=edge, markersize=6.5, label=label, zorder=3,
                clip_on=False,
            )  # fmt: skip


def _crosses(axes: Axes, lost: Sequence[Point], look: Look) -> None:
    if lost:
        axes.plot(
            [point.x for point in lost], [0] * len(lost), "x", color=look.bad, markersize=9,
            markeredgewidth=2.2, transform=axes.get_xaxis_transform(), clip_on=False, zorder=5,
            label=look.say("broken", n=len(lost)),
        )  # fmt: skip
