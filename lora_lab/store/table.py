"""The table of a sweep, derived from its run folders: one row per checkpoint.

Columns, in this order: `run`, `status`, `reason`, where the checkpoint stands (`tag`, `epoch`, `step`,
`samples`, `exposures` per image), the settings as dotted keys, what people gave (`score`, the mean over
raters, put on one scale as in the verdict; `score_n`, judgements; `raters`, how many; `score_replaced`, how
many of them are of images that others have replaced since; where there are any), `loss`,
`validation_loss` and `validation_loss.200` (on held-back images, by timestep; where there are any),
`metric.*` (means over the checkpoint's previews), `flags`, timings (`train_seconds` up to the checkpoint,
`run_seconds.*` of the whole run by phase), `same_as`, `prefix_of` (the longer run whose weights on the way
are this one's), `file`. A run without checkpoints has one row. A row that is another run's experiment carries
that run's numbers and scores.
`frame(rows(SweepFolder(path)))` is all of it as a pandas DataFrame.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_lab import config
from lora_lab.errors import ConfigError, RunFolderError
from lora_lab.files import finite, replacing, write_text
from lora_lab.store.comparable import comparable_scores, ratings
from lora_lab.store.layout import SweepFolder
from lora_lab.store.reading import EXTERNAL, Run, Sweep, read_sweep_folder
from lora_lab.store.record import PHASES, Checkpoint, RunRecord
from lora_lab.store.replaced import replaced_note, replaced_scores
from lora_lab.store.scores import Place, only_of
from lora_lab.words import Said

if TYPE_CHECKING:
    import pandas

Row = dict[str, Any]

HEAD = ("run", "status", "reason", "tag", "epoch", "step", "samples", "exposures")
FILE_GONE = "its LoRA file is gone"
SCORES = ("score", "score_n", "raters")
REPLACED = "score_replaced"
TIMINGS = ("train_seconds", *(f"run_seconds.{phase}" for phase in PHASES), "run_seconds.wall")
# Where a run lies is no setting of the experiment.
PLACE = ("name", "sweep", "results", "cache")

SETTINGS = "settings"
"""What stands over the settings in a terminal's table."""
HEADINGS = {"train s": "train_seconds"}
"""Headings there that are no column's name."""


def rows(
    sweep: SweepFolder,
    *,
    all_settings: bool = False,
    timings: bool = True,
    raters: Sequence[str] | None = None,
) -> list[Row]:
    """One row per checkpoint, in the order of the plan; every row has the same columns in the same order.

    Args:
        sweep: The sweep's folder.
        all_settings: Every setting as a column; else only those that differ within the sweep.
        timings: With the columns of `TIMINGS`.
        raters: Whose scores count; None is everybody's.

    Raises:
        RunFolderError: The folder holds no runs, or nobody is called like that.
    """
    read = read_sweep_folder(sweep.path)
    columns = differing((run.settings for run in read.runs.values()), all_settings)
    scores = _scores(read, raters)
    found = []
    for run in read.runs.values():
        for row in _rows_of(run):
            row.update({key: run.settings.get(key) for key in columns})
            row.update(scores.get((run.worker.name, row.get("tag", "")), {}))
            found.append(row)
    return _even(found, columns, timings)


def _scores(sweep: Sweep, raters: Sequence[str] | None) -> dict[Place, Row]:
    """The columns of `SCORES` by checkpoint."""
    log = only_of(sweep.scores(), raters, sweep.folder)
    found, old = ratings(log, sweep.twins), replaced_scores(sweep, log)
    columns: dict[Place, Row] = {
        place: dict(zip(SCORES, (round(item.value, 4), item.count, len(item.raters)), strict=True))
        for place, item in found.items()
    }
    for place, count in old.items():
        columns.setdefault(place, {})[REPLACED] = count
    return columns


def score_notes(sweep: SweepFolder, raters: Sequence[str] | None = None) -> list[Said]:
    """What is to be known of the scores in the table: which are left out, and which are of other images.

    Raises:
        RunFolderError: The folder holds no runs, or nobody is called like that.
    """
    read = read_sweep_folder(sweep.path)
    log = only_of(read.scores(), raters, read.folder)
    return [*comparable_scores(log.scores)[1], *replaced_note(replaced_scores(read, log), log)]


def differing(settings: Iterable[Row], all_settings: bool = False) -> list[str]:
    """The settings that differ among runs, in the order of declaration; or all of them."""
    # What is not known of a LoRA that was trained elsewhere is no difference.
    known = [row for row in settings if row and EXTERNAL not in row]
    keys = dict.fromkeys(key for row in known for key in row)
    # Arguments of different optimizers stand together, under their dictionary.
    declared = {key: number for number, key in enumerate(config.settings())}
    place = {key: (declared.get(key, declared.get(key.rsplit(".", 1)[0], 0)), key) for key in keys}
    return [
        key
        for key in sorted(keys, key=place.__getitem__)
        if key not in PLACE and (all_settings or any(row.get(key) != known[0].get(key) for row in known))
    ]


def _rows_of(run: Run) -> list[Row]:
    """The rows of a run without its settings; its numbers are those of the run that did the work."""
    work = run.work
    common = {
        "run": run.name,
        "status": run.status,
        "reason": run.reason or run.problem,
        "same_as": run.same_as or None,
        "prefix_of": run.worker.prefix_of or None,
        **{f"run_seconds.{phase}": work.seconds.get(phase) for phase in PHASES},
        "run_seconds.wall": work.wall_seconds or None,
    }
    if not run.checkpoints:
        where = {"epoch": None, "step": work.step or None, "samples": work.samples or None}
        seen = exposures(work.samples - work.reg_samples, work)
        return [{**common, **where, "exposures": seen}]
    return [{**common, **_checkpoint(item, run.worker)} for item in run.checkpoints]


def _checkpoint(item: Checkpoint, worker: Run) -> Row:
    return {
        "tag": item.tag,
        "epoch": item.epoch,
        "step": item.step,
        "samples": item.samples,
        "exposures": exposures(item.samples - item.reg_samples, worker.record),
        "loss": item.loss,
        **_validation(item),
        **{f"metric.{name}": value for name, value in means(item).items()},
        "flags": ", ".join([*flags(item), *([FILE_GONE] if worker.lacks(item) else [])]) or None,
        "train_seconds": item.seconds,
        "file": f"{worker.name}/{item.file}",
    }


def _validation(item: Checkpoint) -> Row:
    """The loss on held-back images, mean and by timestep; nothing where it was not measured."""
    if item.validation_loss is None and not item.validation:
        return {}
    each = {f"validation_loss.{timestep}": loss for timestep, loss in item.validation.items()}
    return {"validation_loss": item.validation_loss, **each}


def exposures(samples: int, record: RunRecord) -> float | None:
    """How often each training image was seen, on average; regularisation images do not count."""
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
    tail = (
        *SCORES,
        *([REPLACED] if REPLACED in keys else ()),
        "loss",
        *validation,
        *metrics,
        "flags",
        *(TIMINGS if timings else ()),
        "same_as",
        "prefix_of",
        "file",
    )
    return [{key: finite(row.get(key)) for key in (*HEAD, *columns, *tail)} for row in found]


def _by_timestep(key: str) -> int:
    return int(key.rpartition(".")[2]) if "." in key else -1


def picked(table: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The table with the columns of these names only, in this order; the last part of a name will do, and so
    do the headings of the table in a terminal (`SETTINGS` is all columns of settings).

    Raises:
        ConfigError: There is no such column, or more than one has that last part; the known ones are named.
    """
    keys: list[str] = []
    for name in names:
        keys += setting_columns(table) if name == SETTINGS else [_column(table, HEADINGS.get(name, name))]
    return [{key: row[key] for key in keys} for row in table]


def sorted_by(table: Sequence[Row], name: str, *, reverse: bool = False) -> list[Row]:
    """The table by a column: numbers before texts, from small to large; rows without a value are always last.

    Raises:
        ConfigError: There is no such column, or more than one has that last part.
    """
    key = _column(table, name)
    there = [row for row in table if row[key] is not None]
    ordered = sorted(there, key=lambda row: _rank(row[key]), reverse=reverse)
    return ordered + [row for row in table if row[key] is None]


def _rank(value: Any) -> tuple[int, float, str]:
    return (0, float(value), "") if isinstance(value, (int, float)) else (1, 0.0, str(value))


def _column(table: Sequence[Row], name: str) -> str:
    known = list(table[0]) if table else []
    found = [key for key in known if key == name] or [key for key in known if key.rsplit(".", 1)[-1] == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"column {name!r} may be {' or '.join(found)}: give the whole name")
    raise ConfigError(f"there is no column {name!r}{config.nearest(name, known)}; known: {', '.join(known)}")


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
