"""LoRAs that were trained elsewhere as runs of a sweep: rendered and scored like the others, never trained.

Such a run is a folder as any: the job of one of the sweep's own runs, so that base model, prompts, seeds and
strengths are theirs, copies of the files as its checkpoints, and a record that says where they are from.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lora_lab import config
from lora_lab.config import RunConfig
from lora_lab.effective.previews import wanted_shots
from lora_lab.errors import ConfigError
from lora_lab.files import replacing
from lora_lab.kohya.trained import BESIDE, Trained, trained
from lora_lab.lora_files import planned
from lora_lab.models.content_hash import file_hash
from lora_lab.models.identify import identify
from lora_lab.resolved import Resolved
from lora_lab.store import ENDED, Checkpoint, RunFolder, RunRecord, SweepFolder, read_or_failed, write_record
from lora_lab.store.layout import epoch_tag, lora_name, step_tag
from lora_lab.store.reading import Run, read_sweep_folder
from lora_lab.sweep.file import SweepFile
from lora_lab.sweep.run_names import as_name, run_problem
from lora_lab.sweep.status import previews_missing

if TYPE_CHECKING:
    from lora_lab.sweep.plan import PlannedRun

Source = tuple[str, Path]
"""The name that a run is to have, '' for that of its file; and the file or folder."""


@dataclass(frozen=True)
class ExternalRow:
    """A LoRA that was trained elsewhere, as a plan shows it; `to_render` are previews that it lacks."""

    name: str
    source: str
    trainer: str
    status: str
    checkpoints: int
    to_render: int


def shown_elsewhere(
    sweep: SweepFile, folder: SweepFolder, rows: Sequence[PlannedRun], retry: bool
) -> list[ExternalRow]:
    """The LoRAs of a plan that were trained elsewhere: those that its file names, and those added since.

    Raises:
        ConfigError: As `planned_rows`.
        ModelError: As `planned_rows`.
    """
    own = set(sweep.order) | {row.name for row in rows}
    if not rows or not (sweep.external or any(run.name not in own for run in folder.runs())):
        return []
    return planned_rows(folder, sweep.external, rows[0].resolved, shown_by(rows, sweep), retry)


def shown_by(rows: Sequence[PlannedRun], sweep: SweepFile) -> set[str]:
    """The previews that a sweep's rows have now, by fingerprint; empty where not all rows are known."""
    whole = {row.name for row in rows} >= set(sweep.order)
    return {row.preview_fingerprint for row in rows} if whole else set()


def planned_rows(
    sweep: SweepFolder,
    sources: Sequence[tuple[str, str]],
    like: Resolved,
    shown: Collection[str] = (),
    retry: bool = False,
) -> list[ExternalRow]:
    """What `of_sweep` will make of the LoRAs of a sweep file and of those added since; writes nothing.

    Args:
        like: The row whose previews they take.
        shown: As in `of_sweep`.
        retry: As in `of_sweep`.

    Raises:
        ConfigError: A file is missing or a name is taken.
        ModelError: A file is damaged, no LoRA, or none for the base model.
    """
    there = read_sweep_folder(sweep.path).runs if sweep.is_sweep() else {}
    known = {name: run.record for name, run in there.items() if run.record.external}
    rows = []
    for name, record in known.items():
        status = record.status
        again = bool(shown) and status == "done" and record.preview_fingerprint not in shown
        if again or status not in ENDED or (retry and status != "done"):
            status = "previews"
        tags = [item.tag for item in record.checkpoints]
        left = previews_missing(record, like, tags) if status == "previews" else 0
        told = str(record.external.get("source")), str(record.external.get("trainer"))
        rows.append(ExternalRow(name, *told, status, len(tags), left))
    new = _looked_at(_new(sources, known.values()), like.facts.family)
    names = _names([name or as_name(item.source.stem) for name, item in new], new, there)
    each = len(wanted_shots(like))
    rows += [
        ExternalRow(name, str(one.source), one.trainer, "previews", len(one.files), each * len(one.files))
        for name, (_, one) in zip(names, new, strict=True)
    ]
    return rows


def _new(sources: Sequence[tuple[str, str]], known: Iterable[RunRecord]) -> list[Source]:
    """The sources of which there is no run yet."""
    there = {str(record.external.get("source")) for record in known}
    paths = [(name, Path(path).expanduser().absolute()) for name, path in sources]
    return [(name, path) for name, path in paths if str(path) not in there]


def add(sweep: SweepFolder, sources: Sequence[Source], like: RunConfig | None = None) -> list[RunFolder]:
    """Make a run of every LoRA file or folder of one; those that are there stay, and failed ones start over.

    Args:
        like: The job whose base model and previews they take; None is that of the sweep's first run.

    Returns:
        The runs, those that have nothing left to render among them.

    Raises:
        ConfigError: A file is missing or a name is taken; nothing was written.
        ModelError: A file is no LoRA, or none for the base model; nothing was written.
    """
    there = {run.name: run for run in read_sweep_folder(sweep.path).runs.values()} if sweep.is_sweep() else {}
    job = like or _job(list(there.values()), sweep)
    found = _looked_at(sources, identify(job.base_model.path).family)
    composed = next((run.record.composed for run in there.values() if run.record.composed), [])
    names = _names([name or as_name(item.source.stem) for name, item in found], found, there)
    made = []
    for name, (_, item) in zip(names, found, strict=True):
        run = sweep.run(name)
        if name not in there:
            _write(run, item, replace(job, name=name, sweep=sweep.path.name), list(composed))
        else:
            _start_over(run, None)
        made.append(run)
    return made


def of_sweep(
    sweep: SweepFolder,
    sources: Sequence[tuple[str, str]],
    like: RunConfig,
    shown: Collection[str] = (),
    retry: bool = False,
) -> list[RunFolder]:
    """The runs of LoRAs that a sweep file names, made where they are missing, and those added since.

    A file that is gone since its run was made is no mistake: the run has a copy.

    Args:
        like: The job whose base model and previews new ones take.
        shown: The preview fingerprints of the sweep's own rows: what was rendered with others is rendered
            again. Empty where not all rows are known.
        retry: Try failed ones again.

    Raises:
        ConfigError: As `add`.
        ModelError: As `add`.
    """
    there = {run: record for run in sweep.runs() if (record := read_or_failed(run)).external}
    for run, record in there.items():
        if shown and record.status == "done" and record.preview_fingerprint not in shown:
            _start_over(run, replace(like, name=run.name, sweep=sweep.path.name))
        elif retry:
            _start_over(run, None)
    new = _new(sources, there.values())
    return [*there, *(add(sweep, new, like) if new else ())]


def _looked_at(sources: Sequence[Source], family: str) -> list[tuple[str, Trained]]:
    """The trainings; whatever in their files could not be merged into a model of the family is refused."""
    found = [(name, trained(path)) for name, path in sources]
    for _, item in found:
        for file, _, _ in item.files:
            planned.identity(file)
            planned.refuse_untaken(file, "base_weights")
            planned.refuse_other_family(file, family)
    return found


def _start_over(run: RunFolder, job: RunConfig | None) -> None:
    """Have a run rendered again as another job says; without one, only what did not end well."""
    record = read_or_failed(run)
    if job:
        config.dump(job, run.config_file)
    if record.external and (job or (record.status in ENDED and record.status != "done")):
        record.status, record.reason = "planned", ""
        write_record(run, record)


def _job(runs: Sequence[Run], sweep: SweepFolder) -> RunConfig:
    own = next((run.config for run in runs if run.config and not run.record.external), None)
    if own is None:
        raise ConfigError(
            f"{sweep.path} holds no run whose base model and prompts could be taken: train one row first"
        )
    return own


def _names(names: Sequence[str], found: Sequence[tuple[str, Trained]], there: Mapping[str, Run]) -> list[str]:
    """The names, those of other runs with a number behind them.

    Raises:
        ConfigError: A name that somebody chose cannot be one, or is another run's.
    """
    taken: dict[str, Path] = {}
    for run in there.values():
        taken[run.name.casefold()] = Path(str(run.record.external.get("source", "")))
    unique = []
    for name, (chosen, item) in zip(names, found, strict=True):
        if problem := run_problem(name):
            raise ConfigError(f"external: {item.source}: {problem}")
        number, candidate = 2, name
        while taken.get(candidate.casefold(), item.source) != item.source:
            if chosen:
                raise ConfigError(f"external: {name} is the name of another run: choose another one")
            candidate, number = f"{name}-{number}", number + 1
        taken[candidate.casefold()] = item.source
        unique.append(candidate)
    return unique


def _write(run: RunFolder, item: Trained, job: RunConfig, composed: list[str]) -> None:
    checkpoints: list[Checkpoint] = []
    whole = hashlib.sha256()
    for number, (file, step, epoch) in enumerate(item.files, 1):
        tag = step_tag(step) if step is not None else epoch_tag(epoch or number)
        if any(tag == other.tag for other in checkpoints):
            tag = step_tag(max(other.step for other in checkpoints) + 1)
        target = _copied(file, run, tag)
        whole.update(file_hash(file).encode())
        name = str(target.relative_to(run.path))
        order = step if step is not None else epoch or number
        checkpoints.append(
            Checkpoint(tag, name, epoch or 0, order, 0, None, size_bytes=target.stat().st_size)
        )
    known = {key: value for key, value in item.settings.items() if value is not None}
    record = RunRecord(
        reason=f"trained elsewhere ({item.trainer})",
        fingerprint=whole.hexdigest(),
        checkpoints=checkpoints,
        composed=composed,
        external={"source": str(item.source), "trainer": item.trainer, "settings": known},
    )
    config.dump(job, run.config_file)
    write_record(run, record)


def _copied(file: Path, run: RunFolder, tag: str) -> Path:
    """A copy in the run's folder, which is whole without the place that it came from."""
    beside = file.parent / BESIDE
    folder = run.checkpoints / tag if beside.is_file() else run.checkpoints
    target = folder / f"{lora_name(run.name)}-{tag}.safetensors"
    for source, copy in ((file, target), (beside, folder / BESIDE)):
        if source.is_file():
            with replacing(copy) as temporary:
                shutil.copyfile(source, temporary)
    return target


def unrendered(runs: Sequence[RunFolder]) -> list[RunFolder]:
    """Those of the runs that are still to be rendered."""
    return [run for run in runs if read_or_failed(run).status not in ENDED]
