"""How a verdict looks in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from lora_lab.axes import axis, show
from lora_lab.cli.show import console, grid
from lora_lab.verdict.advice import minutes
from lora_lab.verdict.analysis import POINTS
from lora_lab.verdict.calls import Scale, place, points
from lora_lab.verdict.cells import LEVEL
from lora_lab.verdict.evidence import SCORE
from lora_lab.verdict.outcomes import FLAT, number
from lora_lab.verdict.result import (
    ASSUMED,
    DEPENDS,
    EARLIER,
    HELPS,
    HURTS,
    INTERACTS,
    MEASURED,
    NO_DIFFERENCE,
    NOT_DECIDED,
    SEEMS_TO_HELP,
    SEEMS_TO_HURT,
    SEEMS_TO_INTERACT,
    Contrast,
    Noise,
    SettingEffect,
    Verdict,
)

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
NAMED = 3
"""Combinations that are shown though nothing was decided on them."""
WIDE = 100
"""Columns from which on the number of matched pairs has room."""
WIDEST = 120
"""Columns that lines are wrapped at, however wide the terminal is."""


def show_verdict(verdict: Verdict) -> None:
    """Print a verdict: what it rests on, setting by setting, and what to do with it."""
    out = console()
    out.width = min(out.width, WIDEST)
    scale = scale_of(verdict)
    _head(out, verdict, scale)
    _settings(out, verdict, scale)
    _interactions(out, verdict, scale)
    _courses(out, verdict)
    _costs(out, verdict, scale)
    _usable(out, verdict)
    _metrics(out, verdict)
    _ranking(out, verdict)
    _importance(out, verdict)
    _recommendation(out, verdict, scale)
    _notes(out, verdict)


def scale_of(verdict: Verdict) -> Scale:
    """The scale of the numbers that runs are judged by."""
    of_100 = verdict.evidence.criterion in POINTS
    return Scale(verdict.relevant, of_100, " points" if of_100 else "")


def _title(out: Console, text: str, more: str = "") -> None:
    out.print()
    out.print(Text.assemble((text, "bold"), f" {more}" if more else ""))


def _line(out: Console, text: str, style: str = "") -> None:
    out.print(Padding(Text(text, style=style), (0, 0, 0, 2), expand=False))


def _head(out: Console, verdict: Verdict, scale: Scale) -> None:
    found = verdict.evidence
    for text in found.gaps:
        out.print(Text(text, style="bold yellow"))
    out.print(Text.assemble((found.name, "bold"), f": {found.question}" if found.question else ""))
    if found.criterion != SCORE:
        out.print(
            Text(
                f"JUDGED BY THE AUTOMATIC METRIC {found.criterion}, NOT BY PEOPLE: whether it sees what you "
                "see is not known; higher counts as better",
                style="bold yellow",
            )
        )
    count, without = len(found.scored), len(verdict.missing)
    rest = f", {without} without one (see below)" if without else ""
    rule = {"last": "its last checkpoint", "best": "its best checkpoint"}.get(
        found.rule, f"checkpoint {found.rule}"
    )
    out.print(Text(f"{count} different runs with a score{rest}; each is judged by {rule}"))
    for rater in found.raters if found.criterion == SCORE else ():
        level = f", {points(rater.level, scale)} against the others" if len(found.raters) > 1 else ""
        again = (
            f", repeats vary by {number(rater.repeat_sd, scale)} (sd of one score, "
            f"{number(rater.repeat_low, scale)} to {number(rater.repeat_high, scale)}, {rater.repeats} "
            f"repeats)"
            if rater.repeat_sd is not None and rater.repeat_low is not None and rater.repeat_high is not None
            else ", repeatability not measured"
        )
        drift = f", drifts by {points(rater.drift, scale)} in 10 scores" if rater.drift is not None else ""
        out.print(Text(f"{rater.name}: {rater.judgements} scores{level}{again}{drift}"))
    if verdict.rater_alpha is not None:
        out.print(Text(f"raters agree by {verdict.rater_alpha:.2f} (Krippendorff's alpha; 1 full, 0 chance)"))
    measured = verdict.noise.source == MEASURED
    out.print(Text(noise_text(verdict.noise, scale), style="" if measured else "yellow"))
    for text in noise_warnings(verdict.noise, scale):
        out.print(Text(text, style="yellow"))


def noise_text(noise: Noise, scale: Scale) -> str:
    """The noise floor in plain English: what was measured, what is reckoned with, and why."""

    def of(value: float | None) -> str:
        return points(value or 0.0, scale, signed=False)

    if noise.single is None:
        return f"noise floor: {UNSEEN}, so nothing is tested"
    each = f"two single runs differ for sure from {of(noise.smallest)} on"
    if noise.source == MEASURED and noise.prior is None:
        text = f"noise floor: repeating a run moves its score by {of(noise.sd)} (sd"
        return f"{text}; {of(noise.low)} to {of(noise.high)}), measured on {_groups(noise)}; {each}"
    if noise.source == MEASURED:
        return (
            f"noise floor: measured {of(noise.sd)} (sd; {of(noise.low)} to {of(noise.high)}) on "
            f"{noise.df:g} df "
            f"({_groups(noise)}), reckoned with {of(noise.reckoned)} for a run that was run once: "
            f"{_prior(noise, scale)}; {each}"
        )
    if noise.source == ASSUMED:
        return (
            f"noise floor: ASSUMED, not measured: repeating a run moves its score by {of(noise.sd)} (sd); "
            f"two "
            f"single runs then differ from {of(noise.smallest)} on"
        )
    if noise.source == EARLIER:
        return f"noise floor: not measured here; {_prior(noise, scale)}; {each}"
    return (
        f"noise floor: {UNSEEN}, so nothing is tested; 'seems' only describes, and would be called if the "
        f"noise "
        f"were what is expected: {_prior(noise, scale)}. `replicates: 3` in the sweep file measures it; "
        "--noise-floor N assumes it"
    )


UNSEEN = "run-to-run variation not measured (no run was repeated with another seed)"


def _prior(noise: Noise, scale: Scale) -> str:
    prior = noise.prior
    assert prior is not None
    of = points(prior.sd, scale, signed=False)
    if prior.shipped:
        return f"{of} is expected, which counts like {prior.df:g} repeats (of the demo's working settings)"
    return (
        f"your earlier sweeps had {of}, which counts like {prior.df:.0f} repeats ({', '.join(prior.sweeps)})"
    )


def _groups(noise: Noise) -> str:
    if len(noise.groups) > NAMED:
        runs = sum(map(len, noise.groups))
        return f"{len(noise.groups)} settings that were run more than once, {runs} runs"
    return "; ".join(", ".join(group) for group in noise.groups)


def noise_warnings(noise: Noise, scale: Scale) -> list[str]:
    """What has to be known of the noise beside its size."""
    found = []
    if noise.unequal:
        steady, wild = noise.unequal[0], noise.unequal[-1]
        found.append(
            f"settings differ in how much repeats vary ({steady[0]} by "
            f"{points(steady[1], scale, signed=False)}, "
            f"{wild[0]} by {points(wild[1], scale, signed=False)}; p {noise.equal_p:.2g}): each is "
            f"reckoned with "
            "its own; run everything once more rather than the reference run"
        )
    if noise.at_the_end:
        found.append(
            f"{', '.join(noise.at_the_end)}: scores at 0 or 100 hide how much repeats vary; not used as a "
            f"measure"
        )
    return found


def _settings(out: Console, verdict: Verdict, scale: Scale) -> None:
    _title(out, "settings:", "what changing one alone did (pairs of runs that differ in nothing else)")
    if not verdict.settings:
        _line(out, "no two runs with a score differ in one setting alone")
    else:
        tested = verdict.noise.tested
        count = ["pairs"] if out.width >= WIDE else []
        heads = ["setting", "change", *count, "effect", *(["95 %"] if tested else []), "verdict"]
        table = grid(*heads, right=["pairs", "effect"])
        for effect in verdict.settings:
            for place_, contrast in enumerate(effect.contrasts):
                cells = _cells("" if place_ else effect.title, contrast, tested, scale)
                cells[2:2] = [str(len(contrast.pairs))] if count else []
                table.add_row(*map(escape, cells), _verdict(effect, contrast, scale))
        out.print(table)
        _counted(out, verdict)
    for group in verdict.together:
        names = ", ".join(axis(key).label for key in group)
        _line(out, f"always changed together, so not told apart: {names}", "yellow")


def _cells(name: str, contrast: Contrast, tested: bool, scale: Scale) -> list[str]:
    change = f"{show(contrast.reference)} -> {show(contrast.level)}"
    cells = [name, change, points(contrast.difference, scale)]
    if tested and contrast.low is not None and contrast.high is not None:
        cells.append(f"{points(contrast.low, scale)} to {points(contrast.high, scale)}")
    return cells


def _verdict(effect: SettingEffect, contrast: Contrast, scale: Scale) -> Text:
    """The call of one line, with what has to be known beside it."""
    text = Text(contrast.call, style=STYLES.get(contrast.call, ""))
    decided = contrast.call not in (NOT_DECIDED, NO_DIFFERENCE)
    if contrast.star:
        text.append(" *")
    if contrast.call == NO_DIFFERENCE and contrast.low is not None and contrast.high is not None:
        bound = max(-contrast.low, contrast.high)
        text.append(f" larger than {points(bound, scale, signed=False)}")
    elif contrast.call == NOT_DECIDED and effect.call == NOT_DECIDED and contrast is effect.contrasts[0]:
        text = Text(effect.sentence, style="dim")
    elif decided and contrast.low is None:
        limit = points(contrast.holds_up_to, scale, signed=False)
        text.append(f"; would hold up to a run-to-run sd of {limit}", style="dim")
    if len(contrast.pairs) > 1 and (decided or contrast.conflict is not None and contrast.conflict < LEVEL):
        each = ", ".join(f"{points(pair.difference, scale)} {place(pair)}" for pair in contrast.pairs[:4])
        text.append(f": {each}{', ...' if len(contrast.pairs) > 4 else ''}")
    return text


def _counted(out: Console, verdict: Verdict) -> None:
    count = verdict.comparisons
    if not verdict.noise.tested:
        _line(
            out, f"{count} comparisons were looked at; the largest of many differences is partly luck", "dim"
        )
        return
    if verdict.look > 1:
        _line(
            out,
            f"this is verdict number {verdict.look} on growing scores: so that asking again gives chance no "
            f"further try, settings looked at that often are tested at {100 * LEVEL / verdict.look**2:.2g} % "
            "instead of 5 %, and their intervals are wider",
            "dim",
        )
    by_chance = f"{LEVEL * count:.1f}".removesuffix(".0")
    _line(
        out,
        f"{count} comparisons at 5 % each: if nothing mattered, about {by_chance} would be called by chance; "
        "those with * stand even when all settings are counted together. What was run once has no *: how "
        "much "
        "it varies itself is not known",
        "dim",
    )


def _interactions(out: Console, verdict: Verdict, scale: Scale) -> None:
    if not verdict.interactions:
        return
    decided = [item for item in verdict.interactions if item.call != NOT_DECIDED]
    _title(out, "settings that depend on each other:")
    for item in decided:
        _line(out, f"{item.call}: {item.sentence}", STYLES.get(item.call, ""))
        if item.assumed:
            _line(out, f"  assuming that what is not known is equal ({len(item.assumed)} settings)", "dim")
    left = [item for item in verdict.interactions if item.call == NOT_DECIDED]
    for item in left[:NAMED]:
        _line(out, item.sentence, "dim")
    if left[NAMED:]:
        _line(out, f"and {len(left) - NAMED} more, not decided", "dim")


def _courses(out: Console, verdict: Verdict) -> None:
    moving = [item for item in verdict.courses if item.call != FLAT]
    if not verdict.courses:
        return
    _title(out, "along the checkpoints:", "one run's own pictures, so a hint and no test")
    by_text: dict[str, list[str]] = {}
    for item in moving:
        by_text.setdefault(item.sentence, []).append(item.run)
    for text, runs in by_text.items():
        _line(out, f"{', '.join(runs)}: {text}")
    flat = [item.run for item in verdict.courses if item.call == FLAT]
    if flat:
        _line(out, f"no clear change along the checkpoints: {', '.join(flat)}", "dim")


def _costs(out: Console, verdict: Verdict, scale: Scale) -> None:
    front = [item for item in verdict.costs if item.best_for]
    if not front:
        return
    _title(out, "score against cost:", "no cheaper run scored as much; about one mark in six is luck")
    table = grid(
        "run",
        "score",
        "training",
        "memory",
        "file",
        "best for its",
        right=["score", "training", "memory", "file"],
    )
    for item in front:
        table.add_row(
            escape(item.run),
            number(item.score, scale),
            minutes(item.minutes) if item.minutes else "",
            f"{item.memory_bytes / 1e9:.1f} GB" if item.memory_bytes else "",
            f"{item.file_bytes / 1e6:.1f} MB" if item.file_bytes else "",
            ", ".join(item.best_for),
        )
    out.print(table)


def _usable(out: Console, verdict: Verdict) -> None:
    failing = [item for item in verdict.usable if item.usable < item.of]
    if not failing:
        return
    _title(out, "usable runs:", "share that ended with pictures that show something, with its 95 % interval")
    for item in failing:
        others = [one for one in verdict.usable if one.key == item.key and one is not item]
        good, of = sum(one.usable for one in others), sum(one.of for one in others)
        _line(
            out,
            f"{axis(item.key).label} {show(item.value)}: {item.usable} of {item.of} ({item.low:.0%} to "
            f"{item.high:.0%}), others {good} of {of}; {'; '.join(item.reasons)}",
        )


def _metrics(out: Console, verdict: Verdict) -> None:
    if not verdict.agreement:
        return
    _title(out, "automatic metrics against the scores:", "rank correlation over runs, all intervals 95 %")
    for item in verdict.agreement:
        _line(
            out,
            f"{item.metric}: {item.rho:+.2f} ({item.low:+.2f} to {item.high:+.2f}, {item.runs} runs"
            f"{'' if item.above is None else f'; {item.above:+.2f} in the better half'}), "
            f"{item.sentence}",
            "" if item.low > 0 or item.high < 0 else "dim",
        )


def _ranking(out: Console, verdict: Verdict) -> None:
    if not verdict.ranking:
        return
    count = len(verdict.evidence.comparisons)
    _title(out, "blind comparisons:", f"{count}, a ranking apart from the scores (Bradley-Terry, 95 %)")
    for row in verdict.ranking:
        follows = f", above the next with {row.above_next:.0%}" if row.above_next is not None else ""
        bad = f", {row.both_bad} times both bad" if row.both_bad else ""
        _line(
            out,
            f"{row.place[0]} {row.place[1]}: {row.strength:+.1f} ({row.low:+.1f} to {row.high:+.1f}), "
            f"{row.compared} comparisons{bad}{follows}",
        )


def _importance(out: Console, verdict: Verdict) -> None:
    if not verdict.importance:
        return
    _title(out, "importance:", "fANOVA, share of the variance; only what is above shuffled scores counts")
    for item in verdict.importance:
        above = item.p <= LEVEL
        word = "above chance" if above else "no more than chance"
        text = f"{item.label}: {item.share:.0%}, shuffled up to {item.null:.0%}: {word}"
        _line(out, text, "" if above else "dim")


def _recommendation(out: Console, verdict: Verdict, scale: Scale) -> None:
    advice = verdict.recommendation
    if advice is None:
        return
    tag = f", checkpoint {advice.tag}" if advice.tag and advice.tag != "final" else ""
    _title(out, "recommended:", f"{advice.run}{tag} (score {number(advice.score, scale)})")
    if advice.overrides:
        _line(out, f"settings, against {verdict.reference}: {' '.join(advice.overrides)}", "bold")
    elif advice.run == verdict.reference:
        _line(out, "it is the reference run: nothing that was tried is recommended over it")
    _list(out, advice.reasons)


def _notes(out: Console, verdict: Verdict) -> None:
    if verdict.missing:
        _title(out, "runs without a score:")
        by_reason: dict[str, list[str]] = {}
        for run, reason in verdict.missing.items():
            by_reason.setdefault(reason, []).append(run)
        for reason, runs in by_reason.items():
            _line(out, f"{', '.join(runs)}: {reason}")
    if verdict.notes:
        _title(out, "notes:")
        _list(out, verdict.notes)


def _list(out: Console, texts: Iterable[str] | Sequence[str]) -> None:
    for text in texts:
        _line(out, f"- {text}")
