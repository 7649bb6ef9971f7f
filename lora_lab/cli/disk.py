"""`lora-lab list`, `rm`, `rename` and `gc`: what lies on the disk, and making room."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape

from lora_lab import config
from lora_lab.cli.as_json import print_json
from lora_lab.cli.look import sweep_folder
from lora_lab.cli.show import coloured, console, grid
from lora_lab.errors import ConfigError
from lora_lab.store import housekeeping
from lora_lab.store.housekeeping import Sizes
from lora_lab.store.reading import Sweep, read_sweep_folder
from lora_lab.sweep.run_names import name_problem, run_problem

GONE = "{tags} has no LoRA file any more: the sweep's command trains the run again"
_PARTS = ("checkpoints", "states", "previews", "other")


def list_(given: argparse.Namespace) -> int:
    """All sweeps with their sizes, or the runs of one."""
    if given.sweep:
        return _list_runs(_sweep(given), given)
    root = Path(given.results or config.settings()["results"].default)
    rows = []
    for sweep in housekeeping.sweeps_in(root):
        sizes = sum((housekeeping.sizes_of(run.folder) for run in sweep.runs.values()), Sizes())
        statuses = Counter(run.status for run in sweep.runs.values())
        # What lies beside the runs: anchors, plots, reports, exports, runs that were set aside.
        whole = housekeeping.size_of(sweep.folder.path)
        rows.append((sweep, statuses, sizes, whole))
    if given.json:
        told = [
            {"sweep": sweep.name, "path": str(sweep.folder.path), "question": sweep.question,
             "runs": len(sweep.runs), "statuses": dict(statuses), "scores": len(sweep.scores().scores),
             **asdict(sizes), "bytes": whole} for sweep, statuses, sizes, whole in rows
        ]  # fmt: skip
        print_json(told)
        return 0
    out = console()
    if not rows:
        out.print(f"there are no sweeps in {escape(str(root))}", soft_wrap=True)
        return 0
    table = grid("sweep", "runs", "scores", *_PARTS, "all", right=["scores", *_PARTS, "all"])
    for sweep, statuses, sizes, whole in rows:
        counts = ", ".join(f"{count} {coloured(status)}" for status, count in statuses.most_common())
        parts = [readable_size(getattr(sizes, part)) for part in _PARTS[:3]]
        rest = readable_size(whole - sizes.total + sizes.other)
        scores = str(len(sweep.scores().scores) or "")
        table.add_row(escape(sweep.name), counts, scores, *parts, rest, readable_size(whole))
    out.print(table)
    total = sum(whole for *_, whole in rows)
    out.print(
        f"{readable_size(total)} in {escape(str(root))}; `lora-lab gc SWEEP` makes room", soft_wrap=True
    )
    return 0


def _list_runs(sweep: Sweep, given: argparse.Namespace) -> int:
    rows = [(run, housekeeping.sizes_of(run.folder)) for run in sweep.runs.values()]
    if given.json:
        told = [
            {"run": run.name, "status": run.status, "same_as": run.same_as,
             "checkpoints_there": [c.tag for c in run.checkpoints if not (c.discarded or run.lacks(c))],
             "checkpoints_gone": list(run.gone),
             **asdict(sizes), "bytes": sizes.total} for run, sizes in rows
        ]  # fmt: skip
        print_json({"sweep": sweep.name, "runs": told})
        return 0
    table = grid("run", "status", "LoRA files", *_PARTS, "all", right=["LoRA files", *_PARTS, "all"])
    for run, sizes in rows:
        files = str(sum(not (c.discarded or run.lacks(c)) for c in run.record.checkpoints) or "")
        parts = [readable_size(getattr(sizes, part)) for part in _PARTS]
        status = f"same as {escape(run.same_as)}" if run.same_as else coloured(run.status)
        table.add_row(escape(run.name), status, files, *parts, readable_size(sizes.total))
    console().print(table)
    for run, _ in rows:
        if run.gone and not run.same_as:
            console().print(f"{escape(run.name)}: {GONE.format(tags=', '.join(run.gone))}", soft_wrap=True)
    return 0


def rm(given: argparse.Namespace) -> int:
    """Delete runs, or a whole sweep; shown only, without --yes."""
    sweep = _sweep(given)
    names = given.runs or list(sweep.runs)
    runs = housekeeping.removable(sweep, names, scored=given.judged)
    rows = [(run, housekeeping.sizes_of(run.folder).total) for run in runs]
    left: list[Path] = []
    if given.yes:
        for run in runs:
            left += housekeeping.remove_run(run.folder)
    if given.json:
        told = {
            "deleted": given.yes,
            "runs": {run.name: size for run, size in rows},
            "left": list(map(str, left)),
        }
        print_json(told)
        return 0
    out = console()
    for run, size in rows:
        out.print(f"{escape(run.name)}: {coloured(run.status)}, {readable_size(size)}", soft_wrap=True)
    total = readable_size(sum(size for _, size in rows)) or "0 B"
    for path in left:
        out.print(f"[yellow]▲[/] left, since lora-lab did not write it: {escape(str(path))}", soft_wrap=True)
    out.print(f"{total} deleted" if given.yes else f"{total} would be deleted: --yes does it")
    if given.yes and not given.runs:
        out.print(f"scores, plots and reports are still in {escape(str(sweep.folder.path))}", soft_wrap=True)
    return 0


def rename(given: argparse.Namespace) -> int:
    """Rename a run, or a sweep."""
    sweep = _sweep(given)
    *run, new = given.names
    if len(run) > 1:
        raise ConfigError("give SWEEP NEW, or SWEEP RUN NEW")
    if problem := (run_problem(new) if run else name_problem(new)):
        raise ConfigError(problem)
    if run:
        housekeeping.rename_run(sweep, run[0], new)
        place = sweep.folder.path / new
    else:
        place = housekeeping.rename_sweep(sweep.folder, new).path
    files = [name for name in housekeeping.sources(sweep) if Path(name).is_file()]
    files = [name for name in files if run or Path(name).stem != new]
    what = f"row {run[0]!r} there, too" if run else f"it {new}.yaml, too"
    advice = [f"{name} would start it anew under the old name: rename {what}" for name in files]
    if given.json:
        print_json({"path": str(place), "advice": advice})
        return 0
    print(f"it is {place} now; scores, twins and plots go with it")
    for line in advice:
        print(line)
    return 0


def gc(given: argparse.Namespace) -> int:
    """Give up LoRA files and states that are not to be kept; shown only, without --yes."""
    sweep = _sweep(given)
    keep = [word.strip() for word in given.keep.split(",") if word.strip()]
    known = {item.tag for run in sweep.runs.values() for item in run.checkpoints}
    if unknown := [word for word in keep if word not in (housekeeping.BEST, housekeeping.LAST, *known)]:
        tags = ", ".join(sorted(known)[:6])
        raise ConfigError(f"--keep {unknown[0]}: write best, last, or checkpoints, such as {tags}")
    if not keep:
        raise ConfigError("--keep is empty: write best,last, or the checkpoints that stay")
    found = housekeeping.disposable(sweep, keep, given.runs)
    if given.yes:
        housekeeping.give_up(sweep, found.unwanted)
    if given.json:
        rows = [asdict(item) | {"path": str(item.path)} for item in found.unwanted]
        told = {"deleted": given.yes, "bytes": found.size, "files": rows, "spared": dict(found.spared)}
        print_json(told)
        return 0
    out = console()
    table = grid("run", "LoRA files", "training states", "room", right=["room"])
    for name in dict.fromkeys(item.run for item in found.unwanted):
        own = [item for item in found.unwanted if item.run == name]
        tags = ", ".join(item.tag for item in own if item.tag)
        states = sum(not item.tag for item in own)
        table.add_row(escape(name), tags, str(states or ""), readable_size(sum(item.size for item in own)))
    if found.unwanted:
        out.print(table)
    for name, reason in found.spared.items():
        out.print(f"[dim]{escape(name)}: {escape(reason)}[/]", soft_wrap=True)
    room = readable_size(found.size) or "0 B"
    out.print(f"{room} freed" if given.yes else f"{room} would be freed: --yes does it")
    out.print("previews, scores and records stay", soft_wrap=True)
    return 0


def _sweep(given: argparse.Namespace) -> Sweep:
    return read_sweep_folder(sweep_folder(Path(given.sweep), given.results).path)


def readable_size(size: int) -> str:
    """Bytes for people: 151 MB, 2.3 GB; '' for none."""
    if not size:
        return ""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.1f} {unit}" if value < 10 and unit != "B" else f"{value:.0f} {unit}"
