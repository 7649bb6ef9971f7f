"""How many workers this machine gets, and which GPU and how many threads each one has."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from lora_lab.config import EngineConfig
from lora_lab.system import cores

CORES_PER_WORKER = 2
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Slot:
    """The share of the machine that one worker has.

    Attributes:
        gpu: Its name for CUDA_VISIBLE_DEVICES; None on a machine without GPUs.
        threads: CPU threads.
        kept: Variables of `THREADS` that the user has set and that stay as they are.
    """

    gpu: str | None
    threads: int
    kept: tuple[str, ...] = ()

    def environment(self, device: str) -> dict[str, str]:
        """Variables of a worker whose runs ask for `device`; for `cuda:1` all GPUs stay visible."""
        chosen = {name: str(self.threads) for name in THREADS if name not in self.kept}
        if self.gpu is not None and device in ("auto", "cuda"):
            chosen["CUDA_VISIBLE_DEVICES"] = self.gpu
        return chosen


def slots(config: EngineConfig, device: str = "auto", environ: Mapping[str, str] = os.environ) -> list[Slot]:
    """The workers that run at a time.

    With `engine.workers=0` one per visible GPU; without a GPU one per two cores: a worker's own threads use
    two cores well, and every further worker holds a base model of its own in memory. Threads are what
    `engine.threads` says, else the user's OMP_NUM_THREADS or MKL_NUM_THREADS, else a share of the cores.
    """
    found = [] if device in ("cpu", "mps") else gpus(environ)
    if device.startswith("cuda:"):
        found = found[:1]
    on_cpu = max(1, cores() // CORES_PER_WORKER) if device != "mps" else 1
    workers = config.workers or len(found) or on_cpu
    asked = {} if config.threads else _threads_of(environ)
    threads = config.threads or next(iter(asked.values()), max(1, cores() // workers))
    return [Slot(found[n % len(found)] if found else None, threads, tuple(asked)) for n in range(workers)]


def _threads_of(environ: Mapping[str, str]) -> dict[str, int]:
    """The variables of `THREADS` that hold a number; OpenMP's may be a list, whose first counts ('4,2')."""
    first = {name: environ.get(name, "").split(",")[0].strip() for name in THREADS}
    return {name: int(text) for name, text in first.items() if text.isdecimal() and int(text) > 0}


def gpus(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The names, for CUDA_VISIBLE_DEVICES, of the GPUs that a worker may use; empty where there are none.

    A GPU that is divided into MIG instances counts as its instances.
    """
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",") if name.strip()]
        # CUDA ignores everything from the first invalid entry on; -1 is the usual way to hide all.
        return names[: names.index("-1")] if "-1" in names else names
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return _listed(listed)


def _listed(text: str) -> list[str]:
    whole: list[str] = []
    parts: dict[str, list[str]] = {}
    for line in text.splitlines():
        if found := re.match(r"GPU (\d+):", line):
            whole.append(found[1])
        elif whole and (found := re.search(r"UUID: (MIG-[^)]+)\)", line)):
            parts.setdefault(whole[-1], []).append(found[1])
    return [name for gpu in whole for name in parts.get(gpu, [gpu])]
