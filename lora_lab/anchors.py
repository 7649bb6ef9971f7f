"""Where the bare base model's pictures of a run's prompts lie; what previews are made of. Without torch."""

import hashlib
import json
from pathlib import Path

from lora_lab.config import RunConfig
from lora_lab.store import RunFolder, SweepFolder


def prompts(config: RunConfig) -> list[str]:
    """The preview prompts with the trigger word filled in."""
    trigger = config.dataset.trigger_word or ""
    return [text.replace("{trigger}", trigger).strip(", ") for text in config.preview.prompts]


def clip_skip(config: RunConfig) -> int:
    """Clip skip of previews."""
    return config.preview.clip_skip or config.base_model.clip_skip


def preview_key(config: RunConfig) -> str:
    """Identity of everything but the adapter that a preview depends on; changes when the settings do."""
    own = config.preview
    model, size = config.base_model, own.size or config.dataset.resolution
    parts = [
        prompts(config), own.negative_prompt, own.seeds, own.steps, own.guidance_scale, own.sampler, size,
        clip_skip(config), model.path, model.vae, model.max_token_length, model.v_parameterization,
        config.loss.zero_terminal_snr,
        *config.network.merged(),
    ]  # fmt: skip
    compressed = [name for name in ("fp8_base", "nf4_base") if getattr(model, name)]
    parts += compressed
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]


def anchor_folder(folder: RunFolder, config: RunConfig) -> Path:
    """Where the bare base model's pictures of this run's prompts and seeds lie, shared within the sweep."""
    return SweepFolder(folder.path.parent).anchors / f"base-{preview_key(config)}"


def anchor_name(prompt: int, seed: int) -> str:
    """File name of the bare base model's picture of one prompt and seed."""
    return f"p{prompt}-s{seed}.png"
