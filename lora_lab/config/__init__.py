"""Every setting of a run; composing, loading, writing and comparing configs."""

from lora_lab.config.compose import CONF_DIR, as_dict, compose, dump, from_dict, groups, load, register
from lora_lab.config.fields import parse_resolution
from lora_lab.config.inspect import Setting, check, difference, flat, nearest, problems, settings
from lora_lab.config.plain import load_plain
from lora_lab.config.schema import (
    BaseModelConfig,
    DatasetConfig,
    EngineConfig,
    LossConfig,
    LrSchedulerConfig,
    MetricConfig,
    NetworkConfig,
    OptimizerConfig,
    PreviewConfig,
    RunConfig,
    TrainConfig,
)

__all__ = [
    "CONF_DIR",
    "BaseModelConfig",
    "DatasetConfig",
    "EngineConfig",
    "LossConfig",
    "LrSchedulerConfig",
    "MetricConfig",
    "NetworkConfig",
    "OptimizerConfig",
    "PreviewConfig",
    "RunConfig",
    "Setting",
    "TrainConfig",
    "as_dict",
    "check",
    "compose",
    "difference",
    "dump",
    "flat",
    "from_dict",
    "groups",
    "load",
    "load_plain",
    "nearest",
    "parse_resolution",
    "problems",
    "register",
    "settings",
]
