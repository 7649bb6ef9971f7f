"""What a run costs beside its training, previews and metrics, with libraries and base model in memory.

A small sweep goes through the same code as `lora-lab sweep` (plan, run folders, caches, checkpoints, records,
contact sheets, table), but in this process, so that starting a worker, importing the libraries and loading
the base model are left out: they are paid once per pack, and listed beside it. What is left after the phases
train, preview and metric is the overhead. Target: under 2 s per run.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest import mock

import report

from lora_lab.engines import Pack, Report
from lora_lab.run.events import Events
from lora_lab.run.interrupt import Interrupt
from lora_lab.run.task import Task
from lora_lab.run.work import PackWork
from lora_lab.store import read_record
from lora_lab.sweep import plan, rows_from_overrides
from lora_lab.sweep.launch import launch

SETTINGS = [
    "base_model=demo",
    "dataset=demo",
    "train=demo",
    "preview=demo",
    "metric=demo",
    "network.network_dim=8",
    "dataset.repeats=1",
    "train.max_train_epochs=2",
    "train.save_every_n_epochs=1",
    "preview.steps=2",
]
"""The demo's settings, short: 2 epochs of 30 images, 2 checkpoints with previews."""
MEASURED = ("train", "preview", "metric")
Clock = Callable[[], float]


@dataclass(frozen=True)
class InProcess:
    """An engine that works through packs here instead of in workers."""

    def run(self, packs: Sequence[Pack], report: Report) -> None:
        """Train pack after pack."""
        for pack in packs:
            tasks = [task for task in map(Task.open, pack.runs) if task]
            PackWork(tasks, len(tasks), Events(None), Interrupt(None)).run()


def main() -> None:
    """Measure sweeps of one run and of a whole pack, with empty and with filled caches."""
    parser = report.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 8], help="runs per sweep, default 1 8")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="default: wall")
    given = parser.parse_args()
    clock = time.process_time if given.clock == "cpu" else time.perf_counter
    rows = []
    with tempfile.TemporaryDirectory() as place:
        _sweep(1, Path(place) / "warm", clock)
        for runs in given.runs:
            for state in ("empty", "filled"):
                rows.append([str(runs), state, *_seconds(runs, Path(place) / f"cache{runs}", clock)])
    report.finish(
        given,
        f"Overhead per run, demo base, {given.clock} seconds",
        report.processor(),
        ["runs", "caches", "overhead", "of it cache", "of it save", "load once", *MEASURED],
        rows,
    )


def _seconds(runs: int, cache: Path, clock: Clock) -> list[str]:
    """Seconds per run: overhead and its known parts; loading; and what is no overhead."""
    whole, phases = _sweep(runs, cache, clock)
    rest = whole - phases["load"] - sum(phases[phase] for phase in MEASURED)
    shown = [rest, phases["cache"], phases["save"]]
    return [
        *(f"{seconds / runs:.2f}" for seconds in shown),
        f"{phases['load']:.2f}",
        *(f"{phases[phase] / runs:.2f}" for phase in MEASURED),
    ]


def _sweep(runs: int, cache: Path, clock: Clock) -> tuple[float, dict[str, float]]:
    """Plan and launch a sweep; its seconds, and those of every phase, all by `clock`."""
    phases = dict.fromkeys(("load", "cache", "save", *MEASURED), 0.0)
    with tempfile.TemporaryDirectory() as place, mock.patch("time.perf_counter", clock):
        started = clock()
        jobs = [(*SETTINGS, f"optimizer.learning_rate={1e-4 * (1 + number)}") for number in range(runs)]
        rows = rows_from_overrides(jobs, "overhead")
        extra = [f"cache={cache}", f"results={place}"]
        made = plan(rows, extra)
        with redirect_stdout(StringIO()):
            outcome = launch(made, rows, lambda event: None, extra=extra, engine=InProcess())
        whole = clock() - started
        assert set(outcome.statuses.values()) == {"done"}, outcome.reasons
        for run in made.folder.runs():
            for phase, seconds in read_record(run).seconds.items():
                phases[phase] += seconds
    return whole, phases


if __name__ == "__main__":
    main()
