"""What has to be done for a row, by what lies in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lora_lab.effective.previews import wanted_shots
from lora_lab.errors import RunFolderError
from lora_lab.resolved import Resolved
from lora_lab.store import FINISHED, RunFolder, RunRecord, SweepFolder, read_or_failed, read_record
from lora_lab.store.locks import is_locked
from lora_lab.sweep.text import value_text

STATUSES = (
    "planned", "resume", "previews", "done", "failed", "diverged", "stopped", "running", "same", "conflict",
)  # fmt: skip
"""`planned`, `resume` and `previews` are work to do; `conflict` stops the sweep; the others stay."""

TO_DO = ("planned", "resume", "previews")


@dataclass(frozen=True)
class Decision:
    """What happens to a row, and why. With `aside` its folder is moved to `.old/` before.

    `fingerprint` is that of the folder's run where it is the same experiment, of whichever version.
    """

    status: str
    reason: str = ""
    aside: bool = False
    fingerprint: str = field(default="", compare=False)


def decide(
    folder: RunFolder,
    resolved: Resolved,
    tags: Sequence[str],
    *,
    retry: bool,
    redo: bool,
) -> Decision:
    """What to do with a row whose folder may hold an earlier run.

    Args:
        resolved: The row as it is now.
        tags: The checkpoints that it has to have.
        retry: Try failed and diverged runs again, and go on with stopped ones.
        redo: Move folders of other experiments aside and train the row.
    """
    if is_locked(folder):
        return Decision("running", "another process is working on it")
    try:
        record = read_record(folder)
    except RunFolderError as error:
        return (
            Decision("planned", str(error), aside=True)
            if redo
            else Decision("conflict", f"{error} or add --redo")
        )
    if not record.fingerprint or record.same_as:
        return Decision("planned")
    if not resolved.is_experiment(record.fingerprint):
        return _other_experiment(folder, record, resolved, redo)
    found = _of_the_same(folder, record, resolved.preview_fingerprint, tags, retry)
    return replace(found, fingerprint=record.fingerprint)


def _of_the_same(
    folder: RunFolder, record: RunRecord, preview_fingerprint: str, tags: Sequence[str], retry: bool
) -> Decision:
    """What is left to do of a run that is the row's experiment."""
    if record.status == "done":
        return _finished(folder, record, preview_fingerprint, tags)
    if record.status in ("failed", "diverged", "stopped") and not retry:
        return Decision(record.status, record.reason)
    if record.status not in FINISHED and all(_there(folder, record, tag) for tag in tags):
        return Decision("previews", "trained to the end; its previews were interrupted")
    if folder.saved_states():
        return Decision("resume", f"goes on after step {folder.saved_states()[-1]}")
    return Decision("planned", f"again: {record.reason}" if record.reason and retry else "")


def _other_experiment(folder: RunFolder, record: RunRecord, resolved: Resolved, redo: bool) -> Decision:
    if not record.checkpoints and not folder.saved_states():
        return Decision("planned", "its settings changed before it had saved anything")
    if redo:
        return Decision("planned", "its settings changed; the earlier run is moved to .old/", aside=True)
    return Decision(
        "conflict",
        f"{folder.path} holds a run with {_changed(record, resolved)} ({record.status}, step {record.step}): "
        "rename the row, or add --redo, which moves that run to .old/ and trains this one",
    )


def left_over(
    folder: RunFolder, resolved: Resolved, tags: Sequence[str], decision: Decision
) -> tuple[int, int]:
    """Of a run that there is something to do for: the steps that are done, and the previews that are missing.

    Args:
        tags: The checkpoints that it has to have.
        decision: What is to be done.
    """
    if decision.status not in ("resume", "previews"):
        return 0, len(tags) * len(wanted_shots(resolved))
    done = folder.saved_states()[-1] if decision.status == "resume" else 0
    return done, previews_missing(read_or_failed(folder), resolved, tags)


def previews_missing(record: RunRecord, resolved: Resolved, tags: Sequence[str]) -> int:
    """How many previews the checkpoints of these tags lack; those whose files were given up get none."""
    wanted = wanted_shots(resolved).keys()
    there = {item.tag: {shot.drawn for shot in item.previews} for item in record.checkpoints}
    given_up = {item.tag for item in record.checkpoints if item.discarded}
    return sum(len(wanted - there.get(tag, set())) for tag in tags if tag not in given_up)


MOST_NAMED = 6


def _changed(record: RunRecord, resolved: Resolved) -> str:
    """What of a run's experiment is another one now, setting by setting."""
    before = record.resolved.get("acting")
    if not isinstance(before, dict):
        return "other settings or images"
    now = resolved.to_plain()["acting"]
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    named = [
        f"{key}={value_text(before.get(key))} (now {value_text(now.get(key))})" for key in keys[:MOST_NAMED]
    ]
    more = [f"{len(keys) - MOST_NAMED} more"] if len(keys) > MOST_NAMED else []
    return ", ".join([*named, *more]) or "other images, or another base model"


def _finished(
    folder: RunFolder, record: RunRecord, preview_fingerprint: str, tags: Sequence[str]
) -> Decision:
    missing = [tag for tag in tags if not _there(folder, record, tag)]
    if missing:
        names = ", ".join(missing[:4]) + (", ..." if len(missing) > 4 else "")
        return Decision(
            "planned",
            f"finished, but lacks checkpoint {names}: trained again, the earlier run is moved to .old/",
            True,
        )
    if record.preview_fingerprint != preview_fingerprint:
        return Decision(
            "previews",
            "finished; its preview settings changed: what is missing is rendered, nothing is trained",
        )
    return Decision("done")


def _there(folder: RunFolder, record: RunRecord, tag: str) -> bool:
    # By what the record says: a folder that was renamed holds files of its earlier name.
    found = record.checkpoint(tag)
    return found is not None and (found.discarded or (folder.path / found.file).is_file())


def set_aside(sweep: SweepFolder, name: str) -> Path:
    """Move a run's folder to the first free `.old/<name>-<n>` of its sweep; returns the new place.

    Raises:
        RunFolderError: It cannot be moved.
    """
    number = 1
    while (target := sweep.path / ".old" / f"{name}-{number}").exists():
        number += 1
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep.run(name).path.rename(target)
    except OSError as error:
        raise RunFolderError(
            f"cannot move {sweep.run(name).path} to {target}: {error.strerror or error}"
        ) from error
    return target
