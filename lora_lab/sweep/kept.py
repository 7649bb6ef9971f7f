"""What a sweep's folder keeps of how it was launched: every row that any command started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any

from lora_lab.config.written import yaml_text
from lora_lab.errors import ConfigError, RunFolderError
from lora_lab.resolved import Resolved
from lora_lab.store import RunRecord, SweepFolder, read_record
from lora_lab.store.launched import read_plan
from lora_lab.sweep.file import SweepFile, read_sweep
from lora_lab.sweep.places import with_places
from lora_lab.sweep.run_names import name_problem, run_problem, same_folder

if TYPE_CHECKING:
    from lora_lab.sweep.plan import Plan

BY_COMMAND = 10**6
"""Runs that no sweep file names stand behind those of files, in the order in which they were started."""
_IN_THE_RECORD = ("effective", "overrides")
NAMED = 6
"""Rows that a message names."""


def records_in(folder: SweepFolder) -> dict[str, RunRecord]:
    """The records of the runs that are there, by name; those that cannot be read are left out."""
    found = {}
    for run in folder.runs():
        try:
            found[run.name] = read_record(run)
        except RunFolderError:
            continue
    return found


def source_of(sweep: SweepFile, folder: SweepFolder) -> str:
    """The sweep file that rows come from; '' for the command line and for the folder's own file."""
    if sweep.path is None or sweep.path.resolve() == folder.sweep_file.resolve():
        return ""
    return str(sweep.path.resolve())


def refuse_another(sweep: SweepFile, folder: SweepFolder, rows: Mapping[str, Resolved]) -> None:
    """Refuse a folder that holds the runs of another sweep file of the same name.

    A file that was moved, copied or added to is the same one as long as it asks the same question, and every
    row that both know is the same experiment.

    Args:
        rows: Each row of the file, by name.

    Raises:
        ConfigError: It is another one.
    """
    source = source_of(sweep, folder)
    theirs = {name: one for name, one in records_in(folder).items() if one.source not in ("", source)}
    if not source or not theirs:
        return
    shared = rows.keys() & theirs
    same = shared and all(rows[name].is_experiment(theirs[name].fingerprint) for name in shared)
    if same and {one.question for one in theirs.values()} == {sweep.question}:
        return
    other = next(iter(theirs.values())).source
    names = ", ".join(list(theirs)[:NAMED]) + (", ..." if len(theirs) > NAMED else "")
    raise ConfigError(
        f"{folder.path} holds the runs of another sweep file, {other} ({names}): its question, settings or "
        f"images are not those of {sweep.path}. Add sweep={sweep.name}-2 for a folder of its own, or rename "
        "the file"
    )


def refuse_names(sweep: SweepFile, folder: SweepFolder | None) -> None:
    """Refuse what cannot be the name of a folder, from whatever door the rows come; what is there may stay.

    Raises:
        ConfigError: One line per name.
    """
    where = str(sweep.path or sweep.name)
    there = {run.name for run in folder.runs()} if folder else set()
    problem = None if folder else name_problem(sweep.name)
    wrong = [f"{problem}; give the sweep another with sweep=NAME"] if problem else []
    wrong += [text for row in sweep.rows if row.name not in there and (text := run_problem(row.name))]
    if wrong:
        raise ConfigError("\n".join(f"{where}: {text}" for text in wrong))


def refuse_other_cases(sweep: SweepFile, folder: SweepFolder) -> None:
    """Refuse a row that has a run's folder on systems that ignore case: results are carried to such ones.

    Raises:
        ConfigError: One line per row.
    """
    there = {run.name for run in folder.runs()}
    known = {same_folder(name): name for name in there}
    wrong = [
        f"{sweep.path or sweep.name}: name {row.name!r} has the same folder as the run {other!r} in "
        f"{folder.path}, where case does not count: call it {other!r} or quite otherwise"
        for row in sweep.rows
        if row.name not in there and (other := known.get(same_folder(row.name)))
    ]
    if wrong:
        raise ConfigError("\n".join(wrong))


def places(plan: Plan, sweep: SweepFile) -> dict[str, int]:
    """The number of each of the plan's rows among all rows of the sweep."""
    if sweep.path is not None:
        order = {name: number for number, name in enumerate(sweep.order)}
        return {row.name: order.get(row.name, number) for number, row in enumerate(plan.rows)}
    known = {name: one.place for name, one in records_in(plan.folder).items() if one.place is not None}
    free = max([*known.values(), BY_COMMAND - 1]) + 1
    new = [row.name for row in plan.rows if row.name not in known]
    return {**known, **{name: max(free, BY_COMMAND) + number for number, name in enumerate(new)}}


def as_launched(plan: Plan, sweep: SweepFile, extra: Sequence[str]) -> str:
    """The sweep as a sweep file with every row named, so that the folder alone is enough to go on."""
    rows = {}
    for row in sweep.rows:
        # What came from the command line wins over a row's own overrides, as it did when it was launched.
        seeds = [f"train.seed={plan.row(row.name).config.train.seed}"] if row.replicate > 1 else []
        own = [*row.overrides, *(extra if row.overrides else ()), *seeds]
        rows[row.name] = with_places(own, plan.row(row.name).config, plan.base)
    base = with_places([*sweep.base, *extra], plan.base)
    before = _before(plan.folder)
    question = sweep.question or (before.question if before else "")
    values: dict[str, Any] = {"question": question} if question else {}
    dirs = list(dict.fromkeys([*(before.config_dirs if before else ()), *plan.config_dirs]))
    values |= {"config_dirs": dirs} if dirs else {}
    values |= _with_earlier(plan.folder, before, base, rows, sweep.order)
    search = sweep.search or (before.search if before else None)
    values |= {"search": dict(search.source)} if search else {}
    head = f"# As launched. `lora-lab sweep {quote(str(plan.folder.path))}` goes on with it.\n"
    return head + yaml_text(values, width=110)


def _before(folder: SweepFolder) -> SweepFile | None:
    try:
        return read_sweep(folder.sweep_file)
    except ConfigError:
        return None


def _with_earlier(
    folder: SweepFolder,
    before: SweepFile | None,
    base: list[str],
    rows: Mapping[str, list[str]],
    order: Sequence[str],
) -> dict[str, Any]:
    """Base and rows, with the rows of earlier commands whose runs are still there.

    Where an earlier command had another base, all rows keep what they were composed from: what they share is
    the base then.
    """
    there = {run.name for run in folder.runs()}
    earlier = [row for row in (before.rows if before else ()) if row.name not in rows and row.name in there]
    if before is None or not earlier:
        return {"base": base, "patterns": dict(rows)}
    if list(before.base) == base:
        known = {row.name: list(row.overrides) for row in earlier}
        return {"base": base, "patterns": _in_order({**known, **rows}, order)}
    whole = {row.name: [*before.base, *row.overrides] for row in earlier}
    whole |= {name: [*base, *own] for name, own in rows.items()}
    shared = _common_start(list(whole.values()))
    cut = {name: texts[len(shared) :] for name, texts in whole.items()}
    return {"base": shared, "patterns": _in_order(cut, order)}


def _in_order(rows: Mapping[str, list[str]], order: Sequence[str]) -> dict[str, list[str]]:
    names = [name for name in order if name in rows]
    return {name: rows[name] for name in dict.fromkeys([*names, *rows])}


def _common_start(lists: Sequence[list[str]]) -> list[str]:
    found = []
    for texts in zip(*lists, strict=False):
        if len(set(texts)) > 1:
            break
        found.append(texts[0])
    return found


def whole_plan(plan: Plan) -> dict[str, Any]:
    """The plan as plain values, with the rows and packs of earlier commands whose runs are still there."""
    values = plan.to_json()
    # What acts in a run, and what it was composed from, stand in its own record; here are the differences.
    rows = [{key: value for key, value in row.items() if key not in _IN_THE_RECORD} for row in values["rows"]]
    own = {row.name for row in plan.rows}
    there = {run.name for run in plan.folder.runs()} - own
    before = read_plan(plan.folder)
    earlier = [row for row in before["rows"] if row["name"] in there]
    packs = [pack for pack in before["packs"] if set(pack) <= there]
    # Thousands of rows make millions of pairs; `lora-lab plan --json` has them.
    compared = [{"key": item["key"], "values": item["values"]} for item in values["comparisons"]]
    prompts = values["prompts"]
    return {
        **values,
        "rows": [*rows, *earlier],
        "prompts": prompts if len(prompts) > 1 else [{"prompts": item["prompts"]} for item in prompts],
        "packs": [*values["packs"], *packs],
        "comparisons": compared,
    }
