"""Room on the disk: what a sweep takes, what of it can be given up, and renaming that keeps everything.

Only what this program wrote is ever deleted, and never an image that somebody judged: scores belong to what
was shown.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import Any

import yaml

from lora_lab.config.written import yaml_text
from lora_lab.errors import RunFolderError
from lora_lab.files import write_text
from lora_lab.store.comparable import ratings
from lora_lab.store.layout import RunFolder, SweepFolder
from lora_lab.store.locks import is_locked
from lora_lab.store.reading import Run, Sweep, read_sweep_folder
from lora_lab.store.record import read_record, write_record
from lora_lab.store.rounds import read_rounds, write_rounds
from lora_lab.store.scores import Place

BEST, LAST = "best", "last"
OF_A_RUN = (
    "config.yaml", "run.json", "steps.jsonl", "log.txt", ".stop", "sheet.png", "checkpoints", "state",
    "previews",
)  # fmt: skip
"""What a run folder holds; anything else in it is somebody's own."""


@dataclass(frozen=True)
class Sizes:
    """Bytes of a run, or of several, by what they are."""

    checkpoints: int = 0
    states: int = 0
    previews: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.checkpoints + self.states + self.previews + self.other

    def __add__(self, more: Sizes) -> Sizes:
        return Sizes(
            self.checkpoints + more.checkpoints,
            self.states + more.states,
            self.previews + more.previews,
            self.other + more.other,
        )


@dataclass(frozen=True)
class Unwanted:
    """A file or folder that can be given up; `tag` names the checkpoint, '' for a training state."""

    run: str
    path: Path
    size: int
    tag: str = ""


@dataclass(frozen=True)
class Sweeping:
    """What a clean-up gives up, and the runs that it leaves alone, each with the reason."""

    unwanted: tuple[Unwanted, ...] = ()
    spared: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes that become free."""
        return sum(item.size for item in self.unwanted)


def sizes_of(run: RunFolder) -> Sizes:
    """What a run takes; links are not followed."""
    checkpoints, states = size_of(run.checkpoints), size_of(run.states)
    previews = size_of(run.path / "previews")
    return Sizes(checkpoints, states, previews, size_of(run.path) - checkpoints - states - previews)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; 0 where there is none."""
    if path.is_file() and not path.is_symlink():
        return os.lstat(path).st_size
    total = 0
    for place, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(Path(place, name)).st_size
            except OSError:
                continue
    return total


def disposable(sweep: Sweep, keep: Collection[str], only: Collection[str] = ()) -> Sweeping:
    """LoRA files and training states that are not to be kept; previews and scores are never among them.

    Args:
        keep: `BEST` (the checkpoint with the best scores; of a run that nobody scored, all), `LAST`, tags.
            What it says of a run that is the same experiment as another holds for the files of that one.
        only: Runs to look at; none means all.
    """
    given = ratings(sweep.scores())
    kept: dict[str, set[str]] = {}
    for run in sweep.runs.values():
        kept.setdefault(run.worker.name, set()).update(_kept(run, keep, given))
    unwanted: list[Unwanted] = []
    spared = {}
    for run in sweep.runs.values():
        if run.origin or (only and run.name not in only):
            continue
        if reason := _busy(run):
            spared[run.name] = reason
            continue
        if BEST in keep and not any((run.name, item.tag) in given for item in run.checkpoints):
            spared[run.name] = "nobody has scored it: which checkpoint is best is not known"
        unwanted += _of_run(run, kept[run.name])
    return Sweeping(tuple(unwanted), spared)


def _kept(run: Run, keep: Collection[str], given: Mapping[Place, Any]) -> set[str]:
    """Tags of a run's checkpoints that stay."""
    tags = [item.tag for item in run.checkpoints]
    stay = set(tags) & set(keep)
    if LAST in keep and tags:
        stay.add(tags[-1])
    if BEST in keep:
        scored = {tag: given[(run.name, tag)].value for tag in tags if (run.name, tag) in given}
        top = max(scored.values(), default=None)
        stay |= set(tags) if top is None else {tag for tag, value in scored.items() if value == top}
    return stay


def _busy(run: Run) -> str:
    if run.problem:
        return f"it cannot be read: {run.problem}"
    if is_locked(run.folder):
        return "it is being worked on"
    if run.record.status != "done":
        return f"it is {run.record.status}: its files are needed to go on"
    return ""


def _of_run(run: Run, stay: Collection[str]) -> list[Unwanted]:
    found = []
    for item in run.record.checkpoints:
        file = run.file(item)
        if item.tag not in stay and file is not None and file.is_file():
            found.append(Unwanted(run.name, file, size_of(file), item.tag))
    states = [run.folder.state(step) for step in run.folder.saved_states()]
    return [*found, *(Unwanted(run.name, path, size_of(path)) for path in states)]


def give_up(sweep: Sweep, unwanted: Iterable[Unwanted]) -> int:
    """Delete what `disposable` found; returns the bytes that became free.

    A run's record says first that a file is given up, so that no crash leaves a run that is trained again.

    Raises:
        RunFolderError: Something cannot be written or deleted.
    """
    freed = 0
    by_run: dict[str, list[Unwanted]] = {}
    for item in unwanted:
        by_run.setdefault(item.run, []).append(item)
    for name, items in by_run.items():
        folder = sweep.runs[name].folder
        record = read_record(folder)
        tags = {item.tag for item in items if item.tag}
        record.checkpoints = [
            replace(one, discarded=one.discarded or one.tag in tags) for one in record.checkpoints
        ]
        write_record(folder, record)
        for item in items:
            _delete(item.path)
            freed += item.size
    return freed


def removable(sweep: Sweep, names: Sequence[str], *, scored: bool) -> list[Run]:
    """The runs of the names, if they may be deleted.

    Args:
        scored: Also runs that somebody has judged; their scores stay in the log.

    Raises:
        RunFolderError: Every reason why not.
    """
    wrong = [f"{name} is no run of it" for name in names if name not in sweep.runs]
    runs = [sweep.runs[name] for name in dict.fromkeys(names) if name in sweep.runs]
    log = sweep.scores()
    judged = {run for item in log.scores for run, _ in item.places}
    judged |= {place[0] for pair in log.pairs for place in (pair.left, pair.right)}
    for run in runs:
        if is_locked(run.folder):
            wrong.append(f"{run.name} is being worked on")
        if run.name in judged and not scored:
            wrong.append(f"{run.name} was judged by somebody: --judged deletes it all the same")
        leaning = [one.name for one in sweep.runs.values() if one.same_as == run.name and one not in runs]
        if leaning:
            wrong.append(f"{', '.join(leaning)} lives on the files of {run.name}: name it, too")
    if wrong:
        known = f"; its runs are {', '.join(sweep.runs)}" if any("no run" in text for text in wrong) else ""
        raise RunFolderError(f"{sweep.folder.path}: nothing is deleted: {'; '.join(wrong)}{known}")
    return runs


def remove_run(run: RunFolder) -> list[Path]:
    """Delete a run's own files; returns what lies in its folder beside them, and therefore stays.

    Of a link only the link goes.

    Raises:
        RunFolderError: Something cannot be deleted.
    """
    if run.path.is_symlink():
        run.path.unlink()
        return []
    for path in [*(run.path / name for name in OF_A_RUN), *run.path.glob(f"{run.lock_file.name}*")]:
        _delete(path)
    left = sorted(run.path.iterdir())
    if not left:
        run.path.rmdir()
    return left


def _delete(path: Path) -> None:
    try:
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be deleted: {error.strerror or error}") from error


def rename_run(sweep: Sweep, old: str, new: str) -> None:
    """Give a run another name. Its scores, twins and plots follow: they know it by the name in its config.

    The names in the sweep's own file and search change with it, so that the sweep goes on.

    Raises:
        RunFolderError: There is no such run, it is at work, or the name is taken.
    """
    if old not in sweep.runs:
        raise RunFolderError(f"{sweep.folder.path} has no run {old!r}: its runs are {', '.join(sweep.runs)}")
    if is_locked(sweep.runs[old].folder):
        raise RunFolderError(f"{old} is being worked on: wait until it is done")
    if new == old:
        raise RunFolderError(f"{old} is called that already: give another name")
    target = sweep.folder.path / new
    others = [run for run in sweep.runs.values() if run.name != old]
    taken = next((run.name for run in others if new in (run.name, run.known_as)), "")
    if taken or (target.exists() and not target.samefile(sweep.runs[old].folder.path)):
        by = f" by {taken}" if taken and taken != new else ""
        raise RunFolderError(f"{new!r} is taken{by}: give another name")
    _move(sweep.runs[old].folder.path, target)
    _rename_in_files(sweep.folder, old, new)


def _rename_in_files(folder: SweepFolder, old: str, new: str) -> None:
    """The run's name in sweep.yaml and search.json, where they are there and can be read.

    The plan keeps the name that the run was trained under, by which its reader knows it.
    """
    try:
        values = yaml.safe_load(folder.sweep_file.read_text(encoding="utf-8"))
        if isinstance(values, dict) and old in (values.get("patterns") or {}):
            rows = values["patterns"].items()
            values["patterns"] = {new if name == old else name: row for name, row in rows}
            head = f"# As launched. `lora-lab sweep {quote(str(folder.path))}` goes on with it.\n"
            write_text(folder.sweep_file, head + yaml_text(values, width=110))
    except (OSError, ValueError, AttributeError, yaml.YAMLError):
        pass
    if rounds := read_rounds(folder):
        write_rounds(folder, [replace(one, name=new if one.name == old else one.name) for one in rounds])


def rename_sweep(folder: SweepFolder, new: str) -> SweepFolder:
    """Give a sweep's folder another name in the same place.

    Raises:
        RunFolderError: A run is at work, or the name is taken.
    """
    busy = [run.name for run in folder.runs() if is_locked(run)]
    if busy:
        raise RunFolderError(f"{', '.join(busy)} of {folder.path} is being worked on: wait until it is done")
    here = Path(os.path.abspath(folder.path))  # `.` has no name; a link keeps its own
    target = here.with_name(new)
    if target.exists() and not target.samefile(folder.path):
        raise RunFolderError(f"{target} is there already: give another name")
    _move(here, target)
    return SweepFolder(target)


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        raise RunFolderError(f"{source} cannot be renamed to {target}: {error.strerror or error}") from error


def sources(sweep: Sweep) -> list[str]:
    """The sweep files that a sweep's runs came from."""
    return sorted({run.record.source for run in sweep.runs.values() if run.record.source})


def sweeps_in(root: Path) -> list[Sweep]:
    """All sweeps below a folder of results, by name; those that cannot be read are left out."""
    found = []
    for place in sorted(root.iterdir()) if root.is_dir() else ():
        if not place.name.startswith(".") and SweepFolder(place).is_sweep():
            try:
                found.append(read_sweep_folder(place))
            except RunFolderError:
                continue
    return found
