"""Packs as tasks of a Ray cluster: many GPUs and machines, which share the disk with the results.

Joins the cluster at RAY_ADDRESS, else starts Ray on this machine. Every machine needs this package, and sees
results, caches and images under the same paths.
"""

from __future__ import annotations

import os
from typing import Any

from lora_lab.config import EngineConfig
from lora_lab.engines.backend import Ending
from lora_lab.engines.desk import Desk
from lora_lab.engines.pack import Pack
from lora_lab.engines.remote import DeskJob
from lora_lab.engines.slots import CORES_PER_WORKER, THREADS
from lora_lab.errors import ConfigError
from lora_lab.system import keeping_signals

ON_CPU = ("cpu", "mps")
KILL_SECONDS = 10.0


class Ray:
    """Starts workers as tasks; a lost node takes nothing but the steps since the last saved state."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._cpus, self._gpus = 1.0, 0.0
        self._began = False

    def width(self, device: str) -> int:
        """As many packs as the cluster has GPUs, or shares of its cores.

        Raises:
            ConfigError: Ray is not installed, or cannot be reached.
        """
        ray = _ray()
        self._connect(ray)
        have = ray.cluster_resources()
        cores, gpus = have.get("CPU", 1.0), have.get("GPU", 0.0)
        on_gpu = gpus >= 1 and device not in ON_CPU
        self._gpus = 1.0 if on_gpu else 0.0
        share = max(1, int(cores // gpus)) if on_gpu else CORES_PER_WORKER
        self._cpus = float(min(self._config.threads or share, max(1, int(cores))))
        fit = int(gpus) if on_gpu else max(1, int(cores // self._cpus))
        return min(self._config.workers or fit, fit)

    def _connect(self, ray: Any) -> None:
        if ray.is_initialized():
            return
        address = os.environ.get("RAY_ADDRESS")
        try:
            # Ray takes SIGTERM for itself, which here means: save and end.
            with keeping_signals():
                ray.init(
                    address=address, log_to_driver=False, include_dashboard=False if not address else None
                )
        except Exception as error:
            where = f"the cluster at RAY_ADDRESS={address}" if address else "Ray on this machine"
            raise ConfigError(f"engine=ray: cannot use {where}: {error}; set engine=local") from error
        self._began = True

    def start(self, pack: Pack, desk: Desk, place: int) -> RayWork:
        """Hand the pack to the cluster, which starts it when it has the room."""
        ray = _ray()
        threads = {name: str(int(self._cpus)) for name in THREADS}
        task = ray.remote(_do).options(
            num_cpus=self._cpus, num_gpus=self._gpus, max_retries=0, name=",".join(pack.names)
        )
        return RayWork(task.remote(DeskJob.of(desk, threads)), desk)

    def facts(self, place: int) -> dict[str, object]:
        """What each task has."""
        return {"gpu": f"{self._gpus:g} of Ray's" if self._gpus else None, "threads": int(self._cpus)}

    def close(self) -> None:
        """Leave the cluster, or end the one that was begun here."""
        if self._began:
            with keeping_signals():
                _ray().shutdown()
            self._began = False


class RayWork:
    """A task."""

    def __init__(self, task: Any, desk: Desk) -> None:
        self._task = task
        self._desk = desk

    def poll(self) -> Ending | None:
        """See `Work`."""
        ray = _ray()
        if not ray.wait([self._task], timeout=0)[0]:
            return None
        try:
            return Ending(ray.get(self._task))
        except ray.exceptions.RayTaskError as error:
            return Ending(None, words=f"the worker could not be started: {error.cause}")
        except ray.exceptions.TaskCancelledError:
            return Ending(None, words="the task was cancelled")
        except ray.exceptions.RayError as error:
            return Ending(None, lost=True, words=f"its node was lost ({type(error).__name__})")

    def stop(self) -> None:
        """Where it waits for room still, it need not begin."""
        if not self._desk.begun:
            _ray().cancel(self._task)

    def kill(self) -> None:
        """See `Work`."""
        ray = _ray()
        if ray.wait([self._task], timeout=0)[0]:
            return
        self._desk.orders.kill()
        if not ray.wait([self._task], timeout=KILL_SECONDS if self._desk.begun else 0)[0]:
            ray.cancel(self._task, force=True)


def _do(job: DeskJob) -> int:
    """The task itself."""
    return job()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            f"engine=ray needs Ray ({error}): pip install 'lora-lab[ray]', or set engine=local"
        ) from error
    return ray
