"""Ending runs that lie far behind the others (`stop=hopeless`), by what the sweep's records say so far."""

from collections.abc import Callable, Sequence

from lora_lab.config.schema import StopConfig
from lora_lab.metrics.registry import PEOPLE
from lora_lab.run.task import Task
from lora_lab.store import Checkpoint, RunRecord, SweepFolder, read_or_failed
from lora_lab.store.comparable import ratings
from lora_lab.store.scores import read_scores
from lora_lab.store.table import means

Value = Callable[[str, Checkpoint], float | None]
"""What the judge gave a run's checkpoint."""


def hopeless_ones(tasks: Sequence[Task]) -> dict[str, str]:
    """Why runs are to be ended as hopeless, by name.

    One that takes its weights from a longer run trains nothing, and is not ended; a longer run is not while
    shorter ones take theirs from it. A run that was ended as hopeless, and was asked to go on, is trained to
    its end.

    Args:
        tasks: Those that have come to where they are looked at.

    Raises:
        RunFolderError: The log of scores cannot be read.
    """
    asked: dict[tuple[str, float | None], list[Task]] = {}
    for task in tasks:
        own = task.config.stop
        if own.name == "hopeless" and not task.record.hopeless_at_steps and not task.leader:
            asked.setdefault((own.judge, own.noise), []).append(task)
    return {
        name: why
        for members in asked.values()
        for name, why in _judged(members, members[0].config.stop).items()
    }


def looked_at(task: Task) -> bool:
    """Whether a run is looked at after the checkpoint that it has just saved; it may have failed to."""
    from lora_lab.search.hopeless import look_due

    saved = task.record.checkpoints
    if task.config.stop.name != "hopeless" or not saved:
        return False
    before, now = [0, *(item.step for item in saved)][-2:]
    total = max(1, task.record.total_steps)
    return look_due(before / total, now / total)


def _judged(tasks: Sequence[Task], asked: StopConfig) -> dict[str, str]:
    # With numpy and scipy: a worker that stops nothing does not wait for them.
    from lora_lab.search.hopeless import Seen, hopeless, scale_of

    sweep = SweepFolder(tasks[0].folder.path.parent)
    records = {run.name: read_or_failed(run) for run in sweep.runs()}
    records |= {task.name: task.record for task in tasks}
    value = _value(asked.judge, sweep, records)
    unit, noise = scale_of(asked.judge, asked.noise)
    curves = {
        name: [
            Seen(item.step / max(1, record.total_steps), item.samples, found / unit)
            for item in record.checkpoints
            if (found := value(name, item)) is not None
        ]
        for name, record in records.items()
        # Weights of another run's on the way are no second opinion; what broke is nothing to come up to.
        if record.status not in ("diverged", "failed") and not record.external and not record.prefix_of
    }
    behind = hopeless(curves, [task.name for task in tasks], noise)
    return {
        name: f"hopeless: {asked.judge} {one.level * unit:.3g} at {_place(records[name])}, where the second "
        f"best had {one.best * unit:.3g}; {one.granted * unit:.2g} less would be allowed; stop=off trains on"
        for name, one in behind.items()
    }


def _value(judge: str, sweep: SweepFolder, records: dict[str, RunRecord]) -> Value:
    if judge != PEOPLE:
        return lambda _, checkpoint: means(checkpoint).get(judge)
    same = {name: record.same_as for name, record in records.items() if record.same_as}
    given = ratings(read_scores(sweep), same)
    return lambda name, checkpoint: (
        given[name, checkpoint.tag].value if (name, checkpoint.tag) in given else None
    )


def _place(record: RunRecord) -> str:
    last = record.checkpoints[-1]
    return f"epoch {last.epoch}" if last.tag.isdecimal() else f"step {last.step}"
