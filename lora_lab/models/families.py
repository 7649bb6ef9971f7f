"""The registry of base-model families."""

from difflib import get_close_matches

from lora_lab.models import sd1, sd2, sdxl
from lora_lab.models.family import Family

FAMILIES: dict[str, Family] = {
    "sd1": sd1.FAMILY,
    "sd2": sd2.FAMILY,
    "sdxl": sdxl.FAMILY,
}

ASSUMED = "sd1"
"""The family that is meant where nothing says which."""

USUAL = "sdxl"
"""The family whose recommended settings images are looked at with where nobody says which."""


def quality_tags() -> dict[str, tuple[str, ...]]:
    """What models of every family want in front of captions, by the model's name."""
    return {name: tags for family in FAMILIES.values() for name, tags in family.quality_tags.items()}


def unknown_family(asked: str) -> str:
    """What is wrong with a family's name that is none, and which there are."""
    near = get_close_matches(asked.lower(), FAMILIES, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"base_model.family={asked}: there is no such family; {hint}known: auto, {', '.join(FAMILIES)}"
