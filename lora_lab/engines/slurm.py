"""Packs as Slurm jobs, by submitit: a job that is pre-empted or timed out saves, and is queued again.

The launcher waits for the jobs, and may be ended and started again. Every machine needs this package, and
sees results, caches and images under the same paths.
"""

from __future__ import annotations

from typing import Any

from lora_lab.config import EngineConfig
from lora_lab.engines.backend import Ending
from lora_lab.engines.desk import Desk
from lora_lab.engines.pack import Pack
from lora_lab.engines.remote import DeskJob
from lora_lab.engines.slots import CORES_PER_WORKER, THREADS
from lora_lab.errors import ConfigError, RunFolderError

IN_THE_QUEUE = 16
"""Jobs that wait or run at a time, where `engine.workers` does not say."""

SIGNAL_SECONDS = 120
"""How long before the time limit a job is told to save."""

SAVED = 130
KILL_SECONDS = 15.0
MOST_TIMEOUTS = 1000
"""How often a job may reach its limit and go on: what makes no progress ends by the supervisor's count."""


class Slurm:
    """Submits jobs; `cluster` is 'local' in tests, where submitit's own executor stands in for Slurm."""

    def __init__(self, config: EngineConfig, cluster: str = "slurm", **parameters: Any) -> None:
        self._config = config
        self._cluster = cluster
        self._parameters = parameters

    def width(self, device: str) -> int:
        """So many jobs at a time.

        Raises:
            ConfigError: submitit is not installed, or there is no Slurm here.
        """
        submitit = _submitit()
        if self._cluster == "slurm" and submitit.SlurmExecutor.affinity() < 0:
            raise ConfigError(
                "engine=slurm: there is no srun on this machine; start on a login node of the cluster"
            )
        return self._config.workers or IN_THE_QUEUE

    def start(self, pack: Pack, desk: Desk, place: int) -> SlurmWork:
        """Submit the pack."""
        submitit = _submitit()
        threads = self._config.threads or CORES_PER_WORKER
        options = {f"{self._cluster}_max_num_timeout": MOST_TIMEOUTS}
        executor = submitit.AutoExecutor(desk.orders.path / "job", cluster=self._cluster, **options)
        usual = {
            "name": "lora-lab",
            "timeout_min": max(1, round(self._config.hours * 60)),
            "cpus_per_task": threads,
            "gpus_per_node": 0 if pack.device in ("cpu", "mps") else 1,
            "slurm_signal_delay_s": SIGNAL_SECONDS,
        }
        own = {f"slurm_{key}": value for key, value in self._config.slurm.items()}
        try:
            executor.update_parameters(**{**usual, **own, **self._parameters})
            job = executor.submit(DeskJob.of(desk, {name: str(threads) for name in THREADS}))
        except (submitit.core.utils.FailedJobError, OSError) as error:
            raise RunFolderError(f"engine=slurm: the job was not taken: {error}") from error
        except (ValueError, TypeError, NameError, AssertionError) as error:
            raise ConfigError(f"engine.slurm: {error}") from error
        return SlurmWork(job, desk)

    def facts(self, place: int) -> dict[str, object]:
        """Where a job runs is Slurm's business."""
        return {"threads": self._config.threads or CORES_PER_WORKER}

    def close(self) -> None:
        """Jobs are on their own."""


class SlurmWork:
    """A job, through all the times that it is queued again."""

    def __init__(self, job: Any, desk: Desk) -> None:
        self._job = job
        self._desk = desk

    def poll(self) -> Ending | None:
        """See `Work`."""
        if not self._job.done():
            return None
        try:
            code = int(self._job.result())
        except Exception as error:
            # Whatever submitit has to say: it ended without a result, or with an exception of ours.
            last = str(error).strip().splitlines()[-1:]
            return Ending(None, lost=True, words=f"job {self._job.job_id} was lost: {' '.join(last)}")
        asked = self._desk.orders.stop_file.exists()
        return Ending(
            code, lost=code == SAVED and not asked, words="its job was ended" if code == SAVED else ""
        )

    def stop(self) -> None:
        """Where it waits in the queue still, it need not begin."""
        if not self._desk.begun:
            self._job.cancel(check=False)

    def kill(self) -> None:
        """See `Work`."""
        if self._job.done():
            return
        self._desk.orders.kill()
        if self._desk.begun:
            self._desk.wait_for(self._job.done, KILL_SECONDS)
        if not self._job.done():
            self._job.cancel(check=False)


def _submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise ConfigError(
            f"engine=slurm needs submitit ({error}): pip install 'lora-lab[slurm]', or set engine=local"
        ) from error
    return submitit
