"""Samplers by the field's names, as diffusers schedulers on the base model's own noise process."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lora_lab.errors import ConfigError
from lora_lab.losses.ddpm import Ddpm
from lora_lab.losses.flow import STEPS
from lora_lab.losses.process import PROCESSES, NoiseProcess

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sampler:
    """A sampler: `label` is A1111's name for it, `target` the diffusers class, `flow` that for flows."""

    label: str
    target: str
    args: tuple[tuple[str, Any], ...] = ()
    flow: str = ""
    notes: tuple[tuple[str, str], ...] = ()
    """What A1111 has to be told beside, by its own names."""


_SIMPLE = ("Schedule type", "Simple")
"""A1111's schedule of evenly spaced training steps that begins at the last one, as `trailing` does."""
_UNIPC = (("UniPC order", "2"), ("UniPC variant", "bh2"), ("UniPC skip type", "time_uniform"))


SAMPLERS = {
    "ddim": Sampler("DDIM", "DDIMScheduler", (("clip_sample", False), ("set_alpha_to_one", False))),
    "euler": Sampler(
        "Euler", "EulerDiscreteScheduler", flow="FlowMatchEulerDiscreteScheduler", notes=(_SIMPLE,)
    ),
    "euler_a": Sampler("Euler a", "EulerAncestralDiscreteScheduler", notes=(_SIMPLE, ("ENSD", "0"))),
    "dpm++_2m": Sampler("DPM++ 2M", "DPMSolverMultistepScheduler", notes=(_SIMPLE,)),
    "unipc": Sampler("UniPC", "UniPCMultistepScheduler", notes=_UNIPC),
}


def build(name: str, process: NoiseProcess, steps: int, device: Any, flow_shift: float = 1.0) -> Any:
    """A fresh diffusers scheduler with its timesteps set.

    Args:
        name: A key of `SAMPLERS`.
        process: The run's noise process.
        flow_shift: Where a flow spends its steps: above 1 towards noise.
    """
    if isinstance(process, Ddpm):
        made = _over_betas(name, process.schedule.betas_T, process.prediction_type)
        made.set_timesteps(steps, device=device)
        return made
    import diffusers

    if not SAMPLERS[name].flow:
        known = " or ".join(PROCESSES[process.name].samplers)
        raise ConfigError(f"preview.sampler={name}: the base model is a flow; use {known}")
    made = getattr(diffusers, SAMPLERS[name].flow)(num_train_timesteps=STEPS, shift=flow_shift)
    # Given the sigmas, the scheduler shifts them once; given their number, it shifts the last one twice.
    made.set_timesteps(sigmas=[1 - step / steps for step in range(steps)], device=device)
    return made


def first(scheduler: Any, noise: "Tensor") -> "Tensor":
    """What sampling begins with; a flow begins with the noise itself."""
    return noise * getattr(scheduler, "init_noise_sigma", 1.0)


def scaled(scheduler: Any, latents: "Tensor", timestep: "Tensor") -> "Tensor":
    """Latents as the model is to see them."""
    if not hasattr(scheduler, "scale_model_input"):
        return latents
    found: Tensor = scheduler.scale_model_input(latents, timestep)
    return found


def _over_betas(name: str, betas: "Tensor", prediction_type: str) -> Any:
    """A scheduler on a noise schedule, (T,), that may be rescaled to zero terminal SNR."""
    import diffusers
    import torch

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
