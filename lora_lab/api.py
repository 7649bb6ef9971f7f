"""Sweeps from Python: what the command line does, as functions. Without torch, but for `train_run`.

    import lora_lab

    plan = lora_lab.plan("sweeps/demo.yaml", ["results=/data/results"])
    print([(row.name, row.status) for row in plan.rows])
    outcome = lora_lab.launch("sweeps/demo.yaml", ["results=/data/results"])
    verdict = lora_lab.judge(lora_lab.evidence(outcome.folder.path, metric="likeness"))
    for setting in verdict.settings:
        print(setting.key, [contrast.difference for contrast in setting.contrasts])

Every function raises a subclass of `lora_lab.errors.LoraLabError` whose text is meant for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_lab.engines import Engine, Event
from lora_lab.store import RunRecord, SweepFolder, read_record
from lora_lab.store import table as tables
from lora_lab.sweep import Plan, SweepFile, read_sweep
from lora_lab.sweep import plan as make_plan
from lora_lab.verdict.evidence import Evidence
from lora_lab.verdict.gather import evidence as gather
from lora_lab.verdict.judge import judge as make_verdict
from lora_lab.verdict.result import Verdict
from lora_lab.verdict.taken import take

if TYPE_CHECKING:
    from lora_lab.sweep.launch import Outcome

__all__ = ["evidence", "judge", "launch", "plan", "table", "train_run"]


def plan(sweep: str | Path | SweepFile, overrides: Sequence[str] = (), **choices: Any) -> Plan:
    """What a sweep would do: rows, duplicates, settings without effect, packs, what it can compare.

    Args:
        sweep: A sweep file, or what was read of one.
        overrides: Settings for every row, as `key=value`.
        choices: `conf_dirs`, `folder`, `retry` and `redo` of `lora_lab.sweep.plan`.

    Raises:
        ConfigError: Every mistake of every row at once.
    """
    return make_plan(_read(sweep), overrides, **choices)


def launch(
    sweep: str | Path | SweepFile,
    overrides: Sequence[str] = (),
    *,
    report: Any = None,
    engine: Engine | None = None,
    **choices: Any,
) -> Outcome:
    """Train the rows that are not done yet; the same call goes on where it was stopped.

    Args:
        report: Called with every `engines.Event`, in this thread.
        engine: Where packs run; None is what `engine.name` says.
        choices: As for `plan`.

    Raises:
        ConfigError: A mistake in a row, or a folder that holds something else; nothing was started.
    """
    from lora_lab.sweep.launch import launch as start

    read = _read(sweep)
    made = make_plan(read, overrides, **choices)
    return start(made, read, report or _silent, extra=overrides, engine=engine)


def table(folder: str | Path, **choices: Any) -> list[dict[str, Any]]:
    """The results of a sweep, one row per checkpoint.

    Args:
        folder: The sweep's folder of results.
        choices: `all_settings` and `timings` of `store.table.rows`.

    Raises:
        RunFolderError: The folder holds no runs.
    """
    return [dict(row) for row in tables.rows(SweepFolder(Path(folder)), **choices)]


def evidence(folder: str | Path, **choices: Any) -> Evidence:
    """What is known of a sweep's runs: settings that acted, scores, metrics, costs.

    Args:
        folder: The sweep's folder of results.
        choices: `raters`, `score` (last, best or a checkpoint) and `metric` of `verdict.evidence`.

    Raises:
        RunFolderError: The folder holds no runs, or no checkpoint has the metric.
    """
    return gather(SweepFolder(Path(folder)), **choices)


def judge(found: Evidence, **choices: Any) -> Verdict:
    """What the scores support, setting by setting, as `lora-lab verdict` says it.

    The verdict is kept in the sweep's folder: who asks again after every new score gives chance another try
    each time, and intervals allow for that. The noise that is expected comes from the sweeps beside it.

    Args:
        found: From `evidence`.
        choices: Those of `verdict.judge`. With `looks` or `prior` nothing is kept, and what is given counts.
            Nor is a verdict without any score kept.

    Raises:
        ConfigError: A choice is out of its range.
    """
    if not found.folder or not found.scored or {"looks", "prior"} & set(choices):
        return make_verdict(found, **choices)
    return take(SweepFolder(Path(found.folder)), found, **choices)


def train_run(folder: str | Path) -> RunRecord:
    """Do one run folder (it holds a `config.yaml`) in this process, start to finish; needs torch.

    Returns:
        The run's record: a run that fails or diverges is a status with a reason, not an exception.

    Raises:
        RunFolderError: It is no run folder, or another process works on it.
    """
    from lora_lab.errors import RunFolderError
    from lora_lab.run.events import Events
    from lora_lab.run.interrupt import Interrupt
    from lora_lab.run.task import Task
    from lora_lab.run.work import PackWork
    from lora_lab.store import RunFolder

    run = RunFolder(Path(folder).resolve())
    task = Task.open(run)
    if task is None:
        raise RunFolderError(f"{run.path} is being worked on by another process")
    PackWork([task], 1, Events(None), Interrupt(None)).run()
    return read_record(run)


def _read(sweep: str | Path | SweepFile) -> SweepFile:
    return sweep if isinstance(sweep, SweepFile) else read_sweep(Path(sweep))


def _silent(_: Event) -> None:
    """Nobody listens."""
