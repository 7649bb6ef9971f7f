"""Every setting of a run; composing, loading, writing and comparing configs."""

from lora_lab.config.compose import (
    as_dict,
    compose,
    dump,
    from_dict,
    groups,
    literal,
    register,
)
from lora_lab.config.fields import parse_resolution
from lora_lab.config.inspect import (
    Setting,
    check,
    difference,
    flat,
    nearest,
    problems,
    settings,
    unknown_setting,
)
from lora_lab.config.plain import load
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
from lora_lab.config.shipped import CONF_DIR, SWEEPS_DIR
from lora_lab.config.text import key_of, kind, parse_value, quoted, repeated, unquoted, whole

__all__ = [
    "CONF_DIR",
    "SWEEPS_DIR",
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
    "key_of",
    "kind",
    "literal",
    "load",
    "nearest",
    "parse_resolution",
    "parse_value",
    "problems",
    "quoted",
    "register",
    "repeated",
    "settings",
    "unknown_setting",
    "unquoted",
    "whole",
]
