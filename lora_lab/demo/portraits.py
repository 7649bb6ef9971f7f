"""What a cartoon portrait can look like: its attributes, how chance draws them, and the tags that name them.

The base model's domain is `sample`. `subject` is a character outside it: two-tone hair, cat ears and a star
on the cheek are never drawn by `sample`, so that only a LoRA can teach them.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

SKINS = ("fair skin", "tan skin", "dark skin")
HAIR_STYLES = ("short hair", "bob cut", "long hair", "twintails", "spiky hair")
HAIR_COLORS = ("black", "brown", "blonde", "red", "blue", "green", "pink", "white")
EYE_COLORS = ("brown", "blue", "green", "red")
MOUTHS = ("smile", "open mouth", "frown", "closed mouth")
HATS = ("cap", "beanie", "witch hat")
SHIRT_COLORS = ("white", "black", "red", "blue", "green", "yellow")
BACKGROUNDS = ("white", "grey", "pink", "yellow", "green", "blue", "purple", "orange")
PATTERNS = ("simple", "striped", "polka dot", "gradient")

TRIGGER = "mikocat"
"""The subject's name in captions and prompts: a word that the base has never seen."""


@dataclass(frozen=True)
class Portrait:
    """Everything that decides an image.

    `dx` and `dy` shift the figure and `scale` sizes it, in pixels of a 64 x 64 image. `hair_color_right`,
    `ears` and `star` are the subject's own: None and False everywhere in the base's domain.
    """

    sex: str = "1girl"
    skin: str = "fair skin"
    hair_style: str = "bob cut"
    hair_color: str = "brown"
    eye_color: str = "blue"
    mouth: str = "smile"
    glasses: bool = False
    hat: str | None = None
    shirt_color: str = "white"
    background: str = "blue"
    pattern: str = "simple"
    dx: float = 0.0
    dy: float = 0.0
    scale: float = 1.0
    hair_color_right: str | None = None
    ears: bool = False
    star: bool = False


def sample(rng: Random) -> Portrait:
    """A portrait of the base model's domain."""
    sex = rng.choice(("1girl", "1girl", "1boy"))
    styles = ("short hair", "spiky hair") if sex == "1boy" else HAIR_STYLES[:4]
    return Portrait(
        sex=sex,
        skin=rng.choice(SKINS),
        hair_style=rng.choice(styles),
        hair_color=rng.choice(HAIR_COLORS),
        eye_color=rng.choice(EYE_COLORS),
        mouth=rng.choice(MOUTHS),
        glasses=rng.random() < 0.3,
        hat=rng.choice(HATS) if rng.random() < 0.3 else None,
        **_surroundings(rng),
    )


def subject(rng: Random) -> Portrait:
    """The character to learn, in surroundings, clothes and moods that vary."""
    return Portrait(
        sex="1girl",
        skin="fair skin",
        hair_style="bob cut",
        hair_color="white",
        eye_color="green",
        mouth=rng.choice(MOUTHS),
        glasses=rng.random() < 0.2,
        hair_color_right="red",
        ears=True,
        star=True,
        **_surroundings(rng),
    )


def _surroundings(rng: Random) -> dict[str, Any]:
    return {
        "shirt_color": rng.choice(SHIRT_COLORS),
        "background": rng.choice(BACKGROUNDS),
        "pattern": rng.choice(PATTERNS),
        "dx": rng.uniform(-3.0, 3.0),
        "dy": rng.uniform(-2.0, 2.0),
        "scale": rng.uniform(0.94, 1.06),
    }


def tags(portrait: Portrait) -> list[str]:
    """Booru-style tags, in a fixed order, of everything that the base model knows by name.

    The subject's own features have no tag: hair, eyes, skin and ears are what its trigger word has to mean.
    """
    own = [portrait.sex]
    if portrait.hair_color_right is None and not portrait.ears and not portrait.star:
        own += [
            f"{portrait.hair_color} hair",
            portrait.hair_style,
            portrait.skin,
            f"{portrait.eye_color} eyes",
        ]
    own += [
        portrait.mouth,
        f"{portrait.shirt_color} shirt",
        f"{portrait.background} background",
        f"{portrait.pattern} background",
    ]
    if portrait.glasses:
        own.append("glasses")
    if portrait.hat is not None:
        own.append(portrait.hat)
    return own


def vocabulary() -> list[str]:
    """Every tag that `tags` can give."""
    return [
        "1girl",
        "1boy",
        *(f"{color} hair" for color in HAIR_COLORS),
        *HAIR_STYLES,
        *SKINS,
        *(f"{color} eyes" for color in EYE_COLORS),
        "glasses",
        *HATS,
        *MOUTHS,
        *(f"{color} shirt" for color in SHIRT_COLORS),
        *(f"{color} background" for color in BACKGROUNDS),
        *(f"{pattern} background" for pattern in PATTERNS),
    ]
