"""Scores from a table: a CSV file with a row per run, in place of a sweep's folder or for its runs.

Columns: `run` (or `pattern`, `name`) names the run; `score` from 0 to 100, empty where there is none; a text
such as `<90` is kept as a remark. Others that are known: `rater` and `tag` (several rows of a run are then
its raters or checkpoints), `status`, `note`, `minutes`, `memory_gb`, `size_mb`, `seed`. Every
other column is a setting: a dotted key (`network.network_alpha`), its last part, or its label (`alpha`); an
unknown name is a setting of its own. An empty cell of a setting means that it is not known.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lora_lab import config
from lora_lab.axes import axis
from lora_lab.counts import whole_number
from lora_lab.effective import Facts, Inert, resolve
from lora_lab.errors import DataError
from lora_lab.store import Score, ScoreLog
from lora_lab.store.normal_names import find_tag, rater_key, rater_name
from lora_lab.verdict.acting import SEED
from lora_lab.verdict.evidence import (
    SCORE,
    CheckpointEvidence,
    Evidence,
    RunEvidence,
    grouped,
    judged,
)
from lora_lab.verdict.raters import Combined, combine
from lora_lab.verdict.table_file import LINE, Row, read_cells
from lora_lab.words import said

NAMES = ("run", "pattern", "name")
KNOWN = ("score", "rater", "tag", "status", "note", "minutes", "memory_gb", "size_mb", "seed")
"""Columns that are no settings, beside the run's name."""
ONE_RATER = "the table"
"""Who gave the scores of a table without a column `rater`."""
ANY_LENGTH = 10
"""Epochs where a table does not say how long runs were; what acts must be decided all the same."""
ONLY = "final"
"""The tag of a run's checkpoint in a table without a column `tag`."""


@dataclass(frozen=True)
class ScoreTable:
    """A table as read: its rows by run, and which column is which setting."""

    path: Path
    runs: dict[str, list[Row]]
    settings: dict[str, str]
    notes: tuple[str, ...]


def read_score_table(path: Path, *, raters: Sequence[str] | None = None, score: str = "last") -> Evidence:
    """The evidence of a table alone: settings, scores and costs are what it says.

    Rows with the same settings are one experiment unless their `seed` differs.

    Raises:
        DataError: The file cannot be read, has no column of names or scores, or a score is wrong.
        RunFolderError: No run has the checkpoint.
    """
    table = _read(path)
    _refuse_contradictions(table)
    table = replace(table, runs={name: _one_spelling(rows) for name, rows in table.runs.items()})
    combined = combine(_log(table, raters), {})
    runs = [_run(name, rows, table, combined) for name, rows in table.runs.items()]
    found = Evidence(
        path.stem, "", SCORE, score, _experiments(runs), combined.raters, (), (*table.notes, *combined.notes)
    )
    return judged(found)


def with_score_table(evidence: Evidence, path: Path, raters: Sequence[str] | None = None) -> Evidence:
    """A sweep's evidence with the scores of a table in place of its own.

    A row without a tag scores the run's last checkpoint. Columns of settings are not looked at.

    Raises:
        DataError: The file cannot be used, or names a run or checkpoint that the sweep has not.
    """
    table = _read(path)
    table = replace(table, runs=_present_names(evidence, table.runs))
    last = {run.name: run.checkpoints[-1].tag for run in evidence.runs if run.checkpoints}
    unknown = [name for name in table.runs if name not in {run.name for run in evidence.runs}]
    if unknown:
        hint = config.nearest(unknown[0], [run.name for run in evidence.runs])
        raise DataError(f"{path}: {evidence.name} has no run {unknown[0]!r}{hint}")
    tags = {run.name: [item.tag for item in run.checkpoints] for run in evidence.runs}
    table = replace(table, runs={name: _tagged(table, rows, tags[name]) for name, rows in table.runs.items()})
    log = _log(table, raters)
    log = replace(log, scores=[replace(item, tag=_tag(item, last)) for item in log.scores])
    combined = combine(log, {run.name: run.same_as for run in evidence.runs if run.same_as})
    runs = tuple(
        replace(run, checkpoints=tuple(_scored(run, item, combined) for item in run.checkpoints))
        for run in evidence.runs
    )
    changed = replace(
        evidence, folder="", runs=runs, raters=combined.raters, notes=(*evidence.notes, *combined.notes)
    )
    return judged(replace(changed, criterion=SCORE))


def _present_names(evidence: Evidence, rows: Mapping[str, list[Row]]) -> dict[str, list[Row]]:
    """The rows by the present names of runs: a table may have the names under which they were trained."""
    names = {run.name: run.name for run in evidence.runs}
    # Of copies of one folder, the one that kept its name is meant.
    for run in sorted(evidence.runs, key=lambda run: run.name == run.known_as):
        names[run.known_as or run.name] = run.name
    found: dict[str, list[Row]] = defaultdict(list)
    for name, own in rows.items():
        found[names.get(name, name)] += own
    return dict(found)


def _one_spelling(rows: Sequence[Row]) -> list[Row]:
    """The rows of a run of a table alone, each checkpoint's tag as it was spelt first."""
    found: list[Row] = []
    for row in rows:
        known = [item["tag"] for item in found if item.get("tag")]
        tag = find_tag(row["tag"], known) if row.get("tag") else None
        found.append({**row, "tag": tag} if tag is not None else row)
    return found


def _tagged(table: ScoreTable, rows: Sequence[Row], tags: Sequence[str]) -> list[Row]:
    """The rows of a run with the tags that they mean: 20 is 000020.

    Raises:
        DataError: A row names a checkpoint that the run has not.
    """
    found: list[Row] = []
    for row in rows:
        asked = row.get("tag", "")
        tag = find_tag(asked, tags) if asked else ""
        if tag is None:
            raise DataError(
                f"{table.path}, line {row[LINE]}: the run has no checkpoint {asked!r}; it has "
                f"{', '.join(tags) or 'none'}"
            )
        found.append({**row, "tag": tag})
    return found


def _tag(item: Score, last: Mapping[str, str]) -> str:
    return last.get(item.run, item.tag) if item.tag == ONLY else item.tag


def _scored(run: RunEvidence, item: CheckpointEvidence, combined: Combined) -> CheckpointEvidence:
    given = combined.places.get((run.same_as or run.name, item.tag))
    if given is None:
        return replace(item, human=None, judgements=0, raters={}, said=(), scale="")
    return replace(
        item,
        human=given.value,
        judgements=given.count,
        raters=given.raters,
        said=given.said,
        scale=given.scale,
    )


def _read(path: Path) -> ScoreTable:
    rows = read_cells(path)
    columns = [column for column in rows[0] if column != LINE] if rows else []
    name = next((column for column in NAMES if column in columns), None)
    if name is None or "score" not in columns:
        raise DataError(
            f"{path} is no table of scores: it needs a column run (or pattern) and a column score, and has "
            f"{', '.join(columns) or 'no rows'}"
        )
    runs: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if not row[name]:
            raise DataError(f"{path}, line {row[LINE]}: the column {name} is empty")
        runs[row[name]].append(row)
    keys = {column: _key(column) for column in columns if column != name and column not in KNOWN}
    by_key: dict[str, str] = {}
    for column, key in keys.items():
        if by_key.setdefault(key, column) != column:
            raise DataError(f"{path}: the columns {by_key[key]} and {column} are one setting, {key}")
    own = [column for column, key in keys.items() if key not in config.settings()]
    note = said("note_columns", columns=", ".join(own))
    return ScoreTable(path, dict(runs), keys, (note,) if own else ())


def _refuse_contradictions(table: ScoreTable) -> None:
    """Refuse two values of a setting of one run, and a seed that is no whole number: the first row of a run
    says its settings."""
    known = {column: key for column, key in table.settings.items() if key in config.settings()}
    for name, rows in table.runs.items():
        first = rows[0]
        for row, (column, key) in ((row, item) for row in rows for item in (*known.items(), ("seed", SEED))):
            one, other = first.get(column, ""), row.get(column, "")
            if one and other and config.parse_value(key, one) != config.parse_value(key, other):
                raise DataError(
                    f"{table.path}, line {row[LINE]}: run {name} has {column} {other} here and {one} in line "
                    f"{first[LINE]}; give a run of other settings another name"
                )
        if first.get("seed") and config.whole(first["seed"]) is None:
            raise DataError(
                f"{table.path}, line {first[LINE]}: seed must be a whole number, got {first['seed']!r}"
            )


def _key(column: str) -> str:
    """The setting that a column means: its key, the last part of it, or its label."""
    known = config.settings()
    if column in known:
        return column
    words = column.lower().replace("_", " ")
    meant = [
        key for key in known if words in (key.rsplit(".", 1)[-1].replace("_", " "), axis(key).label.lower())
    ]
    return meant[0] if len(meant) == 1 else column


def _log(table: ScoreTable, raters: Sequence[str] | None) -> ScoreLog:
    log = ScoreLog()
    position = 0
    for name, rows in table.runs.items():
        for row in rows:
            rater, value = _rater(row, table, log), _number(row["score"], table, name)
            if value is None or (raters is not None and rater_key(rater) not in map(rater_key, raters)):
                continue
            log.scores.append(
                Score(
                    id=str(position),
                    session="",
                    rater=rater,
                    run=name,
                    tag=row.get("tag") or ONLY,
                    position=position,
                    value=value,
                    note=row.get("note", ""),
                )
            )
            position += 1
    if raters is not None and not log.scores:
        raise DataError(f"{table.path} has no scores of {', '.join(raters)}")
    return log


def _rater(row: Row, table: ScoreTable, log: ScoreLog) -> str:
    """Who gave a row's score, as spelt first."""
    try:
        return rater_name(row.get("rater") or ONE_RATER, (item.rater for item in log.scores))
    except ValueError as error:
        raise DataError(f"{table.path}, line {row[LINE]}: rater: {error}") from None


_BOUND = re.compile(r"[<>]=?\s*[0-9]+(\.[0-9]*)?")


def _plain(text: str) -> float:
    """The number that a cell holds; 1_0 is Python's way to write 10, and nobody else's.

    Raises:
        ValueError: It is none.
    """
    if "_" in text:
        raise ValueError(text)
    return float(text)


def _number(text: str, table: ScoreTable, name: str) -> float | None:
    """A score; None where the cell is empty or says no more than a bound."""
    if not text or _BOUND.fullmatch(text):
        return None
    try:
        value = _plain(text)
    except ValueError:
        raise DataError(
            f"{table.path}, run {name}: score must be a number from 0 to 100, got {text!r}; leave it empty "
            "where there is none, or write a bound such as <90"
        ) from None
    if not 0 <= value <= 100:
        raise DataError(f"{table.path}, run {name}: score must be from 0 to 100, got {text}")
    return value


def _run(name: str, rows: Sequence[Row], table: ScoreTable, combined: Combined) -> RunEvidence:
    first = rows[0]
    status = first.get("status") or "done"
    bounds = [row["score"] for row in rows if _BOUND.fullmatch(row["score"])]
    remarks = [row.get("note", "") for row in rows if row.get("note")]
    settings, unknown, inert = _settings(first, table)
    tags = dict.fromkeys(row.get("tag") or ONLY for row in rows)
    checkpoints = tuple(_checkpoint(tag, first, table, combined, name) for tag in tags)
    reason = "; ".join(dict.fromkeys(remarks))
    if bounds and not any(item.human is not None for item in checkpoints):
        status, reason = "done", said("missing_bound", bound=bounds[0])
    return RunEvidence(
        name=name,
        status=status,
        reason=reason,
        settings=settings,
        unknown=unknown,
        seed=config.whole(first.get("seed", "")),
        inert=inert,
        checkpoints=checkpoints if status == "done" else (),
        usable=status == "done",
        train_minutes=_cost(first, "minutes", table),
        peak_memory_bytes=_bytes(first, "memory_gb", table, 1e9),
        file_bytes=_bytes(first, "size_mb", table, 1e6),
    )


def _checkpoint(tag: str, row: Row, table: ScoreTable, combined: Combined, name: str) -> CheckpointEvidence:
    given = combined.places.get((name, tag))
    return CheckpointEvidence(
        tag=tag,
        epoch=whole_number(tag),
        human=given.value if given else None,
        judgements=given.count if given else 0,
        raters=given.raters if given else {},
        minutes=_cost(row, "minutes", table),
        size_bytes=_bytes(row, "size_mb", table, 1e6),
        flags=("black",) if row.get("status") == "black" else (),
        said=given.said if given else (),
        scale=given.scale if given else "",
    )


def _settings(row: Row, table: ScoreTable) -> tuple[dict[str, Any], frozenset[str], tuple[Inert, ...]]:
    """What a row says of its settings: those that act, those that are not known, those that cannot act."""
    given = {
        key: config.parse_value(key, row[column])
        for column, key in table.settings.items()
        if row.get(column) and key != SEED
    }
    unknown = {key for column, key in table.settings.items() if not row.get(column) and key != SEED}
    made = config.RunConfig()
    for key, value in given.items():
        if key in config.settings():
            group, _, field = key.rpartition(".")
            setattr(getattr(made, group) if group else made, field, value)
    if made.train.max_train_epochs is None and made.train.max_train_steps is None:
        made.train.max_train_epochs = ANY_LENGTH
    found = None
    with suppress(Exception):
        # A table of another tool may hold values that mean nothing here; then all of them are taken to act.
        found = resolve(made, Facts(repeats=made.dataset.repeats))
    silent = dict(found.no_effect) if found else {}
    inert = tuple(Inert(key, silent[key]) for key in given if key in silent)
    settings = {key: value for key, value in given.items() if key not in silent}
    return settings, frozenset(unknown - set(silent)), inert


def _experiments(runs: Sequence[RunEvidence]) -> tuple[RunEvidence, ...]:
    """The runs, with those marked that are one experiment with an earlier one: same settings, same seed."""
    first: dict[str, str] = {}
    found = []
    for run in runs:
        key = repr((sorted(run.settings.items()), sorted(run.unknown), run.seed))
        origin = first.setdefault(key, run.name)
        found.append(replace(run, same_as=origin) if origin != run.name else run)
    return grouped(found)


def _cost(row: Row, column: str, table: ScoreTable) -> float | None:
    """What a row says of a cost; None where the cell is empty.

    Raises:
        DataError: It is no finite number of at least 0.
    """
    text = row.get(column, "")
    value = math.nan
    with suppress(ValueError):
        value = _plain(text or "nan")
    if text and not 0 <= value < math.inf:
        raise DataError(
            f"{table.path}, line {row[LINE]}: {column} must be a finite number of at least 0, got {text!r}; "
            "leave it empty where it is not known"
        )
    return value if text else None


def _bytes(row: Row, column: str, table: ScoreTable, unit: float) -> int | None:
    value = _cost(row, column, table)
    return None if value is None else round(value * unit)
