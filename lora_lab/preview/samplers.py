"""Samplers by the field's names, as diffusers schedulers on the base model's own noise schedule."""

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Sampler:
    """A sampler: `label` is A1111's name for it, `target` the diffusers class."""

    label: str
    target: str
    args: tuple[tuple[str, Any], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    """What A1111 has to be told beside, by its own names."""


_SIMPLE = ("Schedule type", "Simple")
"""A1111's schedule of evenly spaced training steps that begins at the last one, as `trailing` does."""
_UNIPC = (("UniPC order", "2"), ("UniPC variant", "bh2"), ("UniPC skip type", "time_uniform"))


SAMPLERS = {
    "ddim": Sampler("DDIM", "DDIMScheduler", (("clip_sample", False), ("set_alpha_to_one", False))),
    "euler": Sampler("Euler", "EulerDiscreteScheduler", (), (_SIMPLE,)),
    "euler_a": Sampler("Euler a", "EulerAncestralDiscreteScheduler", (), (_SIMPLE, ("ENSD", "0"))),
    "dpm++_2m": Sampler("DPM++ 2M", "DPMSolverMultistepScheduler", (), (_SIMPLE,)),
    "unipc": Sampler("UniPC", "UniPCMultistepScheduler", (), _UNIPC),
}


def build(name: str, betas: torch.Tensor, prediction_type: str) -> Any:
    """A fresh diffusers scheduler.

    Args:
        name: A key of `SAMPLERS`.
        betas: The base model's noise schedule, (T,), rescaled for zero terminal SNR where it was trained so.
        prediction_type: 'epsilon' or 'v_prediction'.
    """
    import diffusers

    sampler = SAMPLERS[name]
    terminal_zero = bool(torch.cumprod(1 - betas, 0)[-1] <= 1e-6)
    args: dict[str, Any] = dict(sampler.args)
    if terminal_zero or name != "ddim":
        # The last training step is pure noise, so sampling begins there; A1111's DDIM begins lower.
        args["timestep_spacing"] = "trailing"
    else:
        args |= {"timestep_spacing": "leading", "steps_offset": 1}
    scheduler = getattr(diffusers, sampler.target)(
        num_train_timesteps=len(betas),
        trained_betas=betas.double().numpy().tolist(),
        prediction_type=prediction_type,
        **args,
    )
    if not terminal_zero and name in ("dpm++_2m", "unipc"):
        # Programs that count in sigmas begin with sigma x noise, which is a little less than variance 1 here.
        scheduler.init_noise_sigma = float((1 - scheduler.alphas_cumprod[-1]).sqrt())
    if terminal_zero and name != "ddim":
        # Samplers that count in sigmas divide by it; diffusers, too, puts 2^-24 in place of zero.
        scheduler.alphas_cumprod[-1] = 2.0**-24
    return scheduler
