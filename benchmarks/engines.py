"""One sweep through every engine: the tables are to be equal, but for times and devices.

    python benchmarks/engines.py                                     # the demo sweep, whole
    python benchmarks/engines.py --only reference --only lion        # two of its rows
    python benchmarks/engines.py my.yaml base_model.path=... --engines local,ray

Slurm is submitit's local executor here; Ray joins RAY_ADDRESS, else it is started on this machine. An engine
that is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_lab.config import EngineConfig
from lora_lab.engines import Backend, Local, Supervisor
from lora_lab.engines.ray import Ray
from lora_lab.engines.slurm import Slurm
from lora_lab.errors import ConfigError
from lora_lab.store import SweepFolder
from lora_lab.store import table as tables
from lora_lab.sweep import SweepFile, read_sweep, select
from lora_lab.sweep import plan as make_plan
from lora_lab.sweep.launch import launch

ROOT = Path(__file__).resolve().parent.parent
BACKENDS: dict[str, Callable[[EngineConfig], Backend]] = {
    "local": Local,
    "ray": Ray,
    "slurm": lambda config: Slurm(config, "local", timeout_min=24 * 60),
}


@dataclass(frozen=True)
class Through:
    """What came of a sweep through one engine; `missing` says why it could not be tried."""

    engine: str
    table: list[dict[str, Any]]
    statuses: dict[str, str]
    seconds: float
    missing: str = ""


def through(sweep: SweepFile, overrides: Sequence[str], engine: str, results: Path) -> Through:
    """Run a sweep through an engine, into a folder of its own below `results`.

    One worker of two threads, whatever the engine: the same packs on the same number of threads.

    Raises:
        ConfigError: The sweep is wrong.
    """
    words = [*overrides, "engine.workers=1", "engine.threads=2", f"results={results / engine}"]
    plan = make_plan(sweep, words)
    backend = BACKENDS[engine](plan.base.engine)
    try:
        backend.width(plan.base.device)
    except ConfigError as error:
        return Through(engine, [], {}, 0.0, str(error))
    started = time.perf_counter()
    outcome = launch(plan, sweep, lambda event: None, extra=words, engine=Supervisor(backend))
    rows = [dict(row) for row in tables.rows(SweepFolder(plan.folder.path), timings=False)]
    return Through(engine, rows, outcome.statuses, time.perf_counter() - started)


def differences(one: Through, other: Through) -> list[str]:
    """In which cells two tables differ."""
    if len(one.table) != len(other.table):
        return [f"{len(one.table)} rows ({one.engine}) and {len(other.table)} rows ({other.engine})"]
    return [
        f"{a.get('run')} {a.get('checkpoint')} {key}: {a.get(key)} {one.engine}, {b.get(key)} {other.engine}"
        for a, b in zip(one.table, other.table, strict=True)
        for key in {**a, **b}
        if a.get(key) != b.get(key)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run it, and say what differs; 1 where something does, or where no two engines could be tried."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sweep", nargs="?", default=str(ROOT / "sweeps" / "demo.yaml"))
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--only", action="append", default=[], metavar="ROW")
    parser.add_argument("--engines", default=",".join(BACKENDS))
    given = parser.parse_intermixed_args(argv)
    sweep = select(read_sweep(Path(given.sweep)), given.only)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        found = [through(sweep, given.overrides, name, Path(folder)) for name in given.engines.split(",")]
    for item in found:
        counts = ", ".join(sorted(f"{run} {status}" for run, status in item.statuses.items()))
        print(f"{item.engine}: {item.missing or f'{item.seconds:.0f} s, {len(item.table)} rows: {counts}'}")
    tried = [item for item in found if not item.missing]
    for other in tried[1:]:
        differ = differences(tried[0], other)
        wrong += len(differ)
        print("\n".join(differ) or f"{tried[0].engine} and {other.engine}: equal tables")
    return int(bool(wrong) or len(tried) < 2)


if __name__ == "__main__":
    sys.exit(main())
