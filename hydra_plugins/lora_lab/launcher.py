"""A Hydra launcher that starts nothing: it hands the rows of a multirun to lora_lab, which plans them."""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class LauncherConf:
    """Names the class to Hydra."""

    _target_: str = "hydra_plugins.lora_lab.launcher.LoraLabLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="lora_lab", node=LauncherConf, provider="lora_lab")


class LoraLabLauncher(Launcher):
    """Passes all rows on at once, so that they can be checked and packed together."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Part of Hydra's interface; nothing here is needed."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Hand over the rows; every job counts as completed, since none is Hydra's."""
        # Hydra imports every plugin at start; the import waits until this one is used.
        from lora_lab.config.multirun import collect

        collect(job_overrides)
        return [JobReturn(_return_value=0, status=JobStatus.COMPLETED) for _ in job_overrides]
