"""How a verdict looks in a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lora_lab.axes import show_setting
from lora_lab.cli.show import console, grid
from lora_lab.verdict.advice import minutes
from lora_lab.verdict.calls import Scale, points
from lora_lab.verdict.cells import LEVEL
from lora_lab.verdict.evidence import SCORE
from lora_lab.verdict.lines import (
    NAMED,
    called,
    counted,
    judged_by,
    looked,
    noise_text,
    noise_warnings,
    scale_of,
)
from lora_lab.verdict.outcomes import FLAT, number
from lora_lab.verdict.result import (
    DEPENDS,
    HELPS,
    HURTS,
    INTERACTS,
    MEASURED,
    NOT_DECIDED,
    SEEMS_TO_HELP,
    SEEMS_TO_HURT,
    SEEMS_TO_INTERACT,
    Contrast,
    SettingEffect,
    Verdict,
)
from lora_lab.words import Label, Said, change_of, in_language, joined, said

STYLES = {
    HELPS: "bold green",
    SEEMS_TO_HELP: "green",
    HURTS: "bold red",
    SEEMS_TO_HURT: "red",
    DEPENDS: "bold yellow",
    INTERACTS: "bold yellow",
    SEEMS_TO_INTERACT: "yellow",
    NOT_DECIDED: "dim",
}
WIDE = 100
"""Columns from which on the number of matched pairs has room."""
WIDEST = 120
"""Columns that lines are wrapped at, however wide the terminal is."""


@dataclass(frozen=True)
class Page:
    """Where a verdict is printed, and in which language."""

    out: Console
    language: str
    scale: Scale

    def text(self, value: object) -> str:
        """A sentence in the language of the page."""
        return in_language(value, self.language)

    def title(self, key: str, more: Said | str = "") -> None:
        """The title of a section, with what has to be known of it."""
        self.out.print()
        self.out.print(Text.assemble((self.text(said(key)), "bold"), f" {self.text(more)}" if more else ""))

    def top(self, value: Said | str, style: str = "") -> None:
        """A line at the left edge."""
        self.out.print(Text(self.text(value), style=style))

    def line(self, value: Said | str, style: str = "") -> None:
        """A line of a section."""
        self.out.print(Padding(Text(self.text(value), style=style), (0, 0, 0, 2), expand=False))

    def lines(self, values: Iterable[Said | str]) -> None:
        """Several of them, each with a mark before it."""
        for value in values:
            self.line(f"- {self.text(value)}")

    def table(self, *keys: str, right: Iterable[str] = ()) -> Table:
        """A table with heads in the language of the page."""
        return grid(*(self.text(said(key)) for key in keys), right=[self.text(said(key)) for key in right])


def show_verdict(verdict: Verdict, language: str = "en") -> None:
    """Print a verdict: what it rests on, setting by setting, and what to do with it."""
    out = console()
    out.width = min(out.width, WIDEST)
    page = Page(out, language, scale_of(verdict))
    for part in (
        _head, _settings, _interactions, _courses, _costs, _usable, _metrics, _ranking, _importance,
        _recommendation, _notes,
    ):  # fmt: skip
        part(page, verdict)


def _head(page: Page, verdict: Verdict) -> None:
    found = verdict.evidence
    for text in found.gaps:
        page.top(text, "bold yellow")
    page.out.print(Text.assemble((found.name, "bold"), f": {found.question}" if found.question else ""))
    if found.criterion != SCORE:
        page.top(said("by_metric_loud", metric=found.criterion), "bold yellow")
    for line in judged_by(verdict):
        page.top(line)
    page.top(noise_text(verdict.noise, page.scale), "" if verdict.noise.source == MEASURED else "yellow")
    for line in noise_warnings(verdict.noise, page.scale):
        page.top(line, "yellow")


def _settings(page: Page, verdict: Verdict) -> None:
    page.title("title_settings", said("title_settings_more"))
    if not verdict.settings:
        page.line(said("settings_none"))
    else:
        tested = verdict.noise.tested
        count = ["head_pairs"] if page.out.width >= WIDE else []
        interval = ["head_interval"] if tested else []
        heads = ["head_setting", "head_change", *count, "head_effect", *interval, "head_verdict"]
        table = page.table(*heads, right=["head_pairs", "head_effect"])
        for effect in verdict.settings:
            for place, contrast in enumerate(effect.contrasts):
                name = "" if place else page.text(effect.title)
                cells = _cells(page, name, effect.key, contrast, tested)
                cells[2:2] = [str(len(contrast.pairs))] if count else []
                table.add_row(*map(escape, cells), _call(page, effect, contrast))
        page.out.print(table)
        for line in counted(verdict):
            page.line(line, "dim")
    for group in verdict.together:
        page.line(said("settings_together", labels=joined(map(Label, group))), "yellow")


def _cells(page: Page, name: str, key: str, contrast: Contrast, tested: bool) -> list[str]:
    change = change_of(key, contrast.reference, contrast.level)
    cells = [name, page.text(change), points(contrast.difference, page.scale)]
    if tested and contrast.low is not None and contrast.high is not None:
        low, high = points(contrast.low, page.scale), points(contrast.high, page.scale)
        cells.append(page.text(said("between", low=low, high=high)))
    return cells


def _call(page: Page, effect: SettingEffect, contrast: Contrast) -> Text:
    """The call of one line, with what has to be known beside it."""
    found = called(effect, contrast, page.scale)
    if found.instead:
        text = Text(page.text(found.instead), style="dim")
    else:
        text = Text(page.text(found.call), style=STYLES.get(contrast.call, ""))
        text.append(" *" if found.star else "")
        text.append(page.text(found.bound))
        text.append(page.text(found.holds), style="dim")
    text.append(page.text(found.pairs))
    return text


def _interactions(page: Page, verdict: Verdict) -> None:
    if not verdict.interactions:
        return
    page.title("title_interactions")
    for item in verdict.interactions:
        if item.call != NOT_DECIDED:
            call = said(f"call_{item.call}")
            page.line(said("call_said", call=call, sentence=item.sentence), STYLES.get(item.call, ""))
            if item.assumed:
                page.line(said("interaction_assumed", n=len(item.assumed)), "dim")
    left = [item for item in verdict.interactions if item.call == NOT_DECIDED]
    for item in left[:NAMED]:
        page.line(item.sentence, "dim")
    if left[NAMED:]:
        page.line(said("interactions_more", n=len(left) - NAMED), "dim")


def _courses(page: Page, verdict: Verdict) -> None:
    if not verdict.courses:
        return
    page.title("title_courses", said("title_courses_more"))
    by_text: dict[str, list[str]] = {}
    for item in verdict.courses:
        if item.call != FLAT:
            by_text.setdefault(item.sentence, []).append(item.run)
    for text, runs in by_text.items():
        page.line(said("of_runs", runs=joined(runs), text=text))
    flat = [item.run for item in verdict.courses if item.call == FLAT]
    if flat:
        page.line(said("courses_flat", runs=joined(flat)), "dim")


def _costs(page: Page, verdict: Verdict) -> None:
    front = [item for item in verdict.costs if item.best_for]
    if not front:
        return
    page.title("title_costs", said("title_costs_more"))
    numbers = ["head_score", "head_training", "head_memory", "head_file"]
    table = page.table("head_run", *numbers, "head_best_for", right=numbers)
    for item in front:
        table.add_row(
            escape(item.run),
            number(item.score, page.scale),
            page.text(minutes(item.minutes)) if item.minutes else "",
            f"{item.memory_bytes / 1e9:.1f} GB" if item.memory_bytes else "",
            f"{item.file_bytes / 1e6:.1f} MB" if item.file_bytes else "",
            page.text(joined(said(f"cost_{name}") for name in item.best_for)),
        )
    page.out.print(table)


def _usable(page: Page, verdict: Verdict) -> None:
    failing = [item for item in verdict.usable if item.usable < item.of]
    if not failing:
        return
    page.title("title_usable", said("title_usable_more"))
    for item in failing:
        others = [one for one in verdict.usable if one.key == item.key and one is not item]
        page.line(
            said(
                "usable",
                label=Label(item.key),
                value=show_setting(item.key, item.value),
                good=item.usable,
                n=item.of,
                low=f"{item.low:.0%}",
                high=f"{item.high:.0%}",
                others=sum(one.usable for one in others),
                of=sum(one.of for one in others),
                reasons=joined(item.reasons, "clauses"),
            )
        )


def _metrics(page: Page, verdict: Verdict) -> None:
    if not verdict.agreement:
        return
    page.title("title_metrics", said("title_metrics_more"))
    for item in verdict.agreement:
        above = said("metric_above", rho=f"{item.above:+.2f}") if item.above is not None else ""
        own = {"rho": item.rho, "low": item.low, "high": item.high}
        shown = {name: f"{value:+.2f}" for name, value in own.items()}
        line = said("metric", metric=item.metric, **shown, n=item.runs, above=above, sentence=item.sentence)
        page.line(line, "" if item.low > 0 or item.high < 0 else "dim")


def _ranking(page: Page, verdict: Verdict) -> None:
    if not verdict.ranking:
        return
    page.title("title_ranking", said("title_ranking_more", n=len(verdict.evidence.comparisons)))
    for row in verdict.ranking:
        above = row.above_next
        page.line(
            said(
                "ranked",
                run=row.place[0],
                tag=row.place[1],
                strength=f"{row.strength:+.1f}",
                low=f"{row.low:+.1f}",
                high=f"{row.high:+.1f}",
                n=row.compared,
                bad=said("ranked_bad", n=row.both_bad) if row.both_bad else "",
                follows=said("ranked_above", chance=f"{above:.0%}") if above is not None else "",
            )
        )


def _importance(page: Page, verdict: Verdict) -> None:
    if not verdict.importance:
        return
    page.title("title_importance", said("title_importance_more"))
    for item in verdict.importance:
        above = item.p <= LEVEL
        key = "importance_above" if above else "importance_chance"
        share, null = f"{item.share:.0%}", f"{item.null:.0%}"
        page.line(said(key, label=Label(item.key), share=share, null=null), "" if above else "dim")


def _recommendation(page: Page, verdict: Verdict) -> None:
    advice = verdict.recommendation
    if advice is None:
        return
    tag = said("recommended_tag", tag=advice.tag) if advice.tag and advice.tag != "final" else ""
    score = number(advice.score, page.scale)
    page.title("title_recommended", said("recommended_run", run=advice.run, tag=tag, score=score))
    if advice.overrides:
        overrides = " ".join(advice.overrides)
        page.line(said("recommended_settings", reference=verdict.reference, overrides=overrides), "bold")
    elif advice.run == verdict.reference:
        page.line(said("recommended_is_reference"))
    page.lines(advice.reasons)


def _notes(page: Page, verdict: Verdict) -> None:
    if verdict.missing:
        page.title("title_missing")
        by_reason: dict[str, list[str]] = {}
        for run, reason in verdict.missing.items():
            by_reason.setdefault(reason, []).append(run)
        for reason, runs in by_reason.items():
            page.line(said("of_runs", runs=joined(runs), text=reason))
    notes = [*(looked(verdict) if not verdict.noise.tested else ()), *verdict.notes]
    if notes:
        page.title("title_notes")
        page.lines(notes)
