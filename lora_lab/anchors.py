"""Where the bare base model's images of a run's prompts lie; what previews are made of. Without torch."""

from pathlib import Path

from lora_lab.config import RunConfig, flat
from lora_lab.effective.previews import anchors_name
from lora_lab.store import RunFolder, RunRecord, SweepFolder


def anchor_folder(folder: RunFolder, config: RunConfig, record: RunRecord | None = None) -> Path:
    """Where the base model's own images of this run's prompts and seeds lie, shared within the sweep.

    Args:
        record: Of the run that did the work; without one, or with an early one, the config decides.
    """
    said = record.resolved.get("anchors") if record else None
    name = said or anchors_name(flat(config), config.dataset.trigger_word)
    return SweepFolder(folder.path.parent).anchors / str(name)


def anchor_name(prompt: int, seed: int) -> str:
    """File name of the bare base model's image of one prompt and seed."""
    return f"p{prompt}-s{seed}.png"
