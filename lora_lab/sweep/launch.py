"""Starting what a plan says: run folders, the engine, and the sweep's results.

The same plan launched again goes on: finished runs are kept, interrupted ones resumed, the rest started.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lora_lab import config
from lora_lab.engines import Engine, Pack, Report, make_engine
from lora_lab.errors import ConfigError, LoraLabError
from lora_lab.files import remove_leftovers
from lora_lab.run.rounds import next_round
from lora_lab.run.save_schedule import SaveSchedule
from lora_lab.store import ENDED, RunFolder, RunRecord, SweepFolder, read_or_failed, write_record
from lora_lab.store import table as results
from lora_lab.store.launched import write_launched
from lora_lab.store.locks import is_locked
from lora_lab.store.steps import forget_steps
from lora_lab.sweep import external
from lora_lab.sweep.file import SweepFile
from lora_lab.sweep.kept import as_launched, places, source_of, whole_plan
from lora_lab.sweep.plan import Plan, PlannedRun
from lora_lab.sweep.status import set_aside
from lora_lab.sweep.text import value_text

TABLE = "table.csv"
UNSUCCESSFUL = ("failed", "diverged")


@dataclass
class Outcome:
    """How a launch ended; `statuses` and `reasons` are those of the plan's rows, by name."""

    folder: SweepFolder
    started: list[str]
    statuses: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False
    table: Path | None = None
    sheet: Path | None = None
    notes: list[str] = field(default_factory=list)

    def of(self, *statuses: str) -> list[str]:
        """The rows that ended in one of the given statuses."""
        return [name for name, status in self.statuses.items() if status in statuses]


def launch(
    plan: Plan, sweep: SweepFile, report: Report, *, extra: Sequence[str] = (), engine: Engine | None = None
) -> Outcome:
    """Do what the plan says is to be done, and write the sweep's table and contact sheet.

    Args:
        sweep: What the plan was made of; it is kept in the sweep's folder.
        report: ReportData of everything that happens, as it happens.
        extra: The overrides that the plan added to all rows.
        engine: Where packs run; None is what `engine.name` says.

    Raises:
        ConfigError: A row's folder holds something else, or the budget is too small; nothing was started.
        RunFolderError: The folder of results cannot be written to.
    """
    refuse(plan)
    prepare(plan, sweep, extra)
    packs = [
        Pack(tuple(plan.folder.run(name) for name in names), plan.row(names[0]).config.device)
        for names in plan.packs
    ]
    if plan.base.engine.rounds > 1:  # those that are behind come first
        packs.sort(key=lambda pack: next_round(_places(plan, pack.names), plan.base.engine.rounds))
    outcome = Outcome(plan.folder, [name for names in plan.packs for name in names] + plan.followers())
    elsewhere = _elsewhere(plan, sweep)
    packs += [Pack(tuple(runs), plan.base.device) for runs in [external.unrendered(elsewhere)] if runs]
    try:
        (engine or make_engine(plan.base.engine)).run(packs, report)
    except KeyboardInterrupt:
        outcome.interrupted = True
    _conclude(plan, outcome)
    for run in elsewhere:
        record = read_or_failed(run)
        outcome.statuses[run.name], outcome.reasons[run.name] = record.status, record.reason
    return outcome


def refuse(plan: Plan) -> None:
    """Refuse a plan that cannot be started.

    Raises:
        ConfigError: A row's folder holds something else, or the budget is too small.
    """
    if plan.conflicts:
        raise ConfigError("\n".join(f"row {row.name!r}: {row.reason}" for row in plan.conflicts))
    if plan.over_budget:
        raise ConfigError("\n".join(plan.over_budget))


def _places(plan: Plan, names: Sequence[str]) -> Iterator[tuple[SaveSchedule, int]]:
    """When each of the runs saves, and the updates that its states hold."""
    for name in names:
        states = plan.folder.run(name).saved_states() or [0]
        yield SaveSchedule.of(plan.row(name).resolved), states[-1]


def _elsewhere(plan: Plan, sweep: SweepFile) -> list[RunFolder]:
    """The runs of LoRAs that were trained elsewhere; with the previews that the rows have now."""
    like = plan.rows[0].config if plan.rows else plan.base
    return external.of_sweep(
        plan.folder, sweep.external, like, external.shown_by(plan.rows, sweep), plan.retry
    )


def prepare(plan: Plan, sweep: SweepFile, extra: Sequence[str] = ()) -> None:
    """Write the run folders that the plan needs, and what was decided; starts nothing.

    Raises:
        RunFolderError: The folder of results cannot be written to.
    """
    _clean_up(plan)
    numbers, source = places(plan, sweep), source_of(sweep, plan.folder)
    for row in plan.rows:
        if row.aside:
            set_aside(plan.folder, row.name)
        run = plan.folder.run(row.name)
        if row.to_do or row.same_as:
            adopters = plan.followers(row.name) if row.to_do else []
            _write_run(run, row, adopters, (numbers[row.name], sweep.question, source))
        elif row.status in ENDED and not is_locked(run):
            _bring_up_to_date(run, row, (numbers[row.name], sweep.question, source))
    write_launched(plan.folder, as_launched(plan, sweep, extra), whole_plan(plan))


def _clean_up(plan: Plan) -> None:
    """Remove what processes that were killed had half written, in the sweep's folder and in the caches."""
    busy = {run.path for row in plan.rows if is_locked(run := plan.folder.run(row.name))}
    remove_leftovers(plan.folder.path, busy)
    for cache in {row.config.cache for row in plan.rows}:
        remove_leftovers(Path(cache).expanduser())


Belonging = tuple[int, str, str]
"""Where a run belongs: its number among the sweep's rows, the sweep's question, and the sweep file."""


def _write_run(run: RunFolder, row: PlannedRun, adopters: list[str], of: Belonging) -> None:
    """The job and its record; that of the same experiment is kept, and the worker sees what is left."""
    record = read_or_failed(run)
    if row.same_as or record.same_as or record.fingerprint != row.fingerprint:
        record = RunRecord()
        forget_steps(run)
    run.stop_request.unlink(missing_ok=True)
    record.status, record.reason = "planned", row.reason if row.same_as else ""
    record.fingerprint = row.fingerprint
    # What earlier previews were made with stays: the worker sees by it that they have to be made again.
    record.preview_fingerprint = record.preview_fingerprint or row.preview_fingerprint
    record.same_as, record.notes = row.same_as, list(row.notes)
    record.prefix_of, record.adopters = row.prefix_of, adopters
    record.images, record.total_steps = row.images, row.total_steps
    record.updates_per_epoch = row.updates_per_epoch
    _tell(record, row, of)
    # The job first: a folder with a job and no record is a planned run, a record without a job is nothing.
    config.dump(row.config, run.config_file)
    write_record(run, record)


def _bring_up_to_date(run: RunFolder, row: PlannedRun, of: Belonging) -> None:
    """Tell the record of a run that stays as it is what this plan knows of it, where that is new."""
    record = read_or_failed(run)
    if record.fingerprint != row.fingerprint:
        return
    before = replace(record)
    _tell(record, row, of)
    if record != before:
        write_record(run, record)


def _tell(record: RunRecord, row: PlannedRun, of: Belonging) -> None:
    """Enter what a reader of results needs, so that nobody needs the plan."""
    number, question, source = of
    record.overrides = [f"{key}={value_text(value)}" for key, (_, value) in row.changes.items()]
    record.composed = list(row.overrides)
    record.resolved = row.resolved.to_plain()
    record.place = number
    record.question, record.source = question or record.question, source or record.source


def _fail_with(run: RunFolder, record: RunRecord, leader: RunRecord, name: str) -> None:
    """Let a run end as the longer one did whose worker was lost with both."""
    if record.status not in ENDED and leader.status in UNSUCCESSFUL and not is_locked(run):
        record.status, record.reason = leader.status, f"with {name}, whose weights it takes: {leader.reason}"
        write_record(run, record)


def _conclude(plan: Plan, outcome: Outcome) -> None:
    """Read how every row ended, and write what is derived from all of them."""
    _clean_up(plan)
    records = {row.name: read_or_failed(plan.folder.run(row.name)) for row in plan.rows}
    for row in plan.rows:
        if row.follows:
            _fail_with(plan.folder.run(row.name), records[row.name], records[row.prefix_of], row.prefix_of)
    for row in plan.rows:
        record = records[row.same_as or row.name]
        outcome.statuses[row.name], outcome.reasons[row.name] = record.status, record.reason
        if row.same_as:
            own = records[row.name]
            own.status = record.status
            write_record(plan.folder.run(row.name), own)
    try:
        outcome.table = plan.folder.path / TABLE
        results.write(results.rows(plan.folder), outcome.table)
    except LoraLabError as error:
        outcome.table = None
        outcome.notes.append(str(error))
    try:
        # Needs PIL, which a command that only plans does not have to wait for.
        from lora_lab.contact_sheets import sweep_sheet

        outcome.sheet = sweep_sheet(plan.folder)
    except Exception as error:
        outcome.notes.append(f"the contact sheet could not be drawn: {error}")
