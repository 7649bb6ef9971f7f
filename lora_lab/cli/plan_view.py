"""How a plan looks in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from lora_lab.axes import show_apart
from lora_lab.cli.cells import Cell, long_table
from lora_lab.cli.plan_costs import duration, show_costs
from lora_lab.cli.plan_images import show_images, show_prompts
from lora_lab.cli.show import console, number
from lora_lab.counts import counted
from lora_lab.sweep import Plan, PlannedRun
from lora_lab.verdict.evidence import SCORE
from lora_lab.verdict.power import groups_of, what_it_finds
from lora_lab.verdict.prior import BY_CRITERION
from lora_lab.words import change_of, in_language, said

NO_GPU = (
    "no GPU was found: this trains on the CPU, many times slower; see lora-lab doctor, or say device=cpu "
    "where that is meant"
)
STYLES = {"same": "dim", "done": "green", "failed": "red", "diverged": "red", "conflict": "bold red"}


def show_plan(plan: Plan, language: str = "en") -> None:
    """Print rows, duplicates, settings without effect, packs, and what can be compared.

    Args:
        language: Of the sentence that says what the plan can decide.
    """
    out = console()
    _alarm(plan)
    if plan.question:
        out.print(f"[bold]{escape(plan.name)}[/]: {escape(plan.question)}\n", soft_wrap=True)
    out.print(_rows(plan))
    show_images(plan)
    show_prompts(plan)
    _notes(plan)
    _packs(plan)
    show_costs(plan)
    _comparisons(plan, language)


def _rows(plan: Plan) -> Table:
    numbers = ("steps", "samples", "exposures per image")
    rows = (
        (
            Cell(row.name),
            Cell(_changes(row)),
            Cell(str(row.total_steps)),
            Cell(str(row.samples)),
            Cell(number(row.exposures_per_image)),
            _fate(row),
        )
        for row in plan.rows
    )
    return long_table(("row", "changes", *numbers, "status"), [*rows, *_external(plan)], numbers)


def _external(plan: Plan) -> Iterator[tuple[Cell, ...]]:
    """LoRAs that were trained elsewhere: never trained, rendered beside the others."""
    for row in plan.external:
        cost = plan.estimate.runs.get(row.name)
        took = f", {duration(cost.seconds)}" if cost and row.to_render else ""
        fate = f"renders {row.to_render} previews of {row.checkpoints} checkpoints{took}"
        yield (
            Cell(row.name),
            Cell(f"trained elsewhere ({row.trainer}): {row.source}"),
            Cell(""),
            Cell(""),
            Cell(""),
            Cell(fate) if row.to_render else Cell(row.status, STYLES.get(row.status, "")),
        )


def _alarm(plan: Plan) -> None:
    """What has to be seen before all else: no GPU where one is expected, and a budget that is too small."""
    expected = plan.base.device == "auto" and plan.base.base_model.path != "demo"
    lines = [NO_GPU] if expected and plan.device_type == "cpu" and plan.packs else []
    for text in [*lines, *plan.over_budget]:
        console().print(f"[bold red]{escape(text)}[/]", soft_wrap=True)


def _changes(row: PlannedRun) -> str:
    if not row.changes:
        return "the base"
    return "\n".join(f"{key}: {change_of(key, *values)}" for key, values in row.changes.items())


def _fate(row: PlannedRun) -> Cell:
    style = STYLES.get(row.status, "")
    if row.same_as:
        text = f"same experiment as {row.same_as}: {row.reason}"
    else:
        text = f"{row.status}: {row.reason}" if row.reason else row.status
    return Cell(text, style)


def _notes(plan: Plan) -> None:
    out = console()
    found: dict[str, list[str]] = {}
    for row in plan.rows:
        for text in row.notes:
            found.setdefault(text, []).append(row.name)
    lines = [(text, "") for text in plan.warnings]
    lines += [(text, f" ({', '.join(names)})") for text, names in found.items()]
    if lines:
        out.print("\n[bold]notes[/]")
    for text, rows in lines:
        out.print(f"  {escape(text)}[dim]{escape(rows)}[/]", soft_wrap=True)


def _packs(plan: Plan) -> None:
    out = console()
    elsewhere = [row.name for row in plan.external if row.to_render]
    if not plan.packs:
        out.print(f"\nnothing is left to {'train' if elsewhere else 'do'}")
    else:
        _show_packs(plan)
    if elsewhere:
        out.print(f"  rendered and not trained: {escape(', '.join(elsewhere))}", soft_wrap=True)


def _show_packs(plan: Plan) -> None:
    out = console()
    steps = counted(sum(row.steps_left for row in plan.rows if row.to_do and not row.prefix_of), "step")
    out.print(f"\n[bold]packs[/] on {plan.device_type}: runs of a pack train together; {steps} in all")
    rows, on_the_way = {row.name: row for row in plan.rows}, dict[str, list[str]]()
    for row in plan.rows:
        if row.follows:
            on_the_way.setdefault(row.prefix_of, []).append(row.name)
    for number_, names in enumerate(plan.packs, start=1):
        samples = sum(rows[name].samples for name in names)
        shown = ", ".join(_with_prefixes(name, on_the_way.get(name, ())) for name in names)
        out.print(
            f"  {number_}: {escape(shown)} [dim]({counted(samples, 'sample')})[/]",
            soft_wrap=True,
        )


def _with_prefixes(name: str, found: Sequence[str]) -> str:
    """A run of a pack, with the runs that are saved on its way."""
    return f"{name} (and {', '.join(found)} on its way)" if found else name


def _comparisons(plan: Plan, language: str) -> None:
    out = console()
    compared = plan.comparisons
    trained = {row.name: row.prefix_of or row.name for row in plan.rows}
    out.print("\n[bold]what it will be able to compare[/]: pairs of rows that differ in one setting alone")
    for item in compared.settings:
        values = ", ".join(show_apart(item.key, item.values))
        pairs = counted(len(item.pairs), "pair")
        if shared := sum(trained[one] == trained[other] for one, other in item.pairs):
            pairs += f", {shared} of one training: shown, not tested" if shared < len(item.pairs) else ""
            pairs += " of one training: shown, not tested" if shared == len(item.pairs) else ""
        out.print(f"  {escape(item.key)}: {escape(values)} [dim]({pairs})[/]", soft_wrap=True)
    for group in compared.aliased:
        out.print(
            f"  [yellow]confounded:[/] {escape(', '.join(group))} always change together", soft_wrap=True
        )
    if compared.replicates:
        rows = sum(map(len, compared.replicates))
        out.print(f"  noise floor: {rows} rows are {len(compared.replicates)} repeated with other seeds")
    _findable(plan, language)
    if compared.replicates:
        return
    out.print("  noise floor: none; replicates: 3 in the sweep file repeats the base with other seeds")


def _findable(plan: Plan, language: str) -> None:
    """The size of effect that the rows can find by what they are judged by, and what one more run of the base
    or of all rows would buy."""
    rows = [row for row in plan.rows if not row.same_as]
    groups = groups_of([row.name for row in rows], plan.comparisons.replicates)
    if len(groups) < 2:
        return
    measured = {name for row in rows for name in row.resolved.metric.names}
    for criterion, prior in BY_CRITERION.items():
        if criterion != SCORE and criterion not in measured:
            continue
        found = what_it_finds(groups, prior)
        by = said("plan_by_people") if criterion == SCORE else said("plan_by_metric", metric=criterion)
        text = said(
            "plan_finds",
            by=by,
            now=f"{found.now:.0f}",
            base=f"{found.base_once_more:.0f}",
            all=f"{found.all_once_more:.0f}",
            sd=f"{prior.sd:g}",
        )
        console().print(f"  {escape(in_language(text, language))}", soft_wrap=True)
