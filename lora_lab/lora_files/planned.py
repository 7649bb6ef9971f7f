"""What a plan can know of a LoRA file: from its header and what stands beside it, without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lora_lab.errors import ModelError
from lora_lab.lora_files.keys import embedding_of, form_of, split
from lora_lab.lora_files.kinds import refuse_unmerged, refuse_untrained
from lora_lab.lora_files.not_a_lora import refuse_not_a_lora
from lora_lab.lora_files.peft import said_of
from lora_lab.models.content_hash import file_hash
from lora_lab.models.families import FAMILIES
from lora_lab.models.lora_family import UNKNOWN, certain_family
from lora_lab.models.weight_headers import Header, read_header

_FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")


def identity(path: Path) -> str:
    """A LoRA file by content, with the settings that PEFT keeps beside it; checked as far as headers go.

    Raises:
        ModelError: It is missing, damaged, no LoRA, one for another kind of model, or of an adapter that is
            not understood.
    """
    header = read_header(path)
    refuse_not_a_lora(path, header.tensors.keys(), header.metadata)
    _refuse_types(path, header)
    said = said_of(path, header.tensors, header.metadata)
    whole = file_hash(path)
    if said.beside is None:
        return whole
    return hashlib.sha256(whole.encode() + said.beside.read_bytes()).hexdigest()


def _refuse_types(path: Path, header: Header) -> None:
    for key, info in header.tensors.items():
        found = split(key)
        if found and found[1] not in ("alpha", "scalar", "on_input") and info.dtype not in _FLOATS:
            raise ModelError(f"{path}: {key} is of type {info.dtype}, not fp8, fp16, bf16 or fp32")


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


def refuse_other_family(path: Path, family: str) -> None:
    """Refuse by its header a file that is for base models of another family, as the worker would.

    Args:
        family: The base model's, a key of `models.families.FAMILIES`.

    Raises:
        ModelError: Both families.
    """
    header = read_header(path)
    widths: dict[str, int] = {}
    for key, info in header.tensors.items():
        if found := split(key):
            is_narrow = found[1] in ("down", "hada_w1_b") and len(info.shape) > 1
            widths[found[0]] = info.shape[1] if is_narrow else widths.get(found[0], 0)
    own = certain_family(widths, header.metadata)
    if own not in (UNKNOWN, family):
        raise ModelError(
            f"{path} is for {FAMILIES[own].title}, but the base model is {FAMILIES[family].title}"
        )


def form(path: Path) -> str:
    """What kind of network a LoRA file is: lora, dora, loha or lokr.

    Raises:
        ModelError: It cannot be read.
    """
    names = read_header(path).tensors
    return form_of([found[1] for name in names if (found := split(name))])
