"""Commands that plan and start runs: train, sweep, plan."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_lab import config
from lora_lab.cli.as_json import print_json
from lora_lab.config.compose import SEVERAL
from lora_lab.config.text import repeated
from lora_lab.errors import ConfigError
from lora_lab.store import SweepFolder
from lora_lab.store.locks import is_locked
from lora_lab.sweep import Plan, SweepFile, read_sweep, rows_from_overrides, select
from lora_lab.sweep import plan as make_plan
from lora_lab.sweep.rows import is_of_the_sweep
from lora_lab.sweep.run_names import joined, name_problem, split

if TYPE_CHECKING:
    from lora_lab.sweep.launch import Outcome

WAIT_SECONDS = 120.0
"""How long workers of a command that has just been killed may take to notice it, and to save."""

POLL_SECONDS = 0.5


def train(given: argparse.Namespace) -> int:
    """One run, or a grid of runs by Hydra's multirun."""
    words: list[str] = given.overrides
    if given.cfg:
        return _print_config(words, given)
    extra = [
        text for text in words if is_of_the_sweep(split(text)[0]) and split(text)[0] not in ("name", "sweep")
    ]
    names = {key: config.unquoted(value) for key, value in map(split, words) if key in ("name", "sweep")}
    own = [text for text in words if text not in extra and split(text)[0] not in names]
    if given.multirun:
        if "name" in names:
            raise ConfigError("name=... names a single run; with -m, sweep=... names the folder of all runs")
        from lora_lab.config.multirun import expand

        jobs = expand(own, given.config_dir)
    else:
        # What is wrong is said before anything else looks at the words.
        _one_run(words, given.config_dir)
        jobs = [tuple(own)]
    rows = rows_from_overrides(jobs)
    if names.get("name"):
        rows = replace(rows, rows=tuple(replace(row, name=names["name"]) for row in rows.rows))
    shared = joined([split(text) for text in rows.base])
    rows = replace(rows, name=names.get("sweep") or shared or "train")
    if given.dry_run:
        made = make_plan(rows, extra, given.config_dir, retry=given.retry, redo=given.redo)
        return _show(made, given.json, given.language)
    return _start(rows, extra, None, given)


def _one_run(words: Sequence[str], conf_dirs: Sequence[str]) -> None:
    """Hold the words of a single run to the settings.

    Raises:
        ConfigError: Every mistake; where there are several values, how to train a grid of them.
    """
    try:
        config.compose(words, conf_dirs, checked=False)
    except ConfigError as error:
        advice = f"{SEVERAL}: use -m for a run of each"
        raise ConfigError(str(error).replace(SEVERAL, advice)) from None
    _refuse_repeated(words)


def _refuse_repeated(words: Sequence[str]) -> None:
    """Refuse words of which only the last would count.

    Raises:
        ConfigError: The keys that several words set.
    """
    if twice := repeated(words):
        raise ConfigError("\n".join(f"{key} stands more than once: give it one value" for key in twice))


def _print_config(words: Sequence[str], given: argparse.Namespace) -> int:
    import yaml

    values = config.as_dict(config.compose(words, given.config_dir, checked=False))
    for part in given.package.split(".") if given.package else ():
        if not isinstance(values, dict) or part not in values:
            raise ConfigError(
                f"--package {given.package}: unknown; known: {', '.join(config.as_dict(config.RunConfig()))}"
            )
        values = values[part]
    sys.stdout.write(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
    return 0


def sweep(given: argparse.Namespace) -> int:
    """The rows of a sweep file that are not done yet, and those that its search proposes."""
    told, code = do_sweep(given)
    if given.json:
        print_json(told)
    return code


def do_sweep(given: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Work on a sweep, with the options of `lora-lab sweep`; how it ended, for programs, and the exit code.

    Raises:
        ConfigError: There is no such sweep, or it cannot begin; nothing was started.
    """
    rows, folder, extra = asked_for(given)
    if rows.search and not given.only:
        from lora_lab.cli.searching import search

        return search(rows, extra, folder, given)
    return _carried_out(rows, extra, folder, given)


def plan(given: argparse.Namespace) -> int:
    """What a sweep would do."""
    rows, folder, extra = asked_for(given)
    if rows.search:
        from lora_lab.sweep.searching import as_it_stands

        rows = as_it_stands(rows, extra, folder)
    made = make_plan(rows, extra, given.config_dir, folder=folder)
    if given.calibrate and made.packs:
        from lora_lab.sweep.calibrate import calibrate

        calibrate(made, lambda event: None)
        made = make_plan(rows, extra, given.config_dir, folder=folder)
    return _show(made, given.json, given.language)


def _show(made: Plan, as_json: bool, language: str) -> int:
    """Print a plan; 1 where the budget is too small for it."""
    if as_json:
        print_json(made.to_json())
    else:
        from lora_lab.cli.plan_view import show_plan

        show_plan(made, language)
    return 1 if made.over_budget else 0


def asked_for(given: argparse.Namespace) -> tuple[SweepFile, SweepFolder | None, list[str]]:
    """The sweep, its folder where it is one, and the overrides for every row.

    `sweep=NAME` among the words gives the results of a sweep file a folder of that name.

    Raises:
        ConfigError: There is no such sweep, the file is wrong, or a word would do nothing.
    """
    rows, folder = read(given.sweep, given.only)
    _refuse_repeated(given.overrides)
    named = {key: value for key, value in map(split, given.overrides) if key in ("name", "sweep")}
    if "name" in named:
        raise ConfigError(
            "name=... names a single run of `lora-lab train`; the rows of a sweep are called as in its file"
        )
    if "sweep" not in named:
        return rows, folder, list(given.overrides)
    if folder:
        raise ConfigError(
            f"sweep={named['sweep']}: {folder.path} is a sweep's folder already; rename the folder, or give "
            "the sweep file"
        )
    if problem := name_problem(named["sweep"].strip("'\"")):
        raise ConfigError(f"sweep: {problem}")
    rows = replace(rows, name=named["sweep"].strip("'\""))
    return rows, None, [text for text in given.overrides if split(text)[0] != "sweep"]


def read(name: str, only: Sequence[str]) -> tuple[SweepFile, SweepFolder | None]:
    """The sweep that a file or a folder of results describes; the folder where it is one.

    Raises:
        ConfigError: There is no such sweep, or the file is wrong.
    """
    path, folder = _shipped(Path(name)), None
    if path.is_dir():
        folder = SweepFolder(path)
        if not folder.sweep_file.is_file():
            raise ConfigError(f"{path} is no sweep's folder: it holds no {folder.sweep_file.name}")
        path = folder.sweep_file
    rows = read_sweep(path)
    if folder:
        rows = replace(rows, name=folder.path.resolve().name)
    return select(rows, only), folder


def shipped_sweep(name: str) -> Path:
    """The sweep file of this name that comes with the program, whether there is one or not."""
    return (config.SWEEPS_DIR / name).with_suffix(".yaml")


def _shipped(path: Path) -> Path:
    """The path itself where it exists, else the shipped sweep of that name (`demo`, `sweeps/demo.yaml`)."""
    shipped = shipped_sweep(path.name)
    return shipped if not path.exists() and shipped.is_file() else path


def _start(
    rows: SweepFile, extra: Sequence[str], folder: SweepFolder | None, given: argparse.Namespace
) -> int:
    """Plan, start, and say how it ended."""
    told, code = _carried_out(rows, extra, folder, given)
    if given.json:
        print_json(told)
    return code


def _carried_out(
    rows: SweepFile, extra: Sequence[str], folder: SweepFolder | None, given: argparse.Namespace
) -> tuple[dict[str, Any], int]:
    """Plan and start; how it ended, for programs, and the exit code."""
    from lora_lab.cli.ending import as_plain, exit_code

    made, outcome = carry_out(rows, extra, folder, given)
    return as_plain(made, outcome), exit_code(outcome)


def carry_out(
    rows: SweepFile, extra: Sequence[str], folder: SweepFolder | None, given: argparse.Namespace
) -> tuple[Plan, Outcome]:
    """Plan rows, start what is to be done, show the progress, and say how it ended.

    Args:
        extra: Overrides for every row; they win.
        folder: Where the runs lie, if not in `results/<name>`.
        given: The options `config_dir`, `retry`, `redo`, `quiet` and `notify`.
    """
    made = _planned(rows, extra, folder, given)
    # Engines, tables and progress bars are needed only now.
    from lora_lab.cli.ending import show_ending, show_start
    from lora_lab.cli.notify import Notices
    from lora_lab.cli.progress import watching
    from lora_lab.sweep.launch import launch

    show_start(made)
    notices = Notices(made.name, given.notify)
    with watching(made, quiet=given.quiet) as report:
        outcome = launch(made, rows, notices.beside(report), extra=extra)
    show_ending(made, outcome)
    notices.end(outcome)
    return made, outcome


def _planned(
    rows: SweepFile, extra: Sequence[str], folder: SweepFolder | None, given: argparse.Namespace
) -> Plan:
    """The plan, after workers of a command that was just killed have let go of their runs."""

    def make() -> Plan:
        return make_plan(rows, extra, given.config_dir, folder=folder, retry=given.retry, redo=given.redo)

    made = make()
    busy = [made.folder.run(row.name) for row in made.rows if row.status == "running"]
    if not busy:
        return made
    names = ", ".join(run.name for run in busy)
    sys.stderr.write(f"waiting for another process to let go of {names}\n")
    deadline = time.monotonic() + WAIT_SECONDS
    while any(is_locked(run) for run in busy) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return make()
