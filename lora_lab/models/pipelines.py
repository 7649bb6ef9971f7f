"""diffusers pipelines over a loaded base model's own networks."""

from pathlib import Path
from typing import Any

from lora_lab.models.base import BaseModel
from lora_lab.models.clip_bpe import ClipBpe


def pipeline(base: BaseModel) -> Any:
    """A text-to-image pipeline over the same networks: DDIM, no safety checker, no progress bar.

    Give it `prompt_embeds` from `encode_text`: the library's own clip skip does not work with transformers 5.
    """
    import diffusers

    kind = getattr(diffusers, base.spec.pipeline_classes[0])
    parts: dict[str, Any] = {"vae": base.vae, base.spec.denoiser.component: base.unet}
    for spec, encoder, tokenizer in zip(base.spec.encoders, base.text_encoders, base.tokenizers, strict=True):
        parts[spec.component] = encoder
        parts[spec.tokenizer] = tokenizer
    config = {**base.scheduler_config, "rescale_betas_zero_snr": base.zero_terminal_snr}
    parts["scheduler"] = diffusers.DDIMScheduler.from_config(config)
    if base.spec.size_conditioning:
        made = kind(**parts, add_watermarker=False)
    else:
        made = kind(**parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    made.set_progress_bar_config(disable=True)
    return made


def save_folder(base: BaseModel, folder: str | Path) -> None:
    """Write a diffusers folder; the packaged CLIP vocabulary is left out, and found again on loading."""
    whole = pipeline(base)
    for spec, tokenizer in zip(base.spec.encoders, base.tokenizers, strict=True):
        if isinstance(tokenizer, ClipBpe):
            whole.register_modules(**{spec.tokenizer: None})
    whole.save_pretrained(str(folder))
