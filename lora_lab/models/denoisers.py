"""How each kind of denoiser is asked. A family names its function by import path (`Denoiser.predict`).

Shape legend: B samples, C latent channels, h w latent sides, T text positions, D text width.
"""

from typing import Any

from torch import Tensor


def unet(base: Any, noisy: Tensor, timesteps: Tensor, text: Any, sizes: Tensor | None) -> Tensor:
    """diffusers' `UNet2DConditionModel`: epsilon or v, in its type; arguments as in `base.predict`."""
    conditions = None
    if base.spec.size_conditioning:
        if sizes is None or text.pooled is None:
            raise ValueError(f"{base.spec.title} needs sizes of shape (B, 6) and pooled text states")
        conditions = {
            "text_embeds": text.pooled.to(base.dtype),
            # Half precision has no room for pixels (1081 is 1080 in bf16): the U-Net rounds their sinusoids.
            "time_ids": sizes.to(noisy.device).float(),
        }
    answer: Tensor = base.unet(
        noisy.to(base.dtype),
        timesteps,
        encoder_hidden_states=text.hidden.to(base.dtype),
        added_cond_kwargs=conditions,
        return_dict=False,
    )[0]
    return answer
