"""Every setting of a run, each declared once: one module per group, and the whole run.

The defaults here are the field's plain or "off" values; recommended values are in `conf/`. OmegaConf reads
these classes as structured configs, so they are plain (not frozen) dataclasses with built-in types.
"""

from dataclasses import dataclass, field

from lora_lab.config.fields import device as device_rule
from lora_lab.config.fields import setting
from lora_lab.config.schema.base_model import BaseModelConfig
from lora_lab.config.schema.budget import BudgetConfig
from lora_lab.config.schema.dataset import DatasetConfig
from lora_lab.config.schema.engine import EngineConfig
from lora_lab.config.schema.loss import LossConfig
from lora_lab.config.schema.lr_scheduler import LrSchedulerConfig
from lora_lab.config.schema.metric import MetricConfig
from lora_lab.config.schema.network import NetworkConfig
from lora_lab.config.schema.optimizer import OptimizerConfig
from lora_lab.config.schema.preview import PreviewConfig
from lora_lab.config.schema.stop import StopConfig
from lora_lab.config.schema.train import TrainConfig

__all__ = [
    "BaseModelConfig",
    "BudgetConfig",
    "DatasetConfig",
    "EngineConfig",
    "LossConfig",
    "LrSchedulerConfig",
    "MetricConfig",
    "NetworkConfig",
    "OptimizerConfig",
    "PreviewConfig",
    "RunConfig",
    "StopConfig",
    "TrainConfig",
]


@dataclass
class RunConfig:
    """One training run, whole."""

    name: str = setting(
        "", "name of the run, its folder", trains=False, peer="--output_name", source="sd-scripts"
    )
    sweep: str = setting("", "name of the sweep it belongs to", trains=False, source="ours")
    results: str = setting(
        "results",
        "folder of all results",
        trains=False,
        peer="--output_dir",
        source="sd-scripts",
        path=True,
    )
    cache: str = setting(
        "cache",
        "folder of latents and text states, shared by all sweeps",
        trains=False,
        source="ours",
        path=True,
    )
    device: str = setting(
        "auto", "auto, cpu, cuda, cuda:N or mps", device_rule, trains=False, peer="gpu_ids", source="ours"
    )
    base_model: BaseModelConfig = field(default_factory=BaseModelConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    lr_scheduler: LrSchedulerConfig = field(default_factory=LrSchedulerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    preview: PreviewConfig = field(default_factory=PreviewConfig)
    metric: MetricConfig = field(default_factory=MetricConfig)
    stop: StopConfig = field(default_factory=StopConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
