"""The keys of LoRA files in every usual spelling: which module a tensor belongs to, and what it is there."""

from __future__ import annotations

import re
from collections.abc import Iterable

_FACTOR = re.compile(
    r"^(?P<module>.+?)(?:\.lora_(?P<kohya>down|up|mid)|[._]lora\.(?P<diffusers>down|up)|"
    r"\.lora_linear_layer\.(?P<old>down|up)|\.lora_(?P<peft>[AB])(?:\.\w+)?)\.weight$"
)
_PEFT = {"A": "down", "B": "up"}
_MAGNITUDE = re.compile(r"^(?P<module>.+?)\.lora_magnitude_vector(?:\.\w+)*$")
_LEAVES = {
    "alpha": "LoRA",
    "scalar": "LoCon with a scalar",
    "dora_scale": "DoRA",
    "diff": "full weight differences",
    "diff_b": "bias differences",
    "w_norm": "norm differences",
    "b_norm": "norm differences",
    "on_input": "IA3",
    "oft_blocks": "OFT",
    "oft_diag": "OFT",
    "rescale": "OFT",
    "a1.weight": "GLoRA",
    "a2.weight": "GLoRA",
    "b1.weight": "GLoRA",
    "b2.weight": "GLoRA",
    "bm.weight": "GLoRA",
}
_PATTERNS = {
    r"hada_\w+": "LoHa",
    r"lokr_\w+": "LoKr",
    r"oft_\w+": "OFT",
    r"lora_embedding_[AB].*": "embedding LoRA",
}
_ROOTS = {"unet": "unet", "text_encoder": "te1", "text_encoder_2": "te2", "transformer": "unet"}
_TEXT_LEAVES = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out.0": "out_proj"}


def split(key: str) -> tuple[str, str] | None:
    """(module in kohya's spelling, leaf) of a tensor's key; None if it is no adapter's.

    Leaves of LoRA are "down", "up", "mid" (Tucker), "alpha", "scalar" and "dora_scale" (PEFT's magnitude
    vector, too); those of other networks are as LyCORIS writes them ("hada_w1_a", "lokr_w2", "diff", ...).
    """
    if match := _FACTOR.match(key):
        leaf = match["kohya"] or match["diffusers"] or match["old"] or _PEFT[match["peft"]]
        return kohya_name(match["module"]), leaf
    if match := _MAGNITUDE.match(key):
        return kohya_name(match["module"]), "dora_scale"
    for leaf in _LEAVES:
        if key.endswith("." + leaf):
            return kohya_name(key.removesuffix("." + leaf)), leaf
    module, _, leaf = key.rpartition(".")
    if module and any(re.fullmatch(pattern, leaf) for pattern in _PATTERNS):
        return kohya_name(module), leaf
    return None


def network_kind(leaf: str) -> str:
    """The kind of network that a leaf of `split` belongs to, as people call it."""
    if leaf in ("down", "up"):
        return "LoRA"
    if leaf == "mid":
        return "LoCon with Tucker decomposition"
    if leaf in _LEAVES:
        return _LEAVES[leaf]
    return next(kind for pattern, kind in _PATTERNS.items() if re.fullmatch(pattern, leaf))


def form_of(leaves: Iterable[str]) -> str:
    """The form of a module with these leaves: lora, dora, loha or lokr."""
    names = set(leaves)
    for form, prefix in (("loha", "hada_"), ("lokr", "lokr_")):
        if any(name.startswith(prefix) for name in names):
            return form
    return "dora" if "dora_scale" in names else "lora"


def kohya_name(module: str) -> str:
    """A module's path with kohya's prefix and underscores; the first text encoder is `lora_te1_`.

    The blocks of the U-Net keep the naming that they have.
    """
    if module.startswith("lora_"):
        return module
    if module.startswith("lycoris_"):
        return "lora_unet_" + module.removeprefix("lycoris_")
    module = module.removeprefix("base_model.model.")
    root, _, rest = module.partition(".")
    part = _ROOTS.get(root)
    if part is None:
        part, rest = ("te1" if root == "text_model" else "unet"), module
    rest = rest.replace(".processor.", ".").replace("to_out_lora", "to_out.0")
    rest = re.sub(r"\.(to_out|to_[qkv])_lora$", r".\1", rest)
    rest = re.sub(r"\.to_out$", ".to_out.0", rest)
    if part != "unet":
        head, _, leaf = rest.partition(".self_attn.")
        rest = f"{head}.self_attn.{_TEXT_LEAVES[leaf]}" if leaf in _TEXT_LEAVES else rest
        rest = rest if rest.startswith("text_model.") else f"text_model.{rest}"
    return f"lora_{part}_{rest.replace('.', '_')}"
