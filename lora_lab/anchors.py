"""Where the bare base model's pictures of a run's prompts lie; what previews are made of. Without torch."""

from pathlib import Path

from lora_lab.config import RunConfig, flat
from lora_lab.effective.previews import anchors_name, final_prompts
from lora_lab.store import RunFolder, SweepFolder


def prompts(config: RunConfig) -> list[str]:
    """The preview prompts with the trigger word filled in."""
    return final_prompts(config.preview.prompts, config.dataset.trigger_word)


def clip_skip(config: RunConfig) -> int:
    """Clip skip of previews."""
    return config.preview.clip_skip or config.base_model.clip_skip


def anchor_folder(folder: RunFolder, config: RunConfig) -> Path:
    """Where the bare base model's pictures of this run's prompts and seeds lie, shared within the sweep."""
    return SweepFolder(folder.path.parent).anchors / anchors_name(flat(config))


def anchor_name(prompt: int, seed: int) -> str:
    """File name of the bare base model's picture of one prompt and seed."""
    return f"p{prompt}-s{seed}.png"
