"""Files that are no LoRA, or one of a model that is not known here: said by their names. Without torch."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from lora_lab.counts import counted
from lora_lab.errors import ModelError
from lora_lab.lora_files.keys import embedding_of, located, separated
from lora_lab.models.architectures import architecture

_CHECKPOINT_MARKS = (
    "model.diffusion_model.",
    "cond_stage_model.",
    "conditioner.embedders.",
    "first_stage_model.",
)
_KNOWN = "known: LoRAs for Stable Diffusion 1.x, 2.x and XL"


def refuse_not_a_lora(path: Path, names: Collection[str]) -> None:
    """Refuse a file whose tensors are not those of a LoRA for a model that is known here.

    Raises:
        ModelError: It is a checkpoint, an embedding, a LoRA for something else, or has modules of no known
            part; the message says which.
    """
    modules = [found[0] for name in names if (found := separated(name))]
    if not modules:
        _refuse_other_weights(path, names)
    if other := architecture(modules):
        raise ModelError(f"{path} is a LoRA for {other}, which is not known here; {_KNOWN}")
    lost = sorted({module for module in modules if located(module) is None})
    if lost:
        raise ModelError(
            f"{path} has {counted(len(lost), 'module')} of a part that is not known here "
            f"({', '.join(lost[:3])}); {_KNOWN}"
        )


def _refuse_other_weights(path: Path, names: Collection[str]) -> None:
    if any(name.startswith(_CHECKPOINT_MARKS) for name in names):
        raise ModelError(f"{path} is a whole checkpoint, not a LoRA; use it as base_model.path")
    if any(embedding_of(name) for name in names):
        raise ModelError(f"{path} is a textual inversion embedding, not a LoRA")
    if other := architecture(names):
        raise ModelError(f"{path} is not a LoRA: it looks like the weights of {other}")
    shown = ", ".join(sorted(names)[:3]) or "nothing"
    raise ModelError(f"{path} is not a LoRA: no lora_down/lora_up tensors; it holds {shown}")
