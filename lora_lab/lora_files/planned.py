"""What a plan can know of a LoRA file: from its header and what stands beside it, without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lora_lab.lora_files.keys import embedding_of, form_of, split
from lora_lab.lora_files.kinds import refuse_unmerged, refuse_untrained
from lora_lab.lora_files.not_a_lora import refuse_not_a_lora
from lora_lab.lora_files.peft import said_of
from lora_lab.models.content_hash import file_hash
from lora_lab.models.weight_headers import read_header


def identity(path: Path) -> str:
    """A LoRA file by content, with the settings that PEFT keeps beside it; checked as far as headers go.

    Raises:
        ModelError: It is missing, damaged, no LoRA, one for another kind of model, or of an adapter that is
            not understood.
    """
    header = read_header(path)
    refuse_not_a_lora(path, header.tensors.keys())
    said = said_of(path, header.tensors, header.metadata)
    whole = file_hash(path)
    if said.beside is None:
        return whole
    return hashlib.sha256(whole.encode() + said.beside.read_bytes()).hexdigest()


def refuse_untaken(path: Path, setting: str) -> None:
    """Refuse by its header what the setting of the group `network` cannot take, as the worker would.

    Args:
        setting: `base_weights` is merged, `network_weights` is trained on.

    Raises:
        ModelError: It holds modules of other kinds, or tensors of none; they are named.
    """
    modules: dict[str, set[str]] = {}
    rest, embeddings = [], []
    for key in read_header(path).tensors:
        if found := split(key):
            modules.setdefault(found[0], set()).add(found[1])
        elif name := embedding_of(key):
            embeddings.append(name)
        else:
            rest.append(key)
    if setting == "base_weights":
        refuse_unmerged(path, modules, rest, list(dict.fromkeys(embeddings)))
    else:
        refuse_untrained(modules, [*rest, *embeddings])


def form(path: Path) -> str:
    """What kind of network a LoRA file is: lora, dora, loha or lokr.

    Raises:
        ModelError: It cannot be read.
    """
    names = read_header(path).tensors
    return form_of([found[1] for name in names if (found := split(name))])
