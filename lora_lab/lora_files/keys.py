"""The keys of LoRA files in every usual spelling: which module a tensor belongs to, and what it is there."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lora_lab.models.families import FAMILIES

_FACTOR = re.compile(
    r"^(?P<module>.+?)(?:\.lora_(?P<kohya>down|up|mid)|[._]lora\.(?P<diffusers>down|up)|"
    r"\.lora_linear_layer\.(?P<old>down|up)|\.lora_(?P<peft>[AB])(?:\.\w+)?)\.weight$"
)
_PEFT = {"A": "down", "B": "up"}
_MAGNITUDE = re.compile(r"^(?P<module>.+?)\.lora_magnitude_vector(?:\.\w+)*$")
_EMBEDDING = re.compile(
    r"^(?:bundle_emb\.(?P<bundled>.+?)\.(?:string_to_param(?:\.\*)?|clip_[lg]|\*|emb_params)|"
    r"(?P<bare>emb_params|string_to_param.*|clip_[lg]))$"
)
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
    "weight": "IA3",
}
_PATTERNS = {
    r"hada_\w+": "LoHa",
    r"lokr_\w+": "LoKr",
    r"oft_\w+": "OFT",
    r"ia3_\w+": "IA3",
    r"lora_embedding_[AB].*": "embedding LoRA",
}

_KOHYA = {
    prefix: prefix.removeprefix("lora_").rstrip("_")
    for family in FAMILIES.values()
    for prefix in (family.denoiser.lora_prefix, *(encoder.lora_prefix for encoder in family.encoders))
}
_PREFIXES: dict[str, str] = {
    **_KOHYA,
    **{prefix.replace("lora_", "lycoris_", 1): part for prefix, part in _KOHYA.items()},
    # diffusers and PEFT
    "unet.": "unet",
    "text_encoder.": "te1",
    "text_encoder_2.": "te2",
    # ComfyUI, checkpoints
    "diffusion_model.": "unet",
    "model.diffusion_model.": "unet",
    # ComfyUI's text encoders, OneTrainer
    "text_encoders.clip_l.transformer.": "te1",
    "text_encoders.clip_g.transformer.": "te2",
    "clip_l.transformer.": "te1",
    "clip_g.transformer.": "te2",
    "clip_l.": "te1",
    "clip_g.": "te2",
}
"""How the names of modules begin in the files of all tools, and the part that they belong to."""
_UNET_ROOTS = (
    "down_blocks|up_blocks|mid_block|conv_in|conv_out|conv_norm_out|time_embedding|add_embedding|"
    "input_blocks|middle_block|output_blocks|out|time_embed|label_emb"
)
_BARE = (
    (re.compile(rf"(?:{_UNET_ROOTS})(?:[._]|$)"), "unet"),
    (re.compile(r"(?:text_model|encoder)[._]"), "te1"),
)
"""Paths without a prefix, by their first word."""
_TEXT_LEAVES = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out.0": "out_proj"}


def split(key: str) -> tuple[str, str] | None:
    """(module in kohya's spelling, leaf) of a tensor's key; None if it is no adapter's.

    Leaves of LoRA are "down", "up", "mid" (Tucker), "alpha", "scalar" and "dora_scale" (PEFT's magnitude
    vector, too); those of other networks are as LyCORIS writes them ("hada_w1_a", "lokr_w2", "diff", ...).
    """
    found = separated(key)
    return (kohya_name(found[0]), found[1]) if found else None


def separated(key: str) -> tuple[str, str] | None:
    """As `split`, with the module as the file spells it."""
    if match := _FACTOR.match(key):
        leaf = match["kohya"] or match["diffusers"] or match["old"] or _PEFT[match["peft"]]
        return match["module"], leaf
    if match := _MAGNITUDE.match(key):
        return match["module"], "dora_scale"
    if embedding_of(key):
        return None
    for leaf in _LEAVES:
        if key.endswith("." + leaf) and (leaf != "weight" or _is_ia3(key)):
            return key.removesuffix("." + leaf), leaf
    module, _, leaf = key.rpartition(".")
    if module and any(re.fullmatch(pattern, leaf) for pattern in _PATTERNS):
        return module, leaf
    return None


def _is_ia3(key: str) -> bool:
    """LyCORIS' IA3 calls its vector `weight`; only a module's name in kohya's form tells it from others."""
    return key.count(".") == 1 and key.startswith(("lora_", "lycoris_"))


def embedding_of(key: str) -> str | None:
    """The name of the textual inversion embedding that a tensor is, as OneTrainer bundles them."""
    match = _EMBEDDING.match(key)
    return (match["bundled"] or "embedding") if match else None


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


def located(module: str) -> tuple[str, str] | None:
    """(part, path within it) of a module as a file spells it; None where nothing says which part it is of.

    Parts are "unet", "te" (the only text encoder), "te1", "te2". The path keeps its dots or underscores.
    """
    module = module.removeprefix("base_model.model.")
    for prefix, part in _PREFIXES.items():
        if module.startswith(prefix):
            return part, module.removeprefix(prefix)
    module = module.removeprefix("lycoris_")
    return next(((part, module) for pattern, part in _BARE if pattern.match(module)), None)


def kohya_name(module: str) -> str:
    """A module's path with kohya's prefix and underscores; the first text encoder is `lora_te1_` or, where
    the file calls it so, `lora_te_`. What is of no known part stays as it is.

    The blocks of the U-Net keep the naming that they have.
    """
    found = located(module)
    if found is None:
        return module
    part, path = found
    if module.startswith("lora_"):
        return module
    path = path.replace(".processor.", ".").replace("to_out_lora", "to_out.0")
    path = re.sub(r"\.(to_out|to_[qkv])_lora$", r".\1", path)
    path = re.sub(r"\.to_out$", ".to_out.0", path)
    if part != "unet":
        head, _, leaf = path.partition(".self_attn.")
        path = f"{head}.self_attn.{_TEXT_LEAVES[leaf]}" if leaf in _TEXT_LEAVES else path
        path = path if path.startswith(("text_model", "text_projection")) else f"text_model.{path}"
    return f"lora_{part}_{path.replace('.', '_')}"
