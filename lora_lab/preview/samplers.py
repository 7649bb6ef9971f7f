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


SAMPLERS = {
    "ddim": Sampler("DDIM", "DDIMScheduler", (("clip_sample", False), ("set_alpha_to_one", False))),
    "euler": Sampler("Euler", "EulerDiscreteScheduler"),
    "euler_a": Sampler("Euler a", "EulerAncestralDiscreteScheduler"),
    "dpm++_2m": Sampler("DPM++ 2M", "DPMSolverMultistepScheduler"),
    "unipc": Sampler("UniPC", "UniPCMultistepScheduler"),
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
    if terminal_zero or name in ("euler", "euler_a"):
        # The last training step is pure noise, so sampling has to begin there.
        args["timestep_spacing"] = "trailing"
    else:
        args |= {"timestep_spacing": "leading", "steps_offset": 1}
    scheduler = getattr(diffusers, sampler.target)(
        num_train_timesteps=len(betas),
        trained_betas=betas.double().numpy().tolist(),
        prediction_type=prediction_type,
        **args,
    )
    if terminal_zero and name != "ddim":
        # Samplers that count in sigmas divide by it; diffusers, too, puts 2^-24 in place of zero.
        scheduler.alphas_cumprod[-1] = 2.0**-24
    return scheduler
