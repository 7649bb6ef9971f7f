"""Gathering the evidence of a sweep from its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import mean

from lora_lab.store import Checkpoint, Pair, SweepFolder, comparable_pairs
from lora_lab.store.acting import RECORDED, REREAD, UNKNOWN
from lora_lab.store.normal_names import rater_key
from lora_lab.store.reading import Run, Sweep, read_sweep_folder
from lora_lab.store.replaced import replaced_note, replaced_scores
from lora_lab.store.scores import Place, ScoreLog, only_of
from lora_lab.store.table import exposures, flags, means
from lora_lab.verdict.acting import changes_of, same_experiments
from lora_lab.verdict.evidence import (
    LENGTHS,
    SCORE,
    STEADY,
    UNSHOWABLE,
    CheckpointEvidence,
    Evidence,
    RunEvidence,
    grouped,
    judged,
)
from lora_lab.verdict.raters import Combined, combine
from lora_lab.words import Said, joined, said


def evidence(
    sweep: SweepFolder | Sweep,
    *,
    raters: Sequence[str] | None = None,
    score: str = "last",
    metric: str | None = None,
) -> Evidence:
    """Gather what is known of a sweep's runs. Without torch, and without looking at an image.

    Args:
        sweep: Its folder, or what was read of it.
        raters: Whose scores count; None is everybody's.
        score: Which checkpoint stands for a run: `last`, `best`, or a tag such as 000010 (10 will do).
        metric: Judge by this automatic metric instead of by people's scores.

    Raises:
        RunFolderError: The folder holds no runs, nobody is called like that, or no checkpoint has the metric.
    """
    read = sweep if isinstance(sweep, Sweep) else read_sweep_folder(sweep.path)
    log = read.scores()
    same, changes, unread = same_experiments(read), changes_of(read.runs.values()), _unread(read)
    combined = combine(only_of(log, raters, read.folder), same)
    runs = tuple(
        _run(run, changes[run.name], unread.get(run.name, ""), same.get(run.name, ""), combined)
        for run in read.runs.values()
    )
    comparisons, left_out = _comparisons(log, same, raters)
    notes = [
        *_reread(read),
        *filter(None, [log.damage_note(), _gone(read)]),
        *combined.notes,
        *left_out,
        *replaced_note(replaced_scores(read, log), log),
    ]
    grouped_runs = grouped(one_luck(runs))
    found = Evidence(
        read.name,
        read.question,
        metric or SCORE,
        score,
        grouped_runs,
        combined.raters,
        comparisons,
        tuple(dict.fromkeys(notes)),
        _gaps(unread),
        _images(read, grouped_runs, metric) if metric else None,
        str(sweep.folder.path if isinstance(sweep, Sweep) else sweep.path),
    )
    return judged(found)


def _images(sweep: Sweep, runs: Sequence[RunEvidence], metric: str) -> tuple[float, int, int] | None:
    """What one image more or less moves a metric, by last checkpoints of repeated runs; see `Evidence`."""
    groups: dict[str, list[dict[tuple[int, int, float], float]]] = {}
    for run in runs:
        items = sweep.runs[run.name].checkpoints
        if items and not run.same_as and not run.unread:
            shots = {
                (one.prompt, one.seed, one.strength): one.metrics.get(metric) for one in items[-1].previews
            }
            known = {shot: value for shot, value in shots.items() if value is not None}
            groups.setdefault(run.group, []).append(known)
    squares, df, count = 0.0, 0, 0
    for members in groups.values():
        common = set.intersection(*map(set, members))
        if len(members) < 2 or len(common) < 2:
            continue
        rows = [[values[shot] for shot in sorted(common)] for values in members]
        columns, whole = [mean(column) for column in zip(*rows, strict=True)], mean(map(mean, rows))
        for row in rows:
            level = mean(row) - whole
            squares += sum((value - column - level) ** 2 for value, column in zip(row, columns, strict=True))
        df += (len(rows) - 1) * (len(common) - 1)
        count = max(count, len(common))
    return (math.sqrt(squares / df), df, count) if df else None


MOST_NAMED = 3
"""Checkpoints that a note names one by one."""


def _gone(sweep: Sweep) -> str:
    """The checkpoints that were judged and whose LoRA files are not there any more, in words; '' is none."""
    places = [f"{run.name} {tag}" for run in sweep.runs.values() if not run.same_as for tag in run.gone]
    if not places:
        return ""
    shown = joined(places[:MOST_NAMED])
    if len(places) > MOST_NAMED:
        shown = said("and_more", runs=shown, n=len(places) - MOST_NAMED)
    return said("note_gone", places=shown, n=len(places))


def _unread(sweep: Sweep) -> dict[str, str]:
    """The runs of which too little can be read for them to be compared, with the reason.

    Settings that were read again from a config alone lack what the images and the model decide. Beside runs
    that carry theirs, the difference would look like one that somebody made.
    """
    found: dict[str, str] = {}
    mixed = {run.acting.origin for run in sweep.runs.values()} >= {RECORDED, REREAD}
    for run in sweep.runs.values():
        if run.record.external:
            found[run.name] = said("gap_external")
        elif run.acting.origin == UNKNOWN:
            found[run.name] = run.acting.why
        elif run.problem and not run.work.checkpoints:
            found[run.name] = run.problem
        elif mixed and run.acting.origin == REREAD and run.checkpoints:
            found[run.name] = said("gap_reread")
    return found


def _gaps(unread: Mapping[str, str]) -> tuple[str, ...]:
    by_reason: dict[str, list[str]] = {}
    for name, reason in unread.items():
        by_reason.setdefault(reason, []).append(name)
    return tuple(said("gap", runs=", ".join(names), reason=reason) for reason, names in by_reason.items())


def _reread(sweep: Sweep) -> list[Said]:
    names = [run.name for run in sweep.runs.values() if run.acting.origin == REREAD]
    if not names or len(names) < len(sweep.runs):
        return []
    return [said("note_reread")]


def _comparisons(
    log: ScoreLog, same_as: Mapping[str, str], raters: Sequence[str] | None
) -> tuple[tuple[Pair, ...], list[Said]]:
    """The comparisons that count, and what is to be known of the others."""

    def place(given: Place) -> Place:
        return same_as.get(given[0], given[0]), given[1]

    wanted = [item for item in log.pairs if raters is None or rater_key(item.rater) in map(rater_key, raters)]
    kept, notes = comparable_pairs(wanted)
    return tuple(replace(item, left=place(item.left), right=place(item.right)) for item in kept), notes


def _run(run: Run, changes: tuple[str, ...], unread: str, same_as: str, combined: Combined) -> RunEvidence:
    place = same_as or run.name
    items = tuple(_checkpoint(item, run, (place, item.tag), combined) for item in run.checkpoints)
    last = items[-1] if items else None
    own = run.acting
    return RunEvidence(
        name=run.name,
        status=run.status,
        reason=run.reason,
        known_as=run.known_as,
        # Nothing may pair what cannot be compared, plots and images side by side as little as the verdict.
        settings={} if unread else own.settings,
        unread=unread,
        seed=own.seed,
        inert=own.inert,
        overrides=tuple(run.record.composed or run.record.overrides),
        changes=changes,
        same_as=same_as,
        training=run.training,
        checkpoints=items,
        usable=None if unread else _usable(run.status, last),
        train_minutes=last.minutes if last else None,
        peak_memory_bytes=run.work.peak_memory_bytes or None,
        file_bytes=last.size_bytes if last else None,
        elsewhere=str(run.record.external.get("trainer") or ""),
    )


def _checkpoint(item: Checkpoint, run: Run, place: Place, combined: Combined) -> CheckpointEvidence:
    given = combined.places.get(place)
    return CheckpointEvidence(
        tag=item.tag,
        epoch=item.epoch,
        step=item.step,
        samples=item.samples,
        exposures=exposures(item.samples - item.reg_samples, run.work),
        human=given.value if given else None,
        judgements=given.count if given else 0,
        raters=given.raters if given else {},
        metrics=means(item),
        minutes=item.seconds / 60 if item.seconds else None,
        size_bytes=item.size_bytes or None,
        flags=tuple(flags(item)),
        said=given.said if given else (),
        scale=given.scale if given else "",
        file=f"{run.worker.name}/{item.file}",
    )


def _usable(status: str, last: CheckpointEvidence | None) -> bool | None:
    if status in ("planned", "running", "cancelled", "stopped"):
        return None
    return status == "done" and last is not None and not set(last.flags) & set(UNSHOWABLE)


def one_luck(runs: Sequence[RunEvidence]) -> tuple[RunEvidence, ...]:
    """The runs, with those marked that are the same training up to some update: they share its luck.

    Runs of one seed that differ in length or repeats alone, and whose learning rate does not look ahead,
    see the same images, noise and timesteps: the shorter one is a checkpoint of the longer one, trained
    twice or not.
    """
    first: dict[str, str] = {}
    found = []
    for run in runs:
        training = run.training or run.name
        if run.seed is not None and run.settings.get("lr_scheduler.name") in STEADY:
            own = {key: value for key, value in run.settings.items() if key not in LENGTHS}
            training = first.setdefault(repr((sorted(own.items()), run.seed)), training)
        found.append(replace(run, training=training))
    return tuple(found)
