"""Where and how many at a time."""

from dataclasses import dataclass
from typing import Any

from lora_lab.config.fields import above, at_least, count_or_auto, one_of, setting


@dataclass
class EngineConfig:
    """Where and how many at a time."""

    name: str = setting(
        "local",
        "where packs run: this machine, a Ray cluster, or Slurm",
        one_of("local", "ray", "slurm"),
        trains=False,
        source="ours",
    )
    workers: int = setting(
        0,
        "processes at a time; 0 = one per GPU, or per CPU core pair; with slurm 16 jobs",
        at_least(0),
        trains=False,
        peer="num_processes",
        source="ours",
    )
    pack_size: str = setting(
        "auto",
        "most runs that train together on one base model; auto = what fits into the memory, else 8",
        count_or_auto,
        trains=False,
        source="ours",
    )
    threads: int = setting(
        0,
        "CPU threads per process, 0 = cores / workers",
        at_least(0),
        trains=False,
        peer="num_cpu_threads_per_process",
        source="ours",
    )
    hours: float = setting(
        24.0,
        "with slurm: time limit of a job, which goes on in the next one",
        above(0),
        trains=False,
        unit="hours",
        source="ours",
    )
    slurm: dict[str, Any] = setting(
        {},
        "with slurm: submitit's other parameters: partition, account, constraint, mem, setup, ...",
        trains=False,
        source="submitit",
    )
    rounds: int = setting(
        1,
        "breadth first: packs take turns at the workers, each for 1/N of its length, up to a checkpoint; "
        "1 = each to its end",
        at_least(1),
        trains=False,
        source="ours",
    )
    share_prefixes: bool = setting(
        True,
        "a run that is the beginning of a longer one takes its checkpoints from there; false trains both",
        trains=False,
        source="ours",
    )
