"""Which family a LoRA file belongs to: by widths, by what it says of itself, by names. Without torch."""

import re
from collections.abc import Mapping

from lora_lab.models.families import FAMILIES
from lora_lab.models.family import Family

UNKNOWN = "unknown"

_CROSS_ATTENTION = ("_attn2_to_k", "_attn2_to_v")
_TEXT_LAYER = re.compile(r"lora_te\d?_.*_(?:[qkv]_proj|out_proj|fc1)$")
_TEXT_KEY = re.compile(r"lora_te\d?_")
_ORIGINAL_BLOCK = re.compile(r"_(?:input_blocks|middle_block|output_blocks)_")


def family_of(widths: Mapping[str, int], metadata: Mapping[str, str]) -> str:
    """A key of `families.FAMILIES`, or "unknown".

    Args:
        widths: Input width of each module, by its name in kohya's spelling (`keys.kohya_name`).
        metadata: Asked only where widths leave it open, as for models of odd sizes.
    """
    found = _by_width(widths) or stated(metadata) or _by_name(widths)
    return found.name if found else UNKNOWN


def certain_family(widths: Mapping[str, int], metadata: Mapping[str, str]) -> str:
    """As `family_of`, without what names suggest: tools call the only text encoder `te1`, too."""
    found = _by_width(widths) or stated(metadata)
    return found.name if found else UNKNOWN


def stated(metadata: Mapping[str, str]) -> Family | None:
    """The family that a file's metadata names; None if it names none."""
    version = metadata.get("ss_base_model_version", "").lower()
    architecture = metadata.get("modelspec.architecture", "").lower()
    said = [f for f in FAMILIES.values() if version.startswith(f.files.starts)]
    said += [f for f in FAMILIES.values() if architecture.startswith(f.files.starts)]
    return said[0] if said else None


def stated_prediction(metadata: Mapping[str, str], family: Family) -> str | None:
    """What a file's metadata says that its base predicts, in the words of its family; None if nothing."""
    for key, words in (
        ("modelspec.prediction_type", family.files.predictions),
        ("ss_base_model_version", family.files.base_versions),
    ):
        fitting = [prediction for prediction, word in words.items() if word == metadata.get(key)]
        if len(fitting) == 1:
            return fitting[0]
    return None


def _by_width(widths: Mapping[str, int]) -> Family | None:
    """By the width of text states, or of a text encoder that one family alone has."""
    for name, width in widths.items():
        if name.endswith(_CROSS_ATTENTION):
            found = [f for f in FAMILIES.values() if f.width == width]
        elif _TEXT_LAYER.match(name):
            found = [f for f in FAMILIES.values() if width in {encoder.width for encoder in f.encoders}]
        else:
            continue
        if len(found) == 1:
            return found[0]
    return None


def _by_name(widths: Mapping[str, int]) -> Family | None:
    """By prefixes and block names that one family alone has; last by the set of its text encoders.

    How the first text encoder is called proves nothing where it may be one of several: `lora_te1_` of CLIP-L
    is in files for SDXL, Flux and Stable Diffusion 3, and some tools write it for SD 1.x, too.
    """
    original = any(_ORIGINAL_BLOCK.search(name) for name in widths)
    for family in FAMILIES.values():
        _, *more = _own_prefixes(family) or ("",)
        if any(name.startswith(tuple(more)) for name in widths):
            return family
        if original and family.denoiser.original_names:
            return family
    texts = {width for name, width in widths.items() if name.endswith("_self_attn_q_proj")}
    fitting = [f for f in FAMILIES.values() if texts and texts == {e.width for e in f.encoders}]
    called = {name for name in widths if _TEXT_KEY.match(name)}
    if called == widths.keys():  # of a text encoder alone, only the name in kohya's files says whose it is
        fitting = [f for f in fitting if all(name.startswith(_prefixes(f)) for name in called)]
    return fitting[0] if len(fitting) == 1 else None


def _prefixes(family: Family) -> tuple[str, ...]:
    return tuple(encoder.lora_prefix for encoder in family.encoders)


def _own_prefixes(family: Family) -> tuple[str, ...]:
    """Prefixes of text encoders that no other family has; nothing if one of them is shared."""
    others = {e.lora_prefix for f in FAMILIES.values() if f is not family for e in f.encoders}
    own = _prefixes(family)
    return () if others & set(own) else own
