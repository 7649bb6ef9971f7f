"""What kind of network each module of a file is, and which kinds each use takes; others are refused by name.

Without torch, so that a plan can refuse by a file's header what a worker would refuse by its tensors.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from lora_lab.errors import ModelError
from lora_lab.lora_files.keys import form_of, network_kind

PRODUCTS = frozenset({"LoRA", "LoCon with Tucker decomposition", "LoCon with a scalar", "LoHa", "LoKr"})
"""What has an exact low-rank product. The rest needs the base model, or is no product at all."""
BAKED = PRODUCTS | {"DoRA", "full weight differences", "bias differences"}
"""What can be put into a base model's weights."""
WITHOUT_REST = "`lora-lab lora merge FILE --leave-out-rest -o NEW` writes a file without it"
_FACTORS = {
    "lora": {"down", "up"},
    "dora": {"down", "up", "dora_scale"},
    "loha": {f"hada_w{side}_{end}" for side in "12" for end in "ab"},
    "lokr": {f"lokr_w{side}{end}" for side in "12" for end in ("", "_a", "_b")},
}
"""What training can go on with: the leaves of each form, beside alpha."""


def kind_of(leaves: Collection[str]) -> str:
    """LoRA, LoCon with Tucker decomposition, LoHa, LoKr, DoRA, ..., as people call it, of a module's leaves.

    A module that holds something beside that no formula here takes in is of that kind, so that nobody takes
    the module and passes that over; one of two formulas at once says so.
    """
    named = [leaf for leaf in leaves if leaf not in ("alpha", "scalar")]
    kinds = dict.fromkeys(map(network_kind, named or leaves))
    foreign = [kind for kind in kinds if kind not in BAKED]
    changes = sorted(
        {"LoRA" if kind.startswith("LoCon") else kind for kind in kinds} - {"DoRA", "bias differences"}
    )
    if foreign:
        return foreign[0]
    if len(changes) > 1:
        return f"{' and '.join(changes)} in one module"
    order = ("DoRA", "LoCon with Tucker decomposition", *changes)
    return next((kind for kind in order if kind in kinds), next(iter(kinds)))


def is_foreign(leaf: str) -> bool:
    """Whether a leaf is of a kind that acts in no base model here."""
    return network_kind(leaf) not in BAKED


def refuse_unmerged(
    path: Path, modules: Mapping[str, Collection[str]], rest: Sequence[str], embeddings: Sequence[str]
) -> None:
    """Refuse what cannot be put into weights.

    Args:
        modules: The leaves of each module.
        rest: Tensors of no module.
        embeddings: Names of embeddings that the file holds beside.

    Raises:
        ModelError: The kinds, and some of the names.
    """
    if not modules:
        raise ModelError(f"{path} holds nothing that can be put into a base model")
    odd = {name: kind for name, leaves in modules.items() if (kind := kind_of(leaves)) not in BAKED}
    others = [*odd, *rest, *embeddings]
    if others:
        kinds = ", ".join(sorted({*odd.values(), *(["embeddings"] if embeddings else [])})) or "no LoRA"
        raise ModelError(
            f"{path} cannot be put into a base model as it is: {len(others)} of its modules or "
            f"tensors are {kinds} ({', '.join(others[:3])}); {WITHOUT_REST}"
        )


def refuse_untrained(modules: Mapping[str, Iterable[str]], rest: Sequence[str]) -> None:
    """Refuse what training cannot go on with.

    Args:
        modules: The leaves of each module.
        rest: Tensors of no module, and embeddings.

    Raises:
        ModelError: The first such tensor, and its kind.
    """
    if rest:
        raise ModelError(f"{rest[0]}: not the name of a LoRA tensor; {WITHOUT_REST}")
    for name, leaves in modules.items():
        own = set(leaves)
        if strange := sorted(own - _FACTORS[form_of(own)] - {"alpha"}):
            kind = whole if " and " in (whole := kind_of(own)) else network_kind(strange[0])
            raise ModelError(
                f"{name}.{strange[0]}: this is of {kind}; only LoRA, LoCon, DoRA, LoHa and LoKr, without "
                f"Tucker decomposition, can be trained on; {WITHOUT_REST}"
            )
