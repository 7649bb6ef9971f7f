"""What optimizer classes take for arguments that nobody gives, so that one written out changes nothing.

Held to the installed classes by a test.
"""

import math
from collections.abc import Mapping

_ADAMW: Mapping[str, object] = {"betas": (0.9, 0.999), "eps": 1e-08, "weight_decay": 0.01}
_ADAMW_8BIT: Mapping[str, object] = {**_ADAMW, "min_8bit_size": 4096}
_LION_8BIT: Mapping[str, object] = {"betas": (0.9, 0.99), "weight_decay": 0, "min_8bit_size": 4096}
_DADAPT_ADAN: Mapping[str, object] = {
    "betas": (0.98, 0.92, 0.99),
    "eps": 1e-08,
    "weight_decay": 0.02,
    "no_prox": False,
    "log_every": 0,
    "d0": 1e-06,
    "growth_rate": math.inf,
}

CLASS_DEFAULTS: dict[str, Mapping[str, object]] = {
    "bitsandbytes.optim.AdamW8bit": _ADAMW_8BIT,
    "bitsandbytes.optim.Lion8bit": _LION_8BIT,
    "bitsandbytes.optim.PagedAdamW": _ADAMW,
    "bitsandbytes.optim.PagedAdamW32bit": _ADAMW,
    "bitsandbytes.optim.PagedAdamW8bit": _ADAMW_8BIT,
    "bitsandbytes.optim.PagedLion8bit": _LION_8BIT,
    "bitsandbytes.optim.SGD8bit": {
        "momentum": 0,
        "dampening": 0,
        "weight_decay": 0,
        "nesterov": False,
        "min_8bit_size": 4096,
    },
    "dadaptation.DAdaptAdaGrad": {
        "momentum": 0,
        "log_every": 0,
        "weight_decay": 0.0,
        "eps": 1e-06,
        "d0": 1e-06,
        "growth_rate": math.inf,
    },
    "dadaptation.DAdaptAdam": {
        "betas": (0.9, 0.999),
        "eps": 1e-08,
        "weight_decay": 0,
        "log_every": 0,
        "decouple": False,
        "use_bias_correction": False,
        "d0": 1e-06,
        "growth_rate": math.inf,
    },
    "dadaptation.DAdaptAdan": _DADAPT_ADAN,
    "dadaptation.DAdaptLion": {"betas": (0.9, 0.99), "weight_decay": 0.0, "log_every": 0, "d0": 1e-06},
    "dadaptation.DAdaptSGD": {
        "momentum": 0.0,
        "weight_decay": 0,
        "log_every": 0,
        "d0": 1e-06,
        "growth_rate": math.inf,
    },
    "dadaptation.experimental.DAdaptAdamPreprint": {
        "betas": (0.9, 0.999),
        "eps": 1e-08,
        "weight_decay": 0,
        "log_every": 0,
        "decouple": False,
        "d0": 1e-06,
        "growth_rate": math.inf,
    },
    "dadaptation.experimental.DAdaptAdanIP": _DADAPT_ADAN,
    "lora_lab.optim.adafactor.Adafactor": {
        "eps": (1e-30, 0.001),
        "clip_threshold": 1.0,
        "decay_rate": -0.8,
        "beta1": None,
        "weight_decay": 0.0,
        "scale_parameter": True,
        "relative_step": True,
        "warmup_init": False,
    },
    "lora_lab.optim.lion.Lion": {"betas": (0.9, 0.99), "weight_decay": 0.0},
    "prodigyopt.Prodigy": {
        "betas": (0.9, 0.999),
        "beta3": None,
        "eps": 1e-08,
        "weight_decay": 0,
        "decouple": True,
        "use_bias_correction": False,
        "safeguard_warmup": False,
        "d0": 1e-06,
        "d_coef": 1.0,
        "growth_rate": math.inf,
        "slice_p": 1,
    },
    "schedulefree.AdamWScheduleFree": {
        "betas": (0.9, 0.999),
        "eps": 1e-08,
        "weight_decay": 0,
        "warmup_steps": 0,
        "r": 0.0,
        "weight_lr_power": 2.0,
    },
    "schedulefree.RAdamScheduleFree": {
        "betas": (0.9, 0.999),
        "eps": 1e-08,
        "weight_decay": 0,
        "r": 0.0,
        "weight_lr_power": 2.0,
        "silent_sgd_phase": True,
    },
    "schedulefree.SGDScheduleFree": {
        "momentum": 0.9,
        "weight_decay": 0,
        "warmup_steps": 0,
        "r": 0.0,
        "weight_lr_power": 2,
    },
    "torch.optim.AdamW": {
        "betas": (0.9, 0.999),
        "eps": 1e-08,
        "weight_decay": 0.01,
        "amsgrad": False,
        "maximize": False,
    },
    "torch.optim.SGD": {
        "momentum": 0,
        "dampening": 0,
        "weight_decay": 0,
        "nesterov": False,
        "maximize": False,
    },
}
"""By the class's dotted path."""
