"""The table of a sweep, derived from its run folders: one row per checkpoint.

Columns, in this order: `run`, `status`, `reason`, where the checkpoint stands (`tag`, `epoch`, `step`,
`samples`, `exposures` per picture), the settings as dotted keys, what people gave (`score`, the mean over
raters; `score_n`, judgements; `raters`, how many), `loss`, `validation_loss` and `validation_loss.200` (on
held-back pictures, by timestep; where there are any), `metric.*` (means over the checkpoint's previews),
`flags`, timings (`train_seconds` up to the checkpoint, `run_seconds.*` of the whole run by phase), `same_as`,
`file`. A run without checkpoints has one row. A row that is another run's experiment carries that run's
numbers and scores. `frame(rows(SweepFolder(path)))` is all of it as a pandas DataFrame.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_lab import config
from lora_lab.errors import LoraLabError, RunFolderError
from lora_lab.files import finite, replacing, write_text
from lora_lab.store.layout import RunFolder, SweepFolder
from lora_lab.store.locks import is_locked
from lora_lab.store.record import PHASES, Checkpoint, RunRecord, read_record
from lora_lab.store.scores import Place, ratings, read_scores

if TYPE_CHECKING:
    import pandas

Row = dict[str, Any]

HEAD = ("run", "status", "reason", "tag", "epoch", "step", "samples", "exposures")
SCORES = ("score", "score_n", "raters")
TIMINGS = ("train_seconds", *(f"run_seconds.{phase}" for phase in PHASES), "run_seconds.wall")
GONE = "its worker is gone; the same command goes on from the last saved state"
# Where a run lies is no setting of the experiment.
PLACE = ("name", "sweep", "results", "cache")


def rows(sweep: SweepFolder, *, all_settings: bool = False, timings: bool = True) -> list[Row]:
    """One row per checkpoint, in the order of the plan; every row has the same columns in the same order.

    Args:
        sweep: The sweep's folder.
        all_settings: Every setting as a column; else only those that differ within the sweep.
        timings: With the columns of `TIMINGS`.

    Raises:
        RunFolderError: The folder holds no runs.
    """
    runs = ordered_runs(sweep)
    if not runs:
        raise RunFolderError(
            f"{sweep.path} holds no runs: give a sweep's folder, such as results/demo, or its sweep file"
        )
    records = {run.name: state(run) for run in runs}
    settings = {run.name: settings_of(run) for run in runs}
    columns = differing(settings.values(), all_settings)
    scores = _scores(sweep, records)
    found = []
    for run in runs:
        record = records[run.name]
        origin = record.same_as if record.same_as in records else run.name
        for row in _rows_of(run, sweep.run(origin), record, records[origin]):
            row.update({key: settings[run.name].get(key) for key in columns})
            row.update(scores.get((origin, row.get("tag", "")), {}))
            found.append(row)
    return _even(found, columns, timings)


def ordered_runs(sweep: SweepFolder) -> list[RunFolder]:
    """The run folders that exist, in the plan's order; those it does not name follow by name."""
    try:
        plan = json.loads(sweep.plan_file.read_text(encoding="utf-8"))
        names = [row["name"] for row in plan["rows"]]
    except (OSError, ValueError, KeyError, TypeError):
        names = []
    place = {name: number for number, name in enumerate(names)}
    return sorted(sweep.runs(), key=lambda run: (place.get(run.name, len(place)), run.name))


def state(run: RunFolder) -> RunRecord:
    """The record as it is to be understood now; a damaged one is a failed run, not the end of the table."""
    try:
        record = read_record(run)
    except RunFolderError as error:
        return RunRecord(status="failed", reason=str(error))
    return as_of_now(run, record)


def as_of_now(run: RunFolder, record: RunRecord) -> RunRecord:
    """The record, where a run that says it is running and has no worker is a cancelled one."""
    if record.status == "running" and not is_locked(run):
        return replace(record, status="cancelled", reason=GONE)
    return record


def _scores(sweep: SweepFolder, records: Mapping[str, RunRecord]) -> dict[Place, Row]:
    """The columns of `SCORES` by checkpoint."""
    same_as = {name: item.same_as for name, item in records.items() if item.same_as in records}
    found = ratings(read_scores(sweep), same_as)
    return {
        place: dict(zip(SCORES, (round(item.value, 4), item.count, len(item.raters)), strict=True))
        for place, item in found.items()
    }


def settings_of(run: RunFolder) -> Row:
    """A run's settings; none where its config cannot be read."""
    try:
        return settings_in(config.load_plain(run.config_file))
    except LoraLabError:
        return {}


def settings_in(made: config.RunConfig) -> Row:
    """A config's settings; dictionaries such as `optimizer.args` have a key per argument."""
    found: Row = {}
    for key, value in config.flat(made).items():
        if isinstance(value, dict):
            found.update({f"{key}.{name}": item for name, item in value.items()})
        else:
            found[key] = value
    return found


def differing(settings: Iterable[Row], all_settings: bool = False) -> list[str]:
    """The settings that differ among runs, in the order of declaration; or all of them."""
    known = [row for row in settings if row]
    keys = dict.fromkeys(key for row in known for key in row)
    # Arguments of different optimizers stand together, under their dictionary.
    declared = {key: number for number, key in enumerate(config.settings())}
    place = {key: (declared.get(key, declared.get(key.rsplit(".", 1)[0], 0)), key) for key in keys}
    return [
        key
        for key in sorted(keys, key=place.__getitem__)
        if key not in PLACE and (all_settings or any(row.get(key) != known[0].get(key) for row in known))
    ]


def _rows_of(run: RunFolder, origin: RunFolder, record: RunRecord, numbers: RunRecord) -> list[Row]:
    """The rows of a run without its settings; `numbers` is the record of `origin`, which did the work."""
    common = {
        "run": run.name,
        "status": numbers.status,
        "reason": numbers.reason,
        "same_as": record.same_as or None,
        **{f"run_seconds.{phase}": numbers.seconds.get(phase) for phase in PHASES},
        "run_seconds.wall": numbers.wall_seconds or None,
    }
    if not numbers.checkpoints:
        where = {"epoch": None, "step": numbers.step or None, "samples": numbers.samples or None}
        seen = _exposures(numbers.samples - numbers.reg_samples, numbers)
        return [{**common, **where, "exposures": seen, "loss": numbers.loss}]
    return [{**common, **_checkpoint(item, origin, numbers)} for item in numbers.checkpoints]


def _checkpoint(item: Checkpoint, origin: RunFolder, record: RunRecord) -> Row:
    return {
        "tag": item.tag,
        "epoch": item.epoch,
        "step": item.step,
        "samples": item.samples,
        "exposures": _exposures(item.samples - item.reg_samples, record),
        "loss": item.loss,
        **_validation(item),
        **{f"metric.{name}": value for name, value in means(item).items()},
        "flags": ", ".join(flags(item)) or None,
        "train_seconds": item.seconds,
        "file": f"{origin.name}/{item.file}",
    }


def _validation(item: Checkpoint) -> Row:
    """The loss on held-back pictures, mean and by timestep; nothing where it was not measured."""
    if item.validation_loss is None and not item.validation:
        return {}
    each = {f"validation_loss.{timestep}": loss for timestep, loss in item.validation.items()}
    return {"validation_loss": item.validation_loss, **each}


def _exposures(samples: int, record: RunRecord) -> float | None:
    """How often each training picture was seen, on average; regularisation pictures do not count."""
    return round(samples / record.images, 4) if record.images and samples else None


def means(checkpoint: Checkpoint) -> dict[str, float | None]:
    """The checkpoint's numbers; what only its previews have is the mean over those that have it."""
    names = sorted({name for item in checkpoint.previews for name in item.metrics} | set(checkpoint.metrics))
    return {name: _mean_of(checkpoint, name) for name in names}


def _mean_of(checkpoint: Checkpoint, name: str) -> float | None:
    if name in checkpoint.metrics:
        return checkpoint.metrics[name]
    values = [item.metrics.get(name) for item in checkpoint.previews]
    numbers = [value for value in values if value is not None]
    return round(sum(numbers) / len(numbers), 6) if numbers else None


def flags(checkpoint: Checkpoint) -> list[str]:
    """What was noticed of the checkpoint or of any of its previews, each once."""
    return list(
        dict.fromkeys([*checkpoint.flags, *(flag for item in checkpoint.previews for flag in item.flags)])
    )


def _even(found: list[Row], columns: Sequence[str], timings: bool) -> list[Row]:
    """All rows with the same keys in the documented order."""
    keys = {key for row in found for key in row} - set(columns)
    metrics = sorted(key for key in keys if key.startswith("metric."))
    validation = sorted((key for key in keys if key.startswith("validation_loss")), key=_by_timestep)
    tail = (*SCORES, "loss", *validation, *metrics, "flags", *(TIMINGS if timings else ()), "same_as", "file")
    return [{key: finite(row.get(key)) for key in (*HEAD, *columns, *tail)} for row in found]


def _by_timestep(key: str) -> int:
    return int(key.rpartition(".")[2]) if "." in key else -1


def setting_columns(table: Sequence[Row]) -> list[str]:
    """Which columns of a table are settings."""
    known = config.settings()
    inside = tuple(f"{key}." for key, setting in known.items() if isinstance(setting.default, dict))
    return [key for key in (table[0] if table else ()) if key in known or key.startswith(inside)]


def to_csv(table: Sequence[Row]) -> str:
    """The table as CSV; an unset setting is 'null', a missing number is empty.

    pandas reads it back unchanged in text with `keep_default_na=False`.
    """
    if not table:
        return ""
    settings = set(setting_columns(table))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table[0])
    for row in table:
        writer.writerow([_cell(value, "null" if key in settings else "") for key, value in row.items()])
    return out.getvalue()


def _cell(value: Any, missing: str) -> Any:
    if value is None:
        return missing
    if isinstance(value, (bool, list, dict)):
        return json.dumps(value, ensure_ascii=False)
    return value


def to_json(table: Sequence[Row]) -> str:
    """The table as a JSON list of objects."""
    return json.dumps(list(table), indent=1, ensure_ascii=False) + "\n"


def frame(table: Sequence[Row]) -> pandas.DataFrame:
    """The table as a pandas frame; lists are text, as in the CSV."""
    import pandas

    plain = [
        {key: _cell(value, "") if isinstance(value, (list, dict)) else value for key, value in row.items()}
        for row in table
    ]
    return pandas.DataFrame(plain, columns=list(table[0]) if table else None)


def write(table: Sequence[Row], path: Path) -> None:
    """Write the table as CSV, JSON or Parquet, after the file's extension.

    Raises:
        RunFolderError: The extension is another one, pyarrow is missing, or the file cannot be written.
    """
    match path.suffix.lower():
        case ".csv":
            write_text(path, to_csv(table))
        case ".json":
            write_text(path, to_json(table))
        case ".parquet":
            _write_parquet(table, path)
        case other:
            raise RunFolderError(
                f"cannot write a table as {other or path.name!r}: name it .csv, .json or .parquet"
            )


def _write_parquet(table: Sequence[Row], path: Path) -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise RunFolderError(
            f"writing {path} needs pyarrow: pip install 'lora-lab[parquet]', or write a .csv or .json file"
        ) from None
    data = frame(table)
    for key in data.columns:
        # A Parquet column has one type; a setting such as 512 and '512x768' becomes text.
        kinds = {type(value) for value in data[key] if value is not None and value == value}
        if len(kinds - {int, float}) and len(kinds) > 1:
            data[key] = [None if value is None or value != value else str(value) for value in data[key]]
    with replacing(path) as temporary:
        data.to_parquet(temporary, index=False)
